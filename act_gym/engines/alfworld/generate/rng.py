"""Random draws that never change.

A generated game is identified by its split and number alone, so its draws must not depend on the machine, the process
or a library's version. Neither numpy's generators nor most methods of Python's guarantee that; `random.Random.random`
does, with an integer seed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

__all__ = ["Draw"]

Item = TypeVar("Item")


class Draw:
    """A stream of random choices.

    Args:
        key: Names the stream, e.g. `train/17/goal`; equal keys give equal streams.
    """

    def __init__(self, key: str) -> None:
        digest = hashlib.sha256(f"act-gym generated games/{key}".encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big"))

    def chance(self, probability: float) -> bool:
        """Return True with this probability, in 0–1."""
        return self._random.random() < probability

    def between(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def one(self, items: Sequence[Item]) -> Item:
        """Return one of the items (at least one), each as likely as any other."""
        return items[int(self._random.random() * len(items))]

    def weighted(self, items: Sequence[Item], weights: Sequence[float]) -> Item:
        """Return one of the items (at least one), each as likely as its weight, which is positive."""
        sums = tuple(accumulate(weights))
        point = self._random.random() * sums[-1]
        # The last item also takes a point that rounding put on the total.
        return next((item for item, reached in zip(items, sums, strict=True) if point < reached), items[-1])
