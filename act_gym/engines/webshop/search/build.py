"""Index building: sorted runs of documents that fit into memory, merged into the arrays that are searched.

A run is a file named after the content of its documents. A build that was killed finds its finished runs and continues
after them. A text is split at its spaces and each distinct piece is analysed once: the language of a shop repeats
itself, so a million documents take minutes. numpy sorts and counts.

"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from act_gym.engines.webshop.search.analyzer import analyse
from act_gym.engines.webshop.search.bm25 import denominators, length_byte
from act_gym.engines.webshop.search.files import FORMAT, HEADER, bucket_of, write_header
from act_gym.errors import DataError, UsageError
from act_gym.io.download import FULL_DISK

__all__ = ["Run", "build", "forget", "merge", "read_run", "write_run"]


_PIECES_KEPT = 1 << 20
_DOCUMENT_BITS = 24


@dataclass(frozen=True)
class Run:
    """Postings of some documents. Terms are unordered; the postings of each are contiguous, by document.

    Attributes:
        terms: Each once.
        having: The number of documents of each term.
        documents: Their numbers, from 0.
        codes: For each of those, the index of its pair of frequency and length in `pairs`.
        pairs: The distinct pairs: 256 times the frequency, plus the length's byte.
        size: The number of documents.
        filled: The number of documents with any term.
        total: Their total number of terms, with repetitions.
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
    """Return this process's cache of pieces, or an empty one if it has grown too large."""
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


def merge(runs: Sequence[Path], folder: Path, names: Sequence[str] | None) -> None:
    """Write an index.

    Args:
        runs: Files of runs, in the order of their documents.
        folder: The folder of the index.
        names: The documents' names, which break ties; None to break ties by position.

    Raises:
        UsageError: The numbers of names and documents differ.
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
    """Write the postings run by run, each after the earlier ones of its term."""
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


RUN_DOCUMENTS = 1 << 16
RUN_LETTERS = 1 << 26
"""A run ends when it has so many documents or letters: about 1 GB while it is made."""

RUNS = "runs"

_SURROGATES = "surrogatepass"


def build(
    documents: Iterable[str],
    folder: Path,
    *,
    names: Sequence[str] | None = None,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Build a search index.

    Args:
        documents: The texts; the first one is at position 0. They are read once.
        folder: The folder of the index, created if absent. It can be opened only when complete; an unfinished build of
            the same documents is resumed.
        names: The documents' names. The lower one comes first if scores are equal, as in pyserini; without names, the
            earlier document. Read after the last document, so they may be collected meanwhile.
        workers: The number of further processes that analyse documents, while this one reads; 0 for none.
        progress: Called with the number of documents analysed since the last call.

    Raises:
        UsageError: The folder already has an index, or the numbers of names and documents differ.
        DataError: The disk is full. Finished work is kept for the next build.
    """
    if (folder / HEADER).exists():
        raise UsageError(f"{folder} has a search index already. Give another folder, or delete it first.")
    try:
        (folder / RUNS).mkdir(parents=True, exist_ok=True)
        runs = _write_runs(documents, folder / RUNS, workers, progress or (lambda _: None))
        merge(runs, folder, names)
        shutil.rmtree(folder / RUNS)
    except OSError as cause:
        if cause.errno not in FULL_DISK:
            raise
        raise DataError(
            f"The disk of {folder} is full ({cause.strerror}). Free some space and build again: it goes on from here."
        ) from cause
    finally:
        forget()


def _write_runs(documents: Iterable[str], folder: Path, workers: int, progress: Callable[[int], None]) -> list[Path]:
    paths = []
    if not workers:
        for texts, path in _chosen(documents, folder):
            if not path.exists():
                write_run(texts, path)
            paths.append(path)
            progress(len(texts))
        return paths
    # Started afresh and not forked: the caller may have threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        pending: dict[Future[None], int] = {}
        for texts, path in _chosen(documents, folder):
            paths.append(path)
            if path.exists():
                progress(len(texts))
                continue
            while len(pending) >= workers:
                _collect(pending, progress)
            pending[pool.submit(write_run, texts, path)] = len(texts)
        while pending:
            _collect(pending, progress)
    return paths


def _end_with_parent() -> None:
    """See to it that this process ends when the one that started it does, even if that was killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _collect(pending: dict[Future[None], int], progress: Callable[[int], None]) -> None:
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        future.result()
        progress(pending.pop(future))


def _chosen(documents: Iterable[str], folder: Path) -> Iterator[tuple[list[str], Path]]:
    """Divide documents into runs; the same documents are always divided in the same way."""
    texts: list[str] = []
    letters, number = 0, 0
    for text in documents:
        texts.append(text)
        letters += len(text)
        if len(texts) == RUN_DOCUMENTS or letters >= RUN_LETTERS:
            yield texts, _path(folder, number, texts)
            texts, letters, number = [], 0, number + 1
    if texts:
        yield texts, _path(folder, number, texts)


def _path(folder: Path, number: int, texts: Sequence[str]) -> Path:
    known = hashlib.blake2b(digest_size=16, person=b"search %d" % FORMAT)
    for text in texts:
        content = text.encode("utf-8", _SURROGATES)
        known.update(b"%d " % len(content))
        known.update(content)
    return folder / f"{number:05d}-{known.hexdigest()}.npz"
