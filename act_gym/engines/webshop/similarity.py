"""How alike two short texts are, from 0 to 100, as the package that WebShop pins counts it.

That is `token_set_ratio` of thefuzz 0.19.0 without the optional python-Levenshtein, which WebShop's
requirements do not list: `difflib`'s ratio, rounded. With python-Levenshtein, or in later versions of thefuzz,
which use rapidfuzz, another ratio is taken and some pairs of texts come out otherwise; `docs/webshop-parity.md`
counts them.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import lru_cache

__all__ = ["token_set_ratio"]

_NO_WORD = re.compile(r"\W")
_DROPPED = dict.fromkeys(range(128, 256))  # letters such as é; those beyond, such as ő, stay


@lru_cache(maxsize=1 << 16)
def token_set_ratio(one: str, other: str) -> int:
    """Return how alike two texts are by the words they share and those they do not, 0 to 100.

    Case, punctuation, order and repetition of words do not count. Where one text has all the words of the
    other, and there are any, it is 100.
    """
    words, others = _words(one), _words(other)
    if not words or not others:
        return 0
    shared = " ".join(sorted(words & others))
    first = f"{shared} {' '.join(sorted(words - others))}".strip()
    second = f"{shared} {' '.join(sorted(others - words))}".strip()
    return max(_ratio(shared, first), _ratio(shared, second), _ratio(first, second))


def _words(text: str) -> frozenset[str]:
    return frozenset(_NO_WORD.sub(" ", text.translate(_DROPPED)).lower().split())


def _ratio(one: str, other: str) -> int:
    if one == other:
        return 100
    if not one or not other:
        return 0
    return round(100 * SequenceMatcher(None, one, other).ratio())
