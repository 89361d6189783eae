"""Search index: exact top-k retrieval that skips documents which cannot be among the best.

Terms are taken in the order of their largest possible contribution. After each one, the best documents so far are
scored completely, which gives the score of the last place. When all further terms together cannot add as much, no new
document can enter; from there on only documents that still can are looked up (Turtle and Flood, "Query evaluation:
strategies and optimizations", 1995). Nothing is approximate: a document is left out only where its score, rounded to 32
bits, is lower than that of as many others as are asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from act_gym.engines.webshop.search.analyzer import analyse
from act_gym.engines.webshop.search.bm25 import denominators, weight
from act_gym.engines.webshop.search.files import CURE, bucket_of, open_array, read_header
from act_gym.errors import CorruptDataError

__all__ = ["Postings", "SearchIndex", "best", "exhaustive"]


_SAMPLE = 2
"""How many times the limit of documents are worked out to the end to learn what the last place costs."""

_LOOKUP = 12
"""How many postings can be added up in the time in which one document is looked up among them, about."""

_SCAN = 64
"""How many scores can be looked at in a row in the time in which one document is found to be there twice, about."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Postings:
    """Postings of a term.

    Attributes:
        documents: The documents, ascending.
        codes: For each, an index into `worth`.
        worth: The contribution of each code to a document's score; 0 for code 0.
        bound: The largest contribution.
    """

    documents: NDArray[np.int32]
    codes: NDArray[Any]
    worth: Scores
    bound: float

    def values(self) -> Scores:
        """Return what each document gets."""
        values: Scores = self.worth[self.codes]
        return values

    def of(self, documents: NDArray[Any]) -> Scores:
        """Return what some documents get, which may not have the term; they rise."""
        places = np.searchsorted(self.documents, documents)
        np.minimum(places, len(self.documents) - 1, out=places)
        return np.where(self.documents[places] == documents, self.worth[self.codes[places]], 0.0)


def exhaustive(postings: Sequence[Postings], limit: int, scores: Scores) -> NDArray[np.int64]:  # noqa: ARG001
    """Add up all there is and return all documents that have any of the terms; else as `best`."""
    for term in postings:
        scores[term.documents] += term.values()
    return np.flatnonzero(scores)


def best(postings: Sequence[Postings], limit: int, scores: Scores) -> NDArray[np.int64]:
    """Return documents among which are the best, up to `limit` of them and all that have the last one's score.

    Args:
        postings: Of the query's terms, in any order.
        limit: How many are wanted, at least 1.
        scores: One for each document, 0; afterwards those of the returned documents are right, and others are not.
    """
    ordered = sorted(postings, key=lambda term: -term.bound)
    rest = [*np.cumsum([term.bound for term in reversed(ordered)])[::-1].tolist(), 0.0]
    needed, used = 0.0, 0
    for used, term in enumerate(ordered):
        if rest[used] < needed:
            break
        scores[term.documents] += term.values()
        needed = max(needed, _needed(term.documents, ordered[used + 1 :], limit, scores))
    else:
        used = len(ordered)
    candidates = _candidates(ordered[:used], scores, needed - rest[used])
    for place in range(used, len(ordered)):
        term = ordered[place]
        if len(candidates) * _LOOKUP < len(term.documents):
            scores[candidates] += term.of(candidates)
        else:
            scores[term.documents] += term.values()
        reached = scores[candidates]
        needed = max(needed, _last(reached, limit))
        candidates = candidates[reached >= needed - rest[place + 1]]
    return candidates


def _needed(documents: NDArray[np.int32], others: Sequence[Postings], limit: int, scores: Scores) -> float:
    """Return a score that the last place certainly has, from the most promising of some documents."""
    reached = scores[documents]
    if len(documents) > _SAMPLE * limit:
        chosen = np.sort(np.argpartition(reached, -_SAMPLE * limit)[-_SAMPLE * limit :])
        documents, reached = documents[chosen], reached[chosen]
    for term in others:
        reached = reached + term.of(documents)
    return _last(reached, limit)


def _last(reached: Scores, limit: int) -> float:
    """Return the score below which a document is not among the best `limit`, also after rounding."""
    if len(reached) < limit:
        return 0.0
    last = np.float32(np.partition(reached, -limit)[-limit])
    return float(np.nextafter(last, np.float32(0)))


