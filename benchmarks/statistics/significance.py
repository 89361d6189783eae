"""How likely a difference is to come of chance alone: exact and permutation tests, all two-sided.

Where each task has one outcome, success is tested exactly: McNemar's test (1947) for two agents on the same tasks,
Fisher's for one agent on two sets of tasks. Scores, and success over several seeds, are tested by permutations of
whole tasks: signs of paired differences are flipped, or tasks change sides. A p-value counts the observed
arrangement as one of those drawn (Phipson and Smyth 2010), so it is never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np

from act_gym.errors import UsageError

__all__ = ["fisher", "mcnemar", "paired_permutation", "permutation"]

PERMUTATIONS = 10_000
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


def paired_permutation(
    differences: Sequence[float], generator: np.random.Generator, *, permutations: int = PERMUTATIONS
) -> float:
    """Return the p-value of a mean difference, by flipping signs of whole tasks.

    Args:
        differences: One for each task, first agent minus second.
        generator: Draws the signs.
        permutations: How many arrangements are drawn.

    Raises:
        UsageError: There are no differences.
    """
    values = _values(differences)
    values = values[values != 0]  # a sign changes nothing about these
    observed = abs(values.sum())
    hits = 0
    for size in _blocks(permutations, max(1, len(values))):
        signs = generator.integers(0, 2, size=(size, len(values))) * 2 - 1
        hits += int((np.abs(signs @ values) >= observed * (1 - _NEARLY)).sum())
    return (hits + 1) / (permutations + 1)


def permutation(
    first: Sequence[float],
    second: Sequence[float],
    generator: np.random.Generator,
    *,
    permutations: int = PERMUTATIONS,
) -> float:
    """Return the p-value of a difference of means of two sets of tasks, by moving tasks between the sets.

    Args:
        first: One value for each task of one set.
        second: The same of the other.
        generator: Draws the arrangements.
        permutations: How many are drawn.

    Raises:
        UsageError: A set is empty.
    """
    one, other = _values(first), _values(second)
    everything = np.concatenate([one, other])
    middle, share = everything.sum(), 1 / len(one) + 1 / len(other)
    observed = abs(one.mean() - other.mean())
    hits = 0
    for size in _blocks(permutations, len(everything)):
        drawn = generator.permuted(np.broadcast_to(everything, (size, len(everything))), axis=1)
        differences = drawn[:, : len(one)].sum(axis=1) * share - middle / len(other)
        hits += int((np.abs(differences) >= observed * (1 - _NEARLY)).sum())
    return (hits + 1) / (permutations + 1)


def _values(values: Sequence[float]) -> np.ndarray:
    if not len(values):
        raise UsageError("Expected at least one value; got none.")
    return np.asarray(values, dtype=float)


def _blocks(total: int, width: int) -> list[int]:
    """Return how many rows are drawn at once, so that memory does not grow with the number of values."""
    block = max(1, 2**21 // width)
    return [min(block, total - start) for start in range(0, total, block)]
