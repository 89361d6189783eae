"""Lucene's English analyzer, as Anserini and pyserini configure it: maps a text to its terms.

Words as in Lucene's StandardTokenizer, without a possessive 's, in lower case, without 33 stop words, stemmed. The same
for documents and queries.

The tokenizer's rules are those of Unicode's annex 29 with numbers, emoji and keycaps as wholes, and single Chinese and
Hiragana letters. They use 26 classes of characters, so a text is first mapped to one class sign per character, and
words are found in the signs. `letters.txt` has the letters of each class (Unicode 9, as in Lucene 8 and 9); other
letters have the class " ", which is in no word. `docs/webshop-search.md` states the rules.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib.resources import files

__all__ = ["LONGEST", "STOP_WORDS", "analyse", "kinds", "split", "stem"]


LONGEST = 255
"""Longest word in UTF-16 units; the rest of a longer one is the next word."""

# Marks that belong to the letter before them: X is all of them, Y those that an emoji keeps, without joiners (j).
_X = "[~Sjktvmqz]*"
_Y = "[~Skmqzj]*"

# Signs between two letters ("don't", "x:y", "a.b") or two digits ("3.5", "1,200"), but not at the end. A Hebrew
# letter (h) may also have an apostrophe at the end, or a quotation mark before another, but not after one of those.
_BETWEEN = f"(?:['.:]{_X}[aih]{_X})*"
_LETTER = f"[ai]{_X}{_BETWEEN}"
_HEBREW = f"h{_X}(?:\"{_X}h{_X}|'{_X}|[.:]{_X}[aih]{_X}{_BETWEEN})?"
_DIGIT = f"0{_X}(?:[',.]{_X}(?=0))?"
_KATAKANA = f"(?:K{_X})+"
_PART = f"(?:{_KATAKANA}|(?:{_LETTER}|{_HEBREW}|{_DIGIT})+)"
_LINES = f"(?:_{_X})"

# Emoji joined by joiners, the last of them perhaps followed by the sign that asks for a picture (v). After a sign and a
# colour of skin (m) there is no further sign. A flag's letters are tags (q) with an end (z).
_JOINED = f"(?:(?<=j)[ei]{_Y}|vj+[ei]{_Y}|vjm{_Y}(?<=j)[ei]{_Y})*(?:vjm{_Y}|v)?"
_EMOJI = f"j*+[ei]{_Y}(?:vq+z|{_JOINED})|m{_Y}(?:(?<=j)[ei]{_Y}{_JOINED})?"

_WORD = f"{_LINES}*+{_PART}(?:{_LINES}++{_PART})*{_LINES}*"
_OTHERS = "|".join(
    (
        f"#{_Y}(?:v?k{_Y})(?<=[~Skmqzj])",  # a keycap, e.g. #️⃣
        f"r{_X}r{_X}",  # two letters of a flag
        "[sS][s~Sjktvmqz]*",  # Thai and its neighbours, not divided into words
        f"c{_X}|H{_X}",  # Chinese and Hiragana, letter by letter
    )
)
_PATTERNS = tuple(map(re.compile, (_WORD, _EMOJI, _OTHERS)))
_START = re.compile("[^ \"',.:~ktvqz]")

# ASCII fast path, with only "_", digits and letters: the same words, much faster. No word starts inside lines; stating
# so avoids attempts at each position of a long row of them.
_ASCII = re.compile(
    r"(?<!_)_*+(?:[A-Za-z](?:['.:](?=[A-Za-z]))?|[0-9](?:[',.;](?=[0-9]))?)+"
    r"(?:_+(?:[A-Za-z](?:['.:](?=[A-Za-z]))?|[0-9](?:[',.;](?=[0-9]))?)+)*_*"
)


def split(text: str) -> list[str]:
    """Return the words of a text in their order, unchanged.

    Args:
        text: Any string; what cannot be encoded (half of a surrogate pair) is in no word.
    """
    if text.isascii():
        words = _ASCII.findall(text)
        if max(map(len, words), default=0) <= LONGEST:
            return words
    return list(_words(text))


def _words(text: str) -> Iterator[str]:
    signs = text.translate(_kinds())
    wide = any(letter > "\uffff" for letter in text)  # each of these is two UTF-16 units
    place = 0
    while start := _START.search(signs, place):
        place = start.start()
        limit = _limit(text, wide, place)
        end = max((match.end() for pattern in _PATTERNS if (match := pattern.match(signs, place, limit))), default=0)
        if end:
            yield text[place:end]
        place = end or place + 1


def _limit(text: str, wide: bool, place: int) -> int:
    """Return how far a word that starts here may reach."""
    limit = place + LONGEST
    if wide:
        units, limit = 0, place
        while limit < len(text) and units + (size := 1 + (text[limit] > "\uffff")) <= LONGEST:
            units += size
            limit += 1
    return limit


class _Kinds(dict[int, str]):
    """The sign of every letter, worked out when it is first met."""

    def __init__(self, ranges: list[tuple[int, int, str]]) -> None:
        super().__init__()
        self._ranges = sorted(ranges)
        self._first = [first for first, _, _ in self._ranges]

    def __missing__(self, letter: int) -> str:
        first, last, sign = self._ranges[max(bisect_right(self._first, letter) - 1, 0)]
        self[letter] = found = sign if first <= letter <= last else " "
        return found


@cache
def _kinds() -> _Kinds:
    return _Kinds([(*span, sign) for sign, spans in kinds().items() for span in spans])


def kinds() -> dict[str, list[tuple[int, int]]]:
    """Return for each kind of letter, by its sign, the ranges of code points that are of it, both ends included."""
    found = {}
    for line in files(__package__).joinpath("letters.txt").read_text(encoding="ascii").splitlines():
        sign, *spans = line.split()
        ends = [span.partition("-") for span in spans]
        found[sign] = [(int(first, 16), int(last or first, 16)) for first, _, last in ends]
    return found


# Replaced if the rest contains a vowel followed by a consonant. The longest matching ending counts.
_DOUBLE = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble",
    "logi": "log",
}  # fmt: skip
_SINGLE = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
# And these only if that comes twice; "ion" only after s or t.
_LAST = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti",
    "ous", "ive", "ize",
)  # fmt: skip


def _ending(endings: Iterable[str]) -> re.Pattern[str]:
    return re.compile(f"(?:{'|'.join(sorted(endings, key=len, reverse=True))})$")


_DOUBLE_ENDING, _SINGLE_ENDING, _LAST_ENDING = _ending(_DOUBLE), _ending(_SINGLE), _ending(_LAST)


def stem(word: str) -> str:
    """Return a word's stem.

    Args:
        word: In lower case; letters other than a, e, i, o, u and y count as consonants.
    """
    if len(word) <= 2:
        return word
    word = _past(_plural(word))
    if word.endswith("y") and "v" in _shape(word[:-1]):
        word = f"{word[:-1]}i"
    word = _replaced(word, _DOUBLE_ENDING, _DOUBLE)
    word = _replaced(word, _SINGLE_ENDING, _SINGLE)
    return _finished(_shortened(word))


def _plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and word[-2] != "s" else word


def _past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) else word
    rest = word.removesuffix("ed") if word.endswith("ed") else word.removesuffix("ing")
    if rest == word or "v" not in _shape(rest):
        return word
    if rest.endswith(("at", "bl", "iz")):
        return f"{rest}e"
    if _ends_double(rest):
        return rest if rest[-1] in "lsz" else rest[:-1]
    return f"{rest}e" if _measure(rest) == 1 and _ends_short(rest) else rest


def _replaced(word: str, ending: re.Pattern[str], replacements: dict[str, str]) -> str:
    found = ending.search(word)
    if not found or not _measure(word[: found.start()]):
        return word
    return word[: found.start()] + replacements[found.group()]


def _shortened(word: str) -> str:
    found = _LAST_ENDING.search(word)
    if not found or _measure(rest := word[: found.start()]) < 2:
        return word
    return word if found.group() == "ion" and rest[-1] not in "st" else rest


def _finished(word: str) -> str:
    measure = _measure(word)
    if word.endswith("e") and (measure > 1 or (measure == 1 and not _ends_short(word[:-1]))):
        word = word[:-1]
    return word[:-1] if word.endswith("ll") and measure > 1 else word


def _shape(word: str) -> str:
    """Return c for every consonant and v for every vowel; y is one after a consonant."""
    shape = ""
    for letter in word:
        shape += "v" if letter in "aeiou" or (letter == "y" and shape.endswith("c")) else "c"
    return shape


def _measure(word: str) -> int:
    """Return how often consonants follow vowels."""
    return _shape(word).count("vc")


def _ends_double(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _shape(word).endswith("c")


def _ends_short(word: str) -> bool:
    return _shape(word).endswith("cvc") and word[-1] not in "wxy"


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
    """Lower-case each character alone, as Java does; Python depends on the context (ς) and may make two of one."""
    if word.isascii():
        return word.lower()
    return "".join(_LOWER.get(letter) or letter.lower() for letter in word)


_LOWER = {"\u0130": "i"}
