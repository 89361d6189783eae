"""Words without their endings: M. F. Porter's algorithm ("An algorithm for suffix stripping", 1980), as Lucene runs it.

It differs from the paper where Porter's own program does: words of up to two letters stay as they are, `bli` becomes
`ble` (and not `abli` `able`), and `logi` becomes `log`. Snowball's stemmer of that name is the paper's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["stem"]

# What is replaced if something with a vowel and a consonant after it is left. The longest ending that fits counts.
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
