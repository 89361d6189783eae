"""Index building in memory: about 3 GB for WebShop's 1.18 million products.

A text is split at its spaces and each distinct piece is analysed once: the language of a shop repeats itself, so a
million documents take minutes. numpy sorts and counts.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from act_gym.engines.webshop.search.analyzer import analyse
from act_gym.engines.webshop.search.bm25 import denominators, length_byte
from act_gym.engines.webshop.search.files import HEADER, bucket_of, write_header
from act_gym.errors import UsageError

__all__ = ["build"]

_BATCH = 1 << 16  # documents that are counted together
_DOCUMENT_BITS = 16
_PIECES_KEPT = 1 << 20


@dataclass(frozen=True)
class _Batch:
    """Postings of some documents, by term and then by document.

    Attributes:
        terms: The number of each term, ascending.
        having: The number of documents of each term.
        documents: Their numbers, from 0.
        codes: For each of those, the index of its pair of frequency and length in `pairs`.
        pairs: The distinct pairs: 256 times the frequency, plus the length's byte.
        lengths: The number of terms of each document, with repetitions.
    """

    terms: NDArray[np.int64]
    having: NDArray[np.int64]
    documents: NDArray[np.int32]
    codes: NDArray[np.int32]
    pairs: NDArray[np.int64]
    lengths: NDArray[np.int64]


class _Pieces(dict[str, int]):
    """The number of each piece of text between spaces, and the numbers of its terms."""

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

    def limit(self) -> None:
        """Forget the pieces, but not the terms, if there are too many."""
        if len(self) > _PIECES_KEPT:
            self.clear()
            self.numbers, self.counts = array("i"), array("i")


def build(
    documents: Iterable[str],
    folder: Path,
    *,
    names: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Build a search index.

    Args:
        documents: The texts; the first one is at position 0. They are read once.
        folder: The folder of the index, created if absent. It can be opened only when complete.
        names: The documents' names. The lower one comes first if scores are equal, as in pyserini; without names, the
            earlier document. Read after the last document, so they may be collected meanwhile.
        progress: Called with the number of documents analysed since the last call.

    Raises:
        UsageError: The folder already has an index, or the numbers of names and documents differ.
        OSError: It cannot be written.
    """
    if (folder / HEADER).exists():
        raise UsageError(f"{folder} has a search index already. Give another folder, or delete it first.")
    folder.mkdir(parents=True, exist_ok=True)
    pieces = _Pieces()
    batches = []
    texts = iter(documents)
    while some := list(islice(texts, _BATCH)):
        batches.append(_count(some, pieces))
        if progress:
            progress(len(some))
    lengths = np.concatenate([np.zeros(0, np.int64), *(batch.lengths for batch in batches)])
    if names is not None and len(names) != len(lengths):
        raise UsageError(f"There are {len(names):,} names for {len(lengths):,} documents; expected one for each.")
    having = np.zeros(len(pieces.terms), np.int64)
    for batch in batches:
        having[batch.terms] += batch.having
    counts = {"documents": len(lengths), "filled": int(np.count_nonzero(lengths)), "terms": int(lengths.sum())}
    order = _write_terms(list(pieces.terms), folder)
    starts = np.concatenate(([0], np.cumsum(having[order])))
    np.save(folder / "starts.npy", starts)
    np.save(folder / "ranks.npy", _ranks(len(lengths), names))
    new = np.empty(len(order), np.int64)
    new[order] = np.arange(len(order))
    pairs = np.unique(np.concatenate([np.zeros(0, np.int64), *(batch.pairs for batch in batches)]))
    pairs = _write_pairs(pairs, folder, terms=counts["terms"], documents=counts["filled"])
    _write_postings(batches, new, starts, pairs, folder)
    write_header(folder, counts)


