"""Power analysis: number of seeds that detects a difference between two agents on the same tasks.

A mean difference over T tasks, each played with k seeds by both agents, has the variance

    (between + within / k) / T

where `between` is how much the true difference varies from task to task, and `within` how much the outcomes of a
task vary from seed to seed, of both agents together. A two-sided test at 5 % sees a true difference with the wanted
power if it is (z(0.975) + z(power)) standard errors. More seeds lower only the second part: where the first alone is
too large, no number of seeds is enough, and it takes more tasks. Both parts are measured by the analysis of variance
of one random effect (Searle, Casella and McCulloch 1992, chapter 3). Knows no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

from act_gym.errors import UsageError

__all__ = ["Components", "Needed", "components", "seeds_needed"]

MOST = 10_000
"""More seeds than this are called none."""


@dataclass(frozen=True)
class Components:
    """Where the variance of a difference comes from.

    Attributes:
        between: Variance over tasks of the true difference.
        within: Variance over seeds of one task's difference of two single outcomes; None if each task was played
            once, because then the two cannot be distinguished.
        tasks: How many tasks were measured.
        together: Variance over tasks of the measured differences.
        seeds: How many seeds stand behind each of them, of either agent.
    """

    between: float
    within: float | None
    tasks: int
    together: float
    seeds: tuple[int, int]


@dataclass(frozen=True)
class Needed:
    """Seeds that detect a difference.

    Attributes:
        difference: The true difference that shall be seen, in 0–1.
        power: How often it shall be seen.
        seeds: Seeds of each agent on these tasks; None if no number is enough.
        tasks: Tasks of this kind that are enough with the seeds that were played.
        smallest: The smallest true difference that the played episodes can detect.
        bound: Whether `seeds` is only a lower bound, because each task was played once.
    """

    difference: float
    power: float
    seeds: int | None
    tasks: int
    smallest: float
    bound: bool

    def to_json(self) -> dict[str, Any]:
        """Return it as a dictionary that `json.dumps` takes."""
        return asdict(self)


def components(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> Components:
    """Measure where the variance of a difference comes from.

    Args:
        first: Outcomes of one agent, by task: one for each seed.
        second: Those of the other on the same tasks.

    Raises:
        UsageError: The tasks are not the same or fewer than two, or some task has more seeds than another.
    """
    if set(first) != set(second) or len(first) < 2:
        raise UsageError(f"Expected the same tasks, two or more; got {len(first)} and {len(second)}.")
    one, other = _table(first), _table({task: second[task] for task in first})
    together = float((one.mean(axis=1) - other.mean(axis=1)).var(ddof=1))
    seeds = one.shape[1], other.shape[1]
    if min(seeds) < 2:
        return Components(0.0, None, len(first), together, seeds)
    each = [float(table.var(axis=1, ddof=1).mean()) for table in (one, other)]
    noise = sum(variance / count for variance, count in zip(each, seeds, strict=True))
    return Components(max(0.0, together - noise), sum(each), len(first), together, seeds)


def seeds_needed(measured: Components, difference: float, *, power: float = 0.8) -> Needed:
    """Return how many seeds show a difference.

    Where each task was played once, all variance is taken for that of seeds, which more seeds lower: the answer is
    then the least that can be enough.

    Args:
        measured: From two agents on the same tasks.
        difference: The true difference that shall be seen, above 0 and at most 1.
        power: How often it shall be seen, above 0.5 and below 1.

    Raises:
        UsageError: A number is out of its range.
    """
    if not 0 < difference <= 1 or not 0.5 < power < 1:
        raise UsageError(f"A difference is above 0 and at most 1, a power in 0.5-1; got {difference} and {power}.")
    reach = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    allowed = measured.tasks * (difference / reach) ** 2  # of between + within / k
    bound = measured.within is None
    within = measured.together * min(measured.seeds) if measured.within is None else measured.within
    room = allowed - measured.between
    seeds = max(1, ceil(within / room - 1e-9)) if room > 0 else None
    return Needed(
        difference=difference,
        power=power,
        seeds=seeds if seeds is not None and seeds <= MOST else None,
        tasks=max(2, ceil(measured.together * (reach / difference) ** 2 - 1e-9)),
        smallest=reach * sqrt(measured.together / measured.tasks),
        bound=bound,
    )


def _table(outcomes: Mapping[str, Iterable[float]]) -> np.ndarray:
    """Return outcomes as an array. Shapes: (tasks, seeds)."""
    rows = [list(values) for values in outcomes.values()]
    if len({len(row) for row in rows}) != 1:
        raise UsageError("Expected as many seeds for every task; some have more than others.")
    return np.asarray(rows, dtype=float)
