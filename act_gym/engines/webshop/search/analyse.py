"""From a text to the terms it is found by: Lucene's English analyser, as Anserini and pyserini put it together.

Words (`words.py`), without a possessive 's, in lower case, without 33 words that say little, and without their endings
(`stem.py`). The same holds for documents and for what is searched.
"""

from __future__ import annotations

from functools import lru_cache

from act_gym.engines.webshop.search.stem import stem
from act_gym.engines.webshop.search.words import split

__all__ = ["STOP_WORDS", "analyse"]

STOP_WORDS = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no",
        "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this",
        "to", "was", "will", "with",
    }
)  # fmt: skip
"""Lucene's `EnglishAnalyzer.ENGLISH_STOP_WORDS_SET`."""

_APOSTROPHES = "'\u2019\uff07"
_WORDS_KEPT = 1 << 16


def analyse(text: str) -> tuple[str, ...]:
    """Return the terms of a text in their order, with repetitions.

    Args:
        text: Any string.
    """
    return tuple(term for word in split(text) if (term := _term(word)))


@lru_cache(_WORDS_KEPT)
def _term(word: str) -> str:
    """Return a word's term; empty for a word that is left out."""
    if len(word) > 1 and word[-1] in "sS" and word[-2] in _APOSTROPHES:
        word = word[:-2]
    word = _lower(word)
    if word in STOP_WORDS:
        return ""
    if word.isascii() or max(word) <= "\uffff":
        return stem(word)
    units = word.encode("utf-16-le")  # where Java counts two for a letter, so do we
    halves = "".join(chr(low | high << 8) for low, high in zip(units[::2], units[1::2], strict=True))
    return stem(halves).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _lower(word: str) -> str:
    """Lower every letter by itself, as Java does; Python's own minds what is beside it (ς) and may make two of one."""
    if word.isascii():
        return word.lower()
    return "".join(_LOWER.get(letter) or letter.lower() for letter in word)


_LOWER = {"\u0130": "i"}
