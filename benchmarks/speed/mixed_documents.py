"""Any number of documents that are like some real ones, to load a search index with.

Each is made of a real document: its title, a third of the words exchanged for words of titles of its kind, and phrases
of its own and of three others, one of them from another kind of the same department. So words are as common, and go
together as often, as in the real ones. One word in twenty is then exchanged for an invented one, drawn with Zipf's law
from three million, for the long tail that a thousand documents do not have. On the 1,000 of WebShop this gives
179 words a document where the real ones have 124.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_lowercase

import numpy as np

__all__ = ["mixed_documents"]

_INVENTED = 3_000_000
_ZIPF = 1.15
_BATCH = 1 << 16


class _Source:
    """The real documents, taken apart."""

    def __init__(self, file: Path) -> None:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        self.titles = [row["product"]["name"].lower().split(" ") for row in rows]
        texts = [row["contents"].removeprefix(row["product"]["name"].lower()) for row in rows]
        self.phrases = [[part for part in re.split(r"(?<=[.!?;,]) ", text) if part.strip()] for text in texts]
        kinds: dict[str, list[int]] = defaultdict(list)
        departments: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            kinds[row["product"]["query"]].append(place)
            departments[row["product"]["category"]].append(place)
        self.kinds = [kinds[row["product"]["query"]] for row in rows]
        self.departments = [departments[row["product"]["category"]] for row in rows]


def mixed_documents(file: Path, number: int, *, seed: int = 0) -> Iterator[str]:
    """Yield documents.

    Args:
        file: The real ones, a JSON object a line with `contents` and `product`.
        number: How many to yield.
        seed: Seed of the draw.
    """
    source = _Source(file)
    random = np.random.default_rng(seed)
    ranks: list[int] = []
    for _ in range(number):
        words = _mixed(source, random)
        count = 1 + len(words) // 20
        if len(ranks) < count:
            ranks = (random.zipf(_ZIPF, _BATCH) % _INVENTED).tolist()
        for place in random.integers(len(words), size=count).tolist():
            words[place] = _invented(ranks.pop())
        yield " ".join(words)


def _mixed(source: _Source, random: np.random.Generator) -> list[str]:
    own = int(random.integers(len(source.titles)))
    kind, department = source.kinds[own], source.departments[own]
    others = [_any(kind, random), _any(kind, random), _any(department, random)]
    title = source.titles[own]
    exchanged = (random.random(len(title)) < 1 / 3).tolist()
    pool = [word for place in others for word in source.titles[place]]
    words = [
        pool[int(random.integers(len(pool)))] if other else word for word, other in zip(title, exchanged, strict=True)
    ]
    for place, share in ((own, 0.7), *((other, 0.25) for other in others)):
        phrases = source.phrases[place]
        kept = (random.random(len(phrases)) < share).tolist()
        words += " ".join(phrase for phrase, keep in zip(phrases, kept, strict=True) if keep).split(" ")
    return words


def _any(places: Sequence[int], random: np.random.Generator) -> int:
    return places[int(random.integers(len(places)))]


def _invented(rank: int) -> str:
    rank += 26**3
    letters = ""
    while rank:
        rank, letter = divmod(rank, 26)
        letters += ascii_lowercase[letter]
    return f"{letters}x"