def _candidates(used: Sequence[Postings], scores: Scores, least: float) -> NDArray[np.int64]:
    """Return the documents of some terms whose scores are not below; rising."""
    if sum(len(term.documents) for term in used) > len(scores) // _SCAN:
        return np.flatnonzero(scores >= max(least, np.finfo(np.float64).tiny))
    found = np.concatenate([term.documents[scores[term.documents] >= least] for term in used])
    found.sort()
    return found[np.diff(found, prepend=-1) > 0].astype(np.int64)


_FEW_DOCUMENTS = 1 << 15
"""Up to so many, adding up everything is faster than thinking about it."""

_FEW_TO_SORT = 4

_KEPT = 8 << 20
"""Approximate size in bytes of the cache of postings."""


class SearchIndex:
    """Search index. It is read-only, so any number of processes and threads may use one folder.

    Args:
        folder: The output of `build`.
        skip: Whether to skip documents that cannot be among the best, or to score all. The results are equal; None
            chooses the faster one for the number of documents.

    Raises:
        MissingDataError: The index does not exist.
        CorruptDataError: The version is different, or a file has changed.
    """

    def __init__(self, folder: Path, *, skip: bool | None = None) -> None:
        header = read_header(folder)
        self._folder = folder
        self._size: int = header["documents"]
        self._filled: int = header["filled"]
        self._names = open_array(folder, "names")
        self._name_ends = open_array(folder, "name_ends")
        self._buckets = open_array(folder, "buckets")
        self._starts = open_array(folder, "starts")
        self._peaks = open_array(folder, "peaks")
        self._documents = open_array(folder, "documents")
        self._codes = open_array(folder, "codes")
        self._ranks = open_array(folder, "ranks")
        self._denominators = denominators(
            open_array(folder, "frequencies"),
            open_array(folder, "lengths"),
            terms=header["terms"],
            documents=self._filled,
        )
        self._choose = best if (self._size > _FEW_DOCUMENTS if skip is None else skip) else exhaustive
        self._spare: list[NDArray[np.float64]] = []
        self._postings = lru_cache(_KEPT // (512 + 8 * len(self._denominators)))(self._read)

    def __len__(self) -> int:
        """Return how many documents there are."""
        return self._size

    def search(self, query: str, limit: int = 50) -> tuple[int, ...]:
        """Return the positions of the documents with any of the query's words, best first.

        Args:
            query: Words; a repeated word counts twice. There are no operators.
            limit: The largest number of results.

        Raises:
            CorruptDataError: The files are inconsistent; only `verify` reads large ones completely.
        """
        return self._best(query, limit)[0]

    def scored(self, query: str, limit: int = 50) -> tuple[tuple[int, float], ...]:
        """Return what `search` does, with scores; they are above 0 and 32 bits wide."""
        return tuple(zip(*self._best(query, limit), strict=True))

    def _best(self, query: str, limit: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        counts = Counter(analyse(query))
        found = [term for item in counts.items() if (term := self._postings(*item))]
        if not found or limit < 1:
            return (), ()
        scores = self._spare.pop() if self._spare else np.zeros(self._size)  # another thread may have taken it
        try:
            documents = self._choose(found, limit, scores)
        except IndexError as cause:
            raise CorruptDataError(f"{self._folder} is not what was written: {cause}. {CURE}") from cause
        reached = scores[documents].astype(np.float32)
        scores.fill(0)
        self._spare.append(scores)
        if len(documents) > _FEW_TO_SORT * limit:
            enough = reached >= np.partition(reached, -limit)[-limit]
            documents, reached = documents[enough], reached[enough]
        order = np.lexsort((self._ranks[documents], -reached))[:limit]
        return tuple(documents[order].tolist()), tuple(reached[order].tolist())

    def _read(self, term: str, count: int) -> Postings | None:
        """Return the postings of a term that occurs `count` times in the query; None if it has none."""
        number = self._number(term.encode())
        if number is None:
            return None
        first, end = self._starts[number : number + 2].tolist()
        worth = weight(count, having=end - first, documents=self._filled)
        by_code = (worth - worth / self._denominators).astype(np.float64)
        documents, codes = self._documents[first:end], self._codes[first:end]
        return Postings(documents, codes, by_code, float(by_code[self._peaks[number]]))

    def _number(self, term: bytes) -> int | None:
        bucket = bucket_of(term, len(self._buckets) - 1)
        first, end = self._buckets[bucket : bucket + 2].tolist()
        ends = self._name_ends[first : end + 1].tolist()
        for number, start, stop in zip(range(first, end), ends, ends[1:], strict=False):
            if self._names[start:stop].tobytes() == term:
                return number
        return None
