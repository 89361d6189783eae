"""A search index that is open."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from act_gym.engines.webshop.search.analyse import analyse
from act_gym.engines.webshop.search.bm25 import denominators, weight
from act_gym.engines.webshop.search.files import bucket_of, open_array, read_header

__all__ = ["SearchIndex"]


class SearchIndex:
    """Finds documents.

    Args:
        folder: What `build` wrote.
    """

    def __init__(self, folder: Path) -> None:
        header = read_header(folder)
        self._size = header["documents"]
        self._filled = header["filled"]
        arrays = {name: open_array(folder, name) for name in ("names","name_ends","buckets","starts","peaks","documents","codes","ranks")}
        self.__dict__.update({f"_{k}": v for k, v in arrays.items()})
        self._worth = denominators(open_array(folder,"frequencies"), open_array(folder,"lengths"), terms=header["terms"], documents=self._filled)

    def __len__(self): return self._size

    def number(self, term):
        t = term.encode()
        n = len(self._buckets) - 1
        b = bucket_of(t, n)
        for k in range(int(self._buckets[b]), int(self._buckets[b+1])):
            if self._names[self._name_ends[k]:self._name_ends[k+1]].tobytes() == t: return k
        return None

    def search(self, query: str, limit: int = 50) -> tuple[int, ...]:
        acc = np.zeros(self._size)
        for term, count in Counter(analyse(query)).items():
            k = self.number(term)
            if k is None: continue
            lo, hi = int(self._starts[k]), int(self._starts[k+1])
            w = weight(count, having=hi-lo, documents=self._filled)
            table = (w - w/self._worth).astype(np.float64)
            acc[self._documents[lo:hi]] += table[self._codes[lo:hi]]
        s = acc.astype(np.float32)
        found = np.flatnonzero(acc)
        order = np.lexsort((self._ranks[found], -s[found]))[:limit]
        return tuple(found[order].tolist())
