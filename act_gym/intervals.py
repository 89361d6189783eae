"""Confidence intervals of a share: Wilson's score interval (Wilson 1927), for evaluations and trainings alike."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from act_gym.errors import UsageError

__all__ = ["CONFIDENCE", "Interval", "score_interval", "wilson"]

CONFIDENCE = 0.95
"""How often an interval holds the truth, or should."""


@dataclass(frozen=True)
class Interval:
    """A number with the interval around it and how many observations stand behind it."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: float, n: int) -> Interval:
    """Return a share with Wilson's score interval.

    Args:
        successes: How many of the observations were successes; of observations that are means, their sum.
        n: How many observations there were, at least 1. They should be independent.

    Raises:
        UsageError: The numbers do not fit together.
    """
    if n < 1 or not 0 <= successes <= n:
        raise UsageError(f"Expected 0 <= successes <= n and n >= 1; got {successes} of {n}.")
    return score_interval(successes / n, n, n, NormalDist().inv_cdf(0.5 + CONFIDENCE / 2))


def score_interval(share: float, weight: float, n: int, z: float) -> Interval:
    """Return Wilson's interval for a share of `weight` outcomes, which are measured by `n` observations."""
    middle = (share + z * z / (2 * weight)) / (1 + z * z / weight)
    half = z / (1 + z * z / weight) * sqrt(share * (1 - share) / weight + z * z / (4 * weight * weight))
    # At the ends the bounds are 0 and 1 exactly; arithmetic would leave 1e-17.
    low = 0.0 if share == 0 else middle - half
    high = 1.0 if share == 1 else middle + half
    return Interval(share, low, high, n)
