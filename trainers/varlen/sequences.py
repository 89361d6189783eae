"""Sequences of a row: a common start and its continuations."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Sequences"]


@dataclass(frozen=True)
class Sequences:
    """Sequences with a common start: the start's tokens, then each continuation's, without gaps.

    Attributes:
        start: Tokens of the start; 0 if there is none.
        continuations: Tokens of each sequence that continues it; none if the start is the only sequence.
        after: How many of the start's tokens each continuation follows, at least 1; all of them if it is empty.
    """

    start: int
    continuations: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of the start, and of all continuations."""
        return self.start, sum(self.continuations)

    @property
    def pairs(self) -> float:
        """Pairs of tokens that attention computes; continuations are computed as long as the longest."""
        longest = max(self.continuations, default=0)
        return self.start**2 / 2 + len(self.continuations) * longest * (self.start + longest)
