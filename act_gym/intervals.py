"""Confidence intervals of a proportion: Wilson's score interval (Wilson 1927)."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from act_gym.errors import UsageError

__all__ = ["CONFIDENCE", "Interval", "score_interval", "wilson"]

CONFIDENCE = 0.95
"""Nominal coverage of the intervals."""


@dataclass(frozen=True)
class Interval:
    """A number with its interval and the number of observations."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: float, n: int) -> Interval:
    """Return a proportion with Wilson's score interval.

    Args:
        successes: The number of successes; if observations are means, their sum.
        n: The number of observations, at least 1. They should be independent.

    Raises:
        UsageError: Not 0 <= successes <= n, or n < 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise UsageError(f"Expected 0 <= successes <= n and n >= 1; got {successes} of {n}.")
    return score_interval(successes / n, n, n, NormalDist().inv_cdf(0.5 + CONFIDENCE / 2))


def score_interval(share: float, weight: float, n: int, z: float) -> Interval:
    """Return Wilson's interval for a proportion of `weight` outcomes, measured by `n` observations."""
    middle = (share + z * z / (2 * weight)) / (1 + z * z / weight)
    half = z / (1 + z * z / weight) * sqrt(share * (1 - share) / weight + z * z / (4 * weight * weight))
    # Exactly 0 and 1 at the ends; arithmetic would leave 1e-17.
    low = 0.0 if share == 0 else middle - half
    high = 1.0 if share == 1 else middle + half
    return Interval(share, low, high, n)