def _count(texts: Sequence[str], pieces: _Pieces) -> _Batch:
    """Analyse documents, at most `_BATCH` of them."""
    pieces.limit()
    number = pieces.__getitem__
    found = array("i")
    ends = np.empty(len(texts), np.int64)
    for place, text in enumerate(texts):
        found.extend(map(number, text.split(" ")))
        ends[place] = len(found)
    used = np.frombuffer(found, np.int32)
    counts = np.array(pieces.counts, np.int32)
    starts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    sizes = counts[used]
    offsets = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
    lengths = np.diff(offsets[ends], prepend=0)
    flat = np.repeat(starts[used] - offsets[:-1], sizes) + np.arange(offsets[-1])
    keys = np.array(pieces.numbers, np.int32)[flat].astype(np.int64) << _DOCUMENT_BITS
    del flat
    keys |= np.repeat(np.arange(len(texts)), lengths)
    keys.sort()
    # Equal keys are the occurrences of one term in one document.
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    frequencies = np.diff(first, append=len(keys))
    kept = keys[first]
    places = (kept & ((1 << _DOCUMENT_BITS) - 1)).astype(np.int32)
    terms, having = np.unique(kept >> _DOCUMENT_BITS, return_counts=True)
    pairs, codes = np.unique((frequencies << 8) | length_byte(lengths)[places], return_inverse=True)
    return _Batch(terms, having, places, codes.astype(np.int32), pairs, lengths)


def _write_terms(terms: Sequence[str], folder: Path) -> NDArray[np.int64]:
    """Write the terms, grouped by bucket; returns their numbers in the order written."""
    encoded = sorted((term.encode(), number) for number, term in enumerate(terms))
    buckets = 1 << max(len(encoded) - 1, 1).bit_length()
    places = np.fromiter((bucket_of(term, buckets) for term, _ in encoded), np.int64, len(encoded))
    order = np.argsort(places, kind="stable")
    names = [encoded[place][0] for place in order.tolist()]
    np.save(folder / "names.npy", np.frombuffer(b"".join(names), np.uint8))
    np.save(folder / "name_ends.npy", np.cumsum([0, *map(len, names)], dtype=np.int64))
    np.save(folder / "buckets.npy", np.searchsorted(places[order], np.arange(buckets + 1)).astype(np.uint32))
    return np.fromiter((number for _, number in encoded), np.int64, len(encoded))[order]


def _write_pairs(pairs: NDArray[np.int64], folder: Path, *, terms: int, documents: int) -> NDArray[np.int64]:
    """Write the pairs in the order of their values; returns them in it. Pair 0 is of no occurrence."""
    pairs = np.concatenate(([0], pairs))
    worth = denominators(pairs >> 8, (pairs & 255).astype(np.uint8), terms=terms, documents=documents)
    pairs = pairs[np.argsort(worth, kind="stable")]
    np.save(folder / "frequencies.npy", pairs >> 8)
    np.save(folder / "lengths.npy", (pairs & 255).astype(np.uint8))
    return pairs


def _ranks(size: int, names: Sequence[str] | None) -> NDArray[np.int32]:
    ranks = np.arange(size, dtype=np.int32)
    if names is not None:
        ranks[np.array(sorted(range(size), key=lambda place: names[place].encode()), np.int64)] = np.arange(size)
    return ranks


def _write_postings(
    batches: Iterable[_Batch],
    new: NDArray[np.int64],
    starts: NDArray[np.int64],
    pairs: NDArray[np.int64],
    folder: Path,
) -> None:
    """Write the postings of each batch after the earlier ones of its term."""
    kind = np.uint16 if len(pairs) <= 1 << 16 else np.uint32
    by_pair = np.argsort(pairs)
    documents, codes = np.empty(starts[-1], np.int32), np.empty(starts[-1], kind)
    # No search reads the peaks; they are in the checksums of catalogues that recorded runs name.
    peaks = np.zeros(len(starts) - 1, kind)
    reached = starts[:-1].copy()
    before = 0
    for batch in batches:
        terms = new[batch.terms]
        firsts = np.cumsum(batch.having) - batch.having
        places = np.repeat(reached[terms] - firsts, batch.having) + np.arange(len(batch.documents))
        documents[places] = batch.documents + before
        values = by_pair[np.searchsorted(pairs, batch.pairs, sorter=by_pair)][batch.codes].astype(kind)
        codes[places] = values
        if len(terms):
            peaks[terms] = np.maximum(peaks[terms], np.maximum.reduceat(values, firsts))
        reached[terms] += batch.having
        before += len(batch.lengths)
    np.save(folder / "documents.npy", documents)
    np.save(folder / "codes.npy", codes)
    np.save(folder / "peaks.npy", peaks)
