"""Tasks in a random order, each once before any comes again, also where there are millions of them."""

from __future__ import annotations

import numpy as np

__all__ = ["Sweep"]

_SHUFFLED = 100_000  # up to so many are shuffled at once; of more, only what was drawn is remembered


class Sweep:
    """Draws numbers below a count, all of them before it begins again.

    Args:
        count: How many there are; at least 1.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._left = 0
        self._order = np.arange(0)
        self._moved: dict[int, int] = {}

    def restart(self) -> None:
        """Forget what was drawn: the next number begins a new sweep."""
        self._left = 0

    def draw(self, random: np.random.Generator) -> int:
        """Return the next number."""
        if not self._left:
            self._left = self._count
            self._moved = {}
            if self._count <= _SHUFFLED:
                self._order = random.permutation(self._count)
        self._left -= 1
        if self._count <= _SHUFFLED:
            return int(self._order[self._left])
        at = int(random.integers(self._left + 1))  # Fisher and Yates, with a table of what is not in its place
        drawn = self._moved.get(at, at)
        last = self._moved.pop(self._left, self._left)
        if at < self._left:
            self._moved[at] = last
        return drawn
