"""How sure a measured number is: intervals for shares, means and differences of means.

Wilson's interval (Wilson 1927) serves shares of independent yes-or-no outcomes; it stays inside 0–1
and is honest about 0 of n. Newcombe's (1998, method 10) makes the difference of two shares of two
Wilson intervals. The percentile bootstrap (Efron 1979) serves everything else. It knows only the
values it was given: of equal values it makes an interval of no width, and with few values it is a
little too narrow. `mean_of_shares` and `difference_of_shares` mend the first for values in 0–1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from act_gym.errors import UsageError

__all__ = [
    "Interval",
    "bootstrap_difference",
    "bootstrap_mean",
    "difference_of_shares",
    "mean_of_shares",
    "newcombe",
    "wilson",
]

RESAMPLES = 10_000
_BLOCK = 2**22  # numbers drawn at once, so that memory does not grow with the number of values


@dataclass(frozen=True)
class Interval:
    """A number with the interval around it and how many observations stand behind it."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Return a share with Wilson's score interval.

    Args:
        successes: How many of the observations were successes.
        n: How many observations there were, at least 1. They should be independent.
        confidence: How often such intervals hold the true share.

    Raises:
        UsageError: The numbers do not fit together.
    """
    if n < 1 or not 0 <= successes <= n:
        raise UsageError(f"Expected 0 <= successes <= n and n >= 1; got {successes} of {n}.")
    return _wilson(successes / n, n, confidence)


def newcombe(first: Interval, second: Interval) -> Interval:
    """Return the difference of two independent shares, first minus second.

    Args:
        first: A share with Wilson's interval.
        second: Another, of the same confidence.

    Returns:
        The difference with Newcombe's interval; `n` is the smaller of the two.
    """
    difference = first.value - second.value
    below = sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    above = sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    return Interval(difference, difference - below, difference + above, min(first.n, second.n))


def bootstrap_mean(
    values: Sequence[float], generator: np.random.Generator, *, confidence: float = 0.95, resamples: int = RESAMPLES
) -> Interval:
    """Return a mean with its percentile bootstrap interval.

    Args:
        values: Independent observations, at least one.
        generator: Draws the resamples.
        confidence: How often such intervals hold the true mean.
        resamples: How many means are drawn.

    Raises:
        UsageError: There are no values.
    """
    observed = _array(values)
    low, high = _percentiles(_means(observed, generator, resamples), confidence)
    return Interval(float(observed.mean()), low, high, len(observed))


def bootstrap_difference(
    first: Sequence[float],
    second: Sequence[float],
    generator: np.random.Generator,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the difference of two independent means, first minus second, with its bootstrap interval.

    `n` is the size of the smaller sample. See `bootstrap_mean`.

    Raises:
        UsageError: One of them has no values.
    """
    one, other = _array(first), _array(second)
    differences = _means(one, generator, resamples) - _means(other, generator, resamples)
    low, high = _percentiles(differences, confidence)
    return Interval(float(one.mean() - other.mean()), low, high, min(len(one), len(other)))


def mean_of_shares(values: Sequence[float], generator: np.random.Generator) -> Interval:
    """Return the mean of values in 0–1 with its 95 % interval.

    The bootstrap's; if all values are equal, which tells it nothing of their spread, Wilson's for that
    share of as many yes-or-no outcomes, the widest that values in 0–1 can spread.

    Raises:
        UsageError: There are no values, or one is not in 0–1.
    """
    observed = _array(values)
    if observed.min() < 0 or observed.max() > 1:
        raise UsageError(f"Expected values in 0-1; got {observed.min():g} to {observed.max():g}.")
    if observed.min() == observed.max():
        return _wilson(float(observed[0]), len(observed), 0.95)
    return bootstrap_mean(values, generator)


def difference_of_shares(first: Sequence[float], second: Sequence[float], generator: np.random.Generator) -> Interval:
    """Return the difference of two means of values in 0–1, first minus second, with its 95 % interval.

    The bootstrap's; Newcombe's of the two intervals if the values of either side are all equal.

    Raises:
        UsageError: One of them has no values, or a value is not in 0–1.
    """
    sides = mean_of_shares(first, generator), mean_of_shares(second, generator)
    if min(first) == max(first) or min(second) == max(second):
        return newcombe(*sides)
    return bootstrap_difference(first, second, generator)


def _wilson(share: float, n: int, confidence: float) -> Interval:
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends the bounds are 0 and 1 exactly; arithmetic would leave 1e-17.
    low = 0.0 if share == 0 else middle - half
    high = 1.0 if share == 1 else middle + half
    return Interval(share, low, high, n)


def _array(values: Sequence[float]) -> np.ndarray:
    if not len(values):
        raise UsageError("Expected at least one value; got none.")
    return np.asarray(values, dtype=float)


def _means(values: np.ndarray, generator: np.random.Generator, resamples: int) -> np.ndarray:
    """Return the means of resamples. Shapes: values (n,), result (resamples,)."""
    block = max(1, _BLOCK // len(values))
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    drawn = [values[generator.integers(len(values), size=(size, len(values)))].mean(axis=1) for size in sizes]
    return np.concatenate(drawn)


def _percentiles(means: np.ndarray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)
