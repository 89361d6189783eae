"""Significance tests of a difference: exact and permutation tests, all two-sided.

Where each task has one outcome, success is tested exactly: McNemar's test (1947) for two agents on the same tasks,
Fisher's for one agent on two sets of tasks. Scores, and success over several seeds, are tested by permutations of
whole tasks: signs of paired differences are flipped, or tasks change sides. Few tasks have all their arrangements
counted. Of many, 10,000 are drawn from a fixed seed, and the observed one counts as one of them (Phipson and Smyth
2010), so that a p-value is never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from act_gym.errors import UsageError
from benchmarks.stats.intervals import Interval

__all__ = ["LEVEL", "agreeing", "fisher", "mcnemar", "paired_permutation", "permutation"]

PERMUTATIONS = 10_000
LEVEL = 0.05
"""A p-value up to this rejects; intervals hold what it does not."""
_HALVINGS = 12  # of the distance between 0 and a difference, to find a bound


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact p-value for two agents on the same tasks.

    Args:
        only_first: Tasks that only the first solved.
        only_second: Tasks that only the second solved.

    Raises:
        UsageError: A count is negative.
    """
    from scipy.stats import binomtest

    if min(only_first, only_second) < 0:
        raise UsageError(f"Counts are 0 or more; got {only_first} and {only_second}.")
    together = only_first + only_second
    return float(binomtest(only_first, together).pvalue) if together else 1.0


def fisher(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Return Fisher's exact p-value for two shares: the chance of all tables that are no likelier than this one.

    Args:
        first: Successes and observations of one sample.
        second: The same of the other.

    Raises:
        UsageError: A sample is empty, or has more successes than observations.
    """
    from scipy.stats import fisher_exact

    for successes, n in (first, second):
        if n < 1 or not 0 <= successes <= n:
            raise UsageError(f"Expected 0 <= successes <= n and n >= 1; got {successes} of {n}.")
    return float(fisher_exact([[successes, n - successes] for successes, n in (first, second)]).pvalue)


def paired_permutation(differences: Sequence[float], *, permutations: int = PERMUTATIONS) -> float:
    """Return the p-value of a mean difference, by flipping the signs of whole tasks.

    Args:
        differences: One for each task, first agent minus second.
        permutations: How many arrangements are drawn where there are more.

    Raises:
        UsageError: There are no differences.
    """

    def distance(values: np.ndarray, axis: int) -> Any:
        return np.abs(values.mean(axis=axis))

    return _permuted([differences], distance, "samples", permutations)


def permutation(first: Sequence[float], second: Sequence[float], *, permutations: int = PERMUTATIONS) -> float:
    """Return the p-value of a difference of means of two sets of tasks, by moving tasks between the sets.

    Args:
        first: One value for each task of one set.
        second: The same of the other.
        permutations: How many arrangements are drawn where there are more.

    Raises:
        UsageError: A set is empty.
    """

    def distance(one: np.ndarray, other: np.ndarray, axis: int) -> Any:
        return np.abs(one.mean(axis=axis) - other.mean(axis=axis))

    return _permuted([first, second], distance, "independent", permutations)


def _permuted(samples: list[Sequence[float]], distance: Callable[..., Any], kind: str, permutations: int) -> float:
    """Return scipy's p-value, which the order of the tasks does not change; 1 for a set of one task."""
    from scipy.stats import permutation_test

    if not all(map(len, samples)):
        raise UsageError("Expected at least one value; got none.")
    if min(map(len, samples)) < 2:
        return 1.0  # scipy tests no single observation
    found = permutation_test(
        [np.sort(np.asarray(values, dtype=float)) for values in samples],
        distance,
        permutation_type=kind,
        vectorized=True,
        n_resamples=permutations,
        batch=max(1, 2**21 // sum(map(len, samples))),  # so that memory does not grow with the number of tasks
        alternative="greater",
        rng=0,
    )
    return float(found.pvalue)


def agreeing(interval: Interval, p_value: float, test: Callable[[float], float]) -> Interval:
    """Return an interval that holds 0 if and only if the given test does not reject 0 at 5 %.

    Two methods may disagree: an exact test is careful, and an interval of means near 0 or 1 is. Then the bound towards
    0 is 0 itself, or the smallest difference that the permutation test keeps.

    Args:
        interval: Of a difference.
        p_value: Of no difference, by the test that is shown.
        test: Returns the permutation test's p-value of another true difference than 0.
    """
    rejected, holds = p_value <= LEVEL, interval.low <= 0 <= interval.high
    if rejected != holds:
        return interval
    if not rejected:
        return replace(interval, low=min(interval.low, 0.0), high=max(interval.high, 0.0))
    kept, lost = interval.value, 0.0
    for _ in range(_HALVINGS):
        middle = (kept + lost) / 2
        kept, lost = (middle, lost) if test(middle) > LEVEL else (kept, middle)
    return replace(interval, low=kept) if interval.value > 0 else replace(interval, high=kept)
