"""Significance tests of a difference: exact and permutation tests, all two-sided.

Where each task has one outcome, success is tested exactly: McNemar's test (1947) for two agents on the same tasks,
Fisher's for one agent on two sets of tasks. Scores, and success over several seeds, are tested by permutations of
whole tasks: signs of paired differences are flipped, or tasks change sides. A p-value counts the observed
arrangement as one of those drawn (Phipson and Smyth 2010), so it is never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb

import numpy as np

from act_gym.errors import UsageError
from benchmarks.stats.intervals import Interval

__all__ = ["LEVEL", "Tested", "agreeing", "fisher", "mcnemar", "paired_permutation", "permutation"]

PERMUTATIONS = 10_000
LEVEL = 0.05
"""A p-value up to this rejects; intervals hold what it does not."""
_NEARLY = 1e-9  # relative; chances and sums that differ by less are equal


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact p-value for two agents on the same tasks.

    Args:
        only_first: Tasks that only the first solved.
        only_second: Tasks that only the second solved.

    Raises:
        UsageError: A count is negative.
    """
    if min(only_first, only_second) < 0:
        raise UsageError(f"Counts are 0 or more; got {only_first} and {only_second}.")
    n = only_first + only_second
    tail = sum(comb(n, k) for k in range(min(only_first, only_second) + 1))
    p_value: float = 2 * tail / 2**n
    return min(1.0, p_value)


def fisher(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Return Fisher's exact p-value for two shares: the chance of all tables that are no likelier than this one.

    Args:
        first: Successes and observations of one sample.
        second: The same of the other.

    Raises:
        UsageError: A sample is empty, or has more successes than observations.
    """
    for successes, n in (first, second):
        if n < 1 or not 0 <= successes <= n:
            raise UsageError(f"Expected 0 <= successes <= n and n >= 1; got {successes} of {n}.")
    (a, n), (b, m) = first, second
    ways = {k: comb(n, k) * comb(m, a + b - k) for k in range(max(0, a + b - m), min(n, a + b) + 1)}
    # Whole numbers: tables that are exactly as likely are exactly equal.
    return sum(count for count in ways.values() if count <= ways[a]) / sum(ways.values())


@dataclass(frozen=True)
class Tested:
    """A permutation test of a difference.

    Attributes:
        p_value: Of no difference.
        low: The smallest difference that the same test does not reject at 5 %; −1 if none is too small.
        high: The largest; 1 if none is too large.
    """

    p_value: float
    low: float
    high: float


def paired_permutation(differences: Sequence[float], *, permutations: int = PERMUTATIONS) -> Tested:
    """Test a mean difference by flipping the signs of whole tasks.

    The arrangements are drawn from a fixed seed, so that the same numbers have the same p-value wherever it is shown.

    Args:
        differences: One for each task, first agent minus second, in −1 to 1.
        permutations: How many arrangements are drawn.

    Raises:
        UsageError: There are no differences.
    """
    values = np.sort(_values(differences))
    generator, shifted, flipped = np.random.default_rng(0), [], []
    for size in _blocks(permutations, len(values)):
        signs = generator.integers(0, 2, size=(size, len(values))) * 2 - 1
        shifted.append(signs @ values / len(values))
        flipped.append(signs.mean(axis=1))
    return _inverted(float(values.mean()), np.concatenate(shifted), np.concatenate(flipped))


def permutation(first: Sequence[float], second: Sequence[float], *, permutations: int = PERMUTATIONS) -> Tested:
    """Test a difference of means of two sets of tasks by moving tasks between the sets; see `paired_permutation`.

    Args:
        first: One value for each task of one set, in 0–1.
        second: The same of the other.
        permutations: How many arrangements are drawn.

    Raises:
        UsageError: A set is empty.
    """
    one, other = np.sort(_values(first)), np.sort(_values(second))
    everything = np.concatenate([one, other])
    places, share = np.arange(len(everything)), 1 / len(one) + 1 / len(other)
    generator, shifted, moved = np.random.default_rng(0), [], []
    for size in _blocks(permutations, len(everything)):
        drawn = generator.permuted(np.broadcast_to(places, (size, len(places))), axis=1)[:, : len(one)]
        shifted.append(everything[drawn].sum(axis=1) * share - everything.sum() / len(other))
        moved.append((drawn < len(one)).sum(axis=1) * share - len(one) / len(other))
    return _inverted(float(one.mean() - other.mean()), np.concatenate(shifted), np.concatenate(moved))


def _inverted(observed: float, drawn: np.ndarray, weights: np.ndarray) -> Tested:
    """Return the test of no difference, and the differences that it does not reject.

    If the true difference is d, an arrangement that had the difference `drawn` has `drawn - d * weights`, and the
    observed one `observed - d`. It counts as at least as extreme where d is between two bounds, which may be worked
    out: so the p-value of every d is a count.

    Args:
        observed: The difference that was measured.
        drawn: The differences of the arrangements.
        weights: How much of a true difference is left in each of them, in −1 to 1.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(observed - drawn) / (1 - weights), (observed + drawn) / (1 + weights)])
    # Arrangements that leave everything in its place, or turn all of it round, are as extreme whatever d is.
    always = (1 - np.abs(weights) < _NEARLY)[None]
    lows = np.sort(np.where(always, -1.0, np.fmin(*ends) - _NEARLY)[0])
    highs = np.sort(np.where(always, 1.0, np.fmax(*ends) + _NEARLY)[0])
    count = int((np.abs(drawn) >= abs(observed) * (1 - _NEARLY)).sum())
    p_value = (count + 1) / (len(drawn) + 1)
    enough = int(LEVEL * (len(drawn) + 1))  # so many arrangements, with the observed one, are 5 %
    low, high = max(-1.0, float(lows[enough - 1])), min(1.0, float(highs[-enough]))
    return Tested(p_value, low, high)


def agreeing(interval: Interval, p_value: float, tested: Tested) -> Interval:
    """Return an interval that holds 0 if and only if the given test does not reject 0 at 5 %.

    Two methods may disagree: an exact test is careful, and an interval of means near 0 or 1 is. Then the bound towards
    0 is 0 itself, or the test's own.

    Args:
        interval: Of a difference.
        p_value: Of no difference, by whatever test is shown.
        tested: The permutation test of the same difference.
    """
    rejected, holds = p_value <= LEVEL, interval.low <= 0 <= interval.high
    if rejected != holds:
        return interval
    if not rejected:
        return replace(interval, low=min(interval.low, 0.0), high=max(interval.high, 0.0))
    least = np.finfo(float).tiny  # where an exact test rejects 0 and the drawn permutations just do not
    if interval.value > 0:
        return replace(interval, low=min(max(tested.low, least), interval.value))
    return replace(interval, high=max(min(tested.high, -least), interval.value))


def _values(values: Sequence[float]) -> np.ndarray:
    if not len(values):
        raise UsageError("Expected at least one value; got none.")
    return np.asarray(values, dtype=float)


def _blocks(total: int, width: int) -> list[int]:
    """Return how many rows are drawn at once, so that memory does not grow with the number of values."""
    block = max(1, 2**21 // width)
    return [min(block, total - start) for start in range(0, total, block)]
