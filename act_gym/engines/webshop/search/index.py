"""A search index that is open: what a query finds."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from act_gym.engines.webshop.search.analyse import analyse
from act_gym.engines.webshop.search.bm25 import denominators, weight
from act_gym.engines.webshop.search.files import CURE, bucket_of, open_array, read_header
from act_gym.engines.webshop.search.top import Postings, best, exhaustive
from act_gym.errors import CorruptDataError

__all__ = ["SearchIndex"]

_FEW_DOCUMENTS = 1 << 15
"""Up to so many, adding up everything is faster than thinking about it."""

_FEW_TO_SORT = 4

_KEPT = 8 << 20
"""Bytes, about, of what has been read of terms, so that a word that comes again costs nothing."""


class SearchIndex:
    """Finds documents. It only reads, so any number of processes and threads may use one folder.

    Args:
        folder: What `build` wrote.
        skip: Whether documents that cannot be among the best are left out, or everything is added up. Both find the
            same; None chooses what is faster for so many documents.

    Raises:
        MissingDataError: There is no index.
        CorruptDataError: It is of another version, or a file is not what was written.
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
        """Return the positions of the documents that have any of the query's words, the best first.

        Args:
            query: Words; one that is there twice counts twice. Nothing in it is an operator.
            limit: How many to return at most.

        Raises:
            CorruptDataError: What is found in the files cannot be; only `verify` reads all of large ones.
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
        """Return who has a term that the query has so often; None if nobody has."""
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
