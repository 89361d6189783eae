"""The second half of building an index: runs become the arrays that are searched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from act_gym.engines.webshop.search.bm25 import denominators
from act_gym.engines.webshop.search.files import bucket_of, write_header
from act_gym.engines.webshop.search.runs import read_run
from act_gym.errors import UsageError

__all__ = ["merge"]


def merge(runs: Sequence[Path], folder: Path, names: Sequence[str] | None) -> None:
    """Write an index.

    Args:
        runs: Files of runs, in the order of their documents.
        folder: Where its files come to lie.
        names: The documents' names, which decide between equal scores; None if their order does.

    Raises:
        UsageError: There are not as many names as documents.
    """
    size, filled, total = 0, 0, 0
    numbers: dict[str, int] = {}
    of_runs: list[NDArray[np.int64]] = []
    having = np.zeros(0, np.int64)
    pairs = np.zeros(0, np.int64)
    for path in runs:
        run = read_run(path)
        size, filled, total = size + run.size, filled + run.filled, total + run.total
        found = np.fromiter((numbers.setdefault(term, len(numbers)) for term in run.terms), np.int64, len(run.terms))
        having = np.concatenate((having, np.zeros(len(numbers) - len(having), np.int64)))
        having[found] += run.having
        of_runs.append(found)
        pairs = np.union1d(pairs, run.pairs)
    if names is not None and len(names) != size:
        raise UsageError(f"There are {len(names):,} names for {size:,} documents; expected one for each.")
    order = _write_terms(numbers, folder)
    new = np.empty(len(order), np.int64)
    new[order] = np.arange(len(order))
    pairs = _write_pairs(pairs, folder, terms=total, documents=filled)
    starts = np.concatenate(([0], np.cumsum(having[order])))
    np.save(folder / "starts.npy", starts)
    np.save(folder / "ranks.npy", _ranks(size, names))
    _write_postings(runs, [new[found] for found in of_runs], starts, pairs, folder)
    write_header(folder, {"documents": size, "filled": filled, "terms": total})


def _write_terms(numbers: dict[str, int], folder: Path) -> NDArray[np.int64]:
    """Write the terms, grouped by bucket; returns their numbers in the order written."""
    encoded = sorted((term.encode(), number) for term, number in numbers.items())
    buckets = 1 << max(len(encoded) - 1, 1).bit_length()
    places = np.fromiter((bucket_of(term, buckets) for term, _ in encoded), np.int64, len(encoded))
    order = np.argsort(places, kind="stable")
    terms = [encoded[place][0] for place in order.tolist()]
    np.save(folder / "names.npy", np.frombuffer(b"".join(terms), np.uint8))
    np.save(folder / "name_ends.npy", np.cumsum([0, *map(len, terms)], dtype=np.int64))
    np.save(folder / "buckets.npy", np.searchsorted(places[order], np.arange(buckets + 1)).astype(np.uint32))
    return np.fromiter((number for _, number in encoded), np.int64, len(encoded))[order]


def _write_pairs(pairs: NDArray[np.int64], folder: Path, *, terms: int, documents: int) -> NDArray[np.int64]:
    """Write the pairs in the order of what they are worth; returns them so. Pair 0 is of no occurrence."""
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
    runs: Sequence[Path],
    numbers: Sequence[NDArray[np.int64]],
    starts: NDArray[np.int64],
    pairs: NDArray[np.int64],
    folder: Path,
) -> None:
    """Write the postings, run by run, each to where its terms have come so far."""
    shape = (int(starts[-1]),)
    kind = np.uint16 if len(pairs) <= 1 << 16 else np.uint32
    by_pair = np.argsort(pairs)
    documents = open_memmap(folder / "documents.npy", mode="w+", dtype=np.int32, shape=shape)
    codes = open_memmap(folder / "codes.npy", mode="w+", dtype=kind, shape=shape)
    peaks = np.zeros(len(starts) - 1, kind)
    reached = starts[:-1].copy()
    before = 0
    for path, found in zip(runs, numbers, strict=True):
        run = read_run(path)
        firsts = np.cumsum(run.having) - run.having
        places = np.repeat(reached[found] - firsts, run.having) + np.arange(len(run.documents))
        documents[places] = run.documents + before
        worth = by_pair[np.searchsorted(pairs, run.pairs, sorter=by_pair)][run.codes].astype(kind)
        codes[places] = worth
        if len(found):
            peaks[found] = np.maximum(peaks[found], np.maximum.reduceat(worth, firsts))
        reached[found] += run.having
        before += run.size
    documents.flush()
    codes.flush()
    np.save(folder / "peaks.npy", peaks)
