"""Where words begin and end, as Lucene's StandardTokenizer has it.

Its rules are those of Unicode's annex 29 with numbers, emoji and keycaps as wholes, and single Chinese and Hiragana
letters. They are about 26 kinds of letters, so a text is first turned into one sign for each letter's kind, and words
are found in the signs. `letters.txt` says which letters are of a kind (Unicode 9, as in Lucene 8 and 9); a letter that
is in no line is of the kind " ", which is in no word. `docs/webshop-search.md` has the rules in words.

What is done with a word is not known here.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

__all__ = ["LONGEST", "kinds", "split"]

LONGEST = 255
"""How many UTF-16 units a word has at most; a longer one goes on as the next word."""

# Marks that belong to the letter before them: X is all of them, Y those that an emoji keeps besides joiners (j).
_X = "[~Sjktvmqz]*"
_Y = "[~Skmqzj]*"

# What may come between two letters ("don't", "x:y", "a.b") or two digits ("3.5", "1,200"), but not at the end. A Hebrew
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

# ASCII alone, where "_" and digits and letters are all there is: the same words, found many times as fast. No word
# starts amid lines; to say so keeps a long row of them from being tried from each of its places.
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
