"""The first half of building an index: some documents become one file of who has which term.

A text is cut at its spaces, and what is between them is analysed once and then known by a number: the language of a
shop repeats itself, so this is what makes a million documents a matter of minutes. Sorting and counting are numpy's.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from act_gym.engines.webshop.search.analyse import analyse
from act_gym.engines.webshop.search.bm25 import length_byte

__all__ = ["Run", "forget", "read_run", "write_run"]

_PIECES_KEPT = 1 << 20
_DOCUMENT_BITS = 24


@dataclass(frozen=True)
class Run:
    """What some documents have. Terms are in no order; each one's postings follow each other, by document.

    Attributes:
        terms: Each once.
        having: For each term how many documents have it.
        documents: Which ones, from 0.
        codes: For each of those, where its pair of frequency and length is in `pairs`.
        pairs: The pairs that occur: 256 times the frequency, plus the length's byte.
        size: How many documents there are.
        filled: How many of them have any term.
        total: How many terms they have together, with repetitions.
    """

    terms: list[str]
    having: NDArray[np.int64]
    documents: NDArray[np.int32]
    codes: NDArray[np.int32]
    pairs: NDArray[np.int64]
    size: int
    filled: int
    total: int


class _Pieces(dict[str, int]):
    """The number of each piece of text between spaces, and which terms it has; kept from run to run."""

    def __init__(self) -> None:
        super().__init__()
        self.terms: dict[str, int] = {}
        self.numbers = array("i")
        self.counts = array("i")

    def __missing__(self, piece: str) -> int:
        terms = analyse(piece)
        known = self.terms
        self.numbers.extend([known.setdefault(term, len(known)) for term in terms])
        self.counts.append(len(terms))
        number = self[piece] = len(self)
        return number


_pieces = _Pieces()


def forget() -> None:
    """Give back the memory that is kept from run to run."""
    global _pieces
    _pieces = _Pieces()


def _known_pieces() -> _Pieces:
    """Return what this process knows, or a fresh start when that has grown too large."""
    if len(_pieces) > _PIECES_KEPT:
        forget()
    return _pieces


def count(texts: Sequence[str]) -> Run:
    """Analyse documents.

    Args:
        texts: Fewer than 2**24 of them.
    """
    known = _known_pieces()
    number = known.__getitem__
    found = array("i")
    ends = np.empty(len(texts), np.int64)
    for place, text in enumerate(texts):
        found.extend(map(number, text.split(" ")))
        ends[place] = len(found)
    pieces = np.frombuffer(found, np.int32)
    counts = np.frombuffer(known.counts, np.int32)
    starts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    sizes = counts[pieces]
    offsets = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
    lengths = np.diff(offsets[ends], prepend=0)
    total = int(offsets[-1])
    flat = np.repeat(starts[pieces] - offsets[:-1], sizes) + np.arange(total)
    keys = np.frombuffer(known.numbers, np.int32)[flat].astype(np.int64) << _DOCUMENT_BITS
    del flat
    keys |= np.repeat(np.arange(len(texts)), lengths)
    keys.sort()
    names = list(known.terms)
    return _grouped(keys, lengths, names)


def _grouped(keys: NDArray[np.int64], lengths: NDArray[np.int64], names: list[str]) -> Run:
    """Count equal keys, each of which is a term's number and a document's."""
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    frequencies = np.diff(first, append=len(keys))
    kept = keys[first]
    documents = (kept & ((1 << _DOCUMENT_BITS) - 1)).astype(np.int32)
    numbers, having = np.unique(kept >> _DOCUMENT_BITS, return_counts=True)
    pairs, codes = np.unique((frequencies << 8) | length_byte(lengths)[documents], return_inverse=True)
    return Run(
        terms=[names[number] for number in numbers.tolist()],
        having=having,
        documents=documents,
        codes=codes.astype(np.int32),
        pairs=pairs,
        size=len(lengths),
        filled=int(np.count_nonzero(lengths)),
        total=len(keys),
    )


def write_run(texts: Sequence[str], path: Path) -> None:
    """Analyse documents and leave the result in a file, which is there whole or not at all.

    Args:
        texts: The documents.
        path: The file; another process may write one of the same name, and either is right.
    """
    run = count(texts)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            np.savez(
                file,
                terms=np.frombuffer("\n".join(run.terms).encode(), np.uint8),
                having=run.having,
                documents=run.documents,
                codes=run.codes,
                pairs=run.pairs,
                sizes=np.array([run.size, run.filled, run.total]),
            )
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_run(path: Path) -> Run:
    """Read a file that `write_run` left."""
    with np.load(path) as file:
        size, filled, total = file["sizes"].tolist()
        terms = file["terms"].tobytes().decode()
        return Run(
            terms=terms.split("\n") if terms else [],
            having=file["having"],
            documents=file["documents"],
            codes=file["codes"],
            pairs=file["pairs"],
            size=size,
            filled=filled,
            total=total,
        )
