"""Confidence intervals of shares, means and differences of means.

Wilson's interval (Wilson 1927) serves shares of independent yes-or-no outcomes; it stays inside 0–1 and is honest
about 0 of n. `clustered` serves means of values in 0–1, such as a task's mean over its seeds: it is Wilson's for as
many yes-or-no outcomes as would be just as sure (Korn and Graubard 1998, with Wilson's interval as in Dean and
Pagano 2015). Newcombe's (1998, method 10) makes the difference of two such intervals, of pairs as well.

The percentile bootstrap (Efron 1979), widened for small samples (Hesterberg 2015, section 5.3), serves everything
else: given one value a task, it is the cluster bootstrap over tasks. It knows only the values it was given: of equal
values it makes an interval of no width. docs/design/evaluation.md has how often each of them holds the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from math import sqrt
from statistics import NormalDist

import numpy as np

from act_gym.errors import MissingDependencyError, UsageError
from act_gym.intervals import CONFIDENCE, Interval, score_interval, wilson

__all__ = [
    "Interval",
    "bootstrap_difference",
    "bootstrap_mean",
    "clustered",
    "newcombe",
    "wilson",
]

if find_spec("scipy") is None:  # before anything is played
    raise MissingDependencyError("scipy", "eval")

RESAMPLES = 10_000
_BLOCK = 2**22  # numbers drawn at once, so that memory does not grow with the number of values


def clustered(values: Sequence[float]) -> Interval:
    """Return the mean of independent values in 0–1 with an interval that respects how much they vary.

    Wilson's interval with Student's quantile, for the number of yes-or-no outcomes whose mean would vary as much as
    this one does. Where all values are equal, which tells nothing of how they vary, for as many as there are values.

    Args:
        values: One for each cluster, e.g. a task's mean over its seeds; at least one.

    Raises:
        UsageError: There are no values, or one is not in 0–1.
    """
    observed = _array(values)
    if observed.min() < 0 or observed.max() > 1:
        raise UsageError(f"Expected values in 0-1; got {observed.min():g} to {observed.max():g}.")
    n, mean = len(observed), float(observed.mean())
    if observed.min() == observed.max():
        return score_interval(float(observed[0]), n, n, NormalDist().inv_cdf(0.5 + CONFIDENCE / 2))
    effective = mean * (1 - mean) * n / float(observed.var(ddof=1))
    return score_interval(mean, effective, n, _student(0.5 + CONFIDENCE / 2, n - 1))


def newcombe(first: Interval, second: Interval, correlation: float = 0.0) -> Interval:
    """Return the difference of two shares or means, first minus second.

    Args:
        first: A share with Wilson's interval, or a mean with that of `clustered`.
        second: Another.
        correlation: Of the two estimates; 0 where they are independent, that of the pairs where they are paired
            (then it is the method of moments of Zou and Donner 2008).

    Returns:
        The difference with Newcombe's interval; `n` is the smaller of the two.
    """
    difference = first.value - second.value
    below = _apart(first.value - first.low, second.high - second.value, correlation)
    above = _apart(first.high - first.value, second.value - second.low, correlation)
    return Interval(difference, difference - below, difference + above, min(first.n, second.n))


def bootstrap_mean(values: Sequence[float], generator: np.random.Generator, *, resamples: int = RESAMPLES) -> Interval:
    """Return a mean with its percentile bootstrap interval.

    Args:
        values: Independent observations, at least one.
        generator: Draws the resamples.
        resamples: How many means are drawn.

    Raises:
        UsageError: There are no values.
    """
    observed = _array(values)
    low, high = _percentiles(_means(observed, generator, resamples), len(observed))
    return Interval(float(observed.mean()), low, high, len(observed))


def bootstrap_difference(
    first: Sequence[float],
    second: Sequence[float],
    generator: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the difference of two independent means, first minus second, with its bootstrap interval.

    `n` is the size of the smaller sample. See `bootstrap_mean`.

    Raises:
        UsageError: One of them has no values.
    """
    one, other = _array(first), _array(second)
    differences = _means(one, generator, resamples) - _means(other, generator, resamples)
    smaller = min(len(one), len(other))
    low, high = _percentiles(differences, smaller)
    return Interval(float(one.mean() - other.mean()), low, high, smaller)


def _student(probability: float, freedom: int) -> float:
    """Return Student's quantile."""
    from scipy.special import stdtrit  # in a fifth of the time that scipy.stats takes to import

    return float(stdtrit(freedom, probability))


def _apart(one: float, other: float, correlation: float) -> float:
    return sqrt(max(0.0, one * one - 2 * correlation * one * other + other * other))


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


def _percentiles(means: np.ndarray, n: int) -> tuple[float, float]:
    """Return the percentiles that a sample of n asks for: further out than the confidence, as t is than z."""
    tail = 0.5 - CONFIDENCE / 2
    if n > 1:
        tail = NormalDist().cdf(-sqrt(n / (n - 1)) * _student(1 - tail, n - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
