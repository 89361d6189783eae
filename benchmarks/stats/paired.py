"""Paired comparison of two agents on the same tasks: differences with intervals and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.stats.intervals import Interval, bootstrap_mean, newcombe
from benchmarks.stats.power import Needed, components, seeds_needed
from benchmarks.stats.scores import OUTCOMES, Record, errors_in, one_seed, per_task, sure
from benchmarks.stats.significance import agreeing, mcnemar, paired_permutation

__all__ = ["Contrast", "contrast", "contrasts", "gap"]


@dataclass(frozen=True)
class Contrast:
    """One outcome of two agents on the same tasks; shares are 0–1.

    Attributes:
        suite: Whose tasks; `A - B` for the gap between two suites.
        task_type: Which type of task; empty for all.
        name: `success` or `score`.
        tasks: How many.
        first: The first agent's mean, with its interval.
        second: The second's.
        difference: First minus second, with Newcombe's interval for pairs, made to agree with the test.
        bootstrap: The same with the cluster bootstrap's interval over tasks.
        test: `mcnemar` or `permutation`; empty where nothing is tested.
        p_value: Two-sided; None where nothing is tested.
        only_first: Tasks that the first agent did better on.
        only_second: Tasks that the second did better on.
        errors: Episodes of each that ended with an error, which count as failures.
        needed: Seeds needed to see a given difference, if that was asked; None as well where every task showed the
            same difference, which tells nothing of how much it varies.
    """

    suite: str
    task_type: str
    name: str
    tasks: int
    first: Interval
    second: Interval
    difference: Interval
    bootstrap: Interval | None = None
    test: str = ""
    p_value: float | None = None
    only_first: int = 0
    only_second: int = 0
    errors: tuple[int, int] = (0, 0)
    needed: Needed | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a dictionary that `json.dumps` takes."""
        return asdict(self)


def contrasts(
    suite: str,
    first: Sequence[Record],
    second: Sequence[Record],
    generator: np.random.Generator,
    *,
    detect: float = 0.0,
    power: float = 0.8,
) -> list[Contrast]:
    """Compare two agents on a suite: both outcomes over all its tasks, then success by task type.

    Args:
        suite: Its name.
        first: Flat records of one agent.
        second: Those of the other on the same tasks.
        generator: Draws resamples.
        detect: A difference for which to say how many seeds it needs; 0 for none.
        power: How often that shall be seen.
    """
    found = [
        contrast(suite, name, first, second, generator, detect=detect, power=power, tested=True) for name in OUTCOMES
    ]
    types = sorted({record["task_type"] for record in first})
    for task_type in types if len(types) > 1 else ():
        one, other = ([record for record in side if record["task_type"] == task_type] for side in (first, second))
        found.append(contrast(suite, "success", one, other, generator, task_type=task_type))
    return found


def contrast(
    suite: str,
    name: str,
    first: Sequence[Record],
    second: Sequence[Record],
    generator: np.random.Generator,
    *,
    task_type: str = "",
    tested: bool = False,
    detect: float = 0.0,
    power: float = 0.8,
) -> Contrast:
    """Compare one outcome of two agents on the same tasks; see `contrasts`."""
    one, other = per_task(first, name), per_task(second, name)
    assert one.keys() == other.keys(), "the same tasks"
    pairs = np.array([(one[task], other[task]) for task in one])  # (tasks, 2)
    differences = pairs[:, 0] - pairs[:, 1]
    only_first, only_second = int((differences > 0).sum()), int((differences < 0).sum())
    sides = sure(name, first), sure(name, second)
    difference = newcombe(*sides, _correlation(pairs))
    test, p_value = "", None
    if tested:
        exact = name == "success" and one_seed(first) and one_seed(second)
        test = "mcnemar" if exact else "permutation"
        p_value = mcnemar(only_first, only_second) if exact else paired_permutation(differences)
        difference = agreeing(difference, p_value, lambda shift: paired_permutation(differences - shift))
    needed = None
    if detect and len(one) > 1:
        measured = components(_outcomes(first, name), _outcomes(second, name))
        needed = seeds_needed(measured, detect, power=power) if measured.together else None
    return Contrast(
        suite=suite,
        task_type=task_type,
        name=name,
        tasks=len(one),
        first=sides[0],
        second=sides[1],
        difference=difference,
        bootstrap=bootstrap_mean(differences.tolist(), generator),
        test=test,
        p_value=p_value,
        only_first=only_first,
        only_second=only_second,
        errors=(errors_in(first), errors_in(second)),
        needed=needed,
    )


def gap(seen: Contrast, unseen: Contrast) -> Contrast:
    """Return how much larger the first agent's gap between two suites is than the second's."""
    first, second = newcombe(seen.first, unseen.first), newcombe(seen.second, unseen.second)
    return Contrast(
        suite=f"{seen.suite} - {unseen.suite}",
        task_type="",
        name=seen.name,
        tasks=min(seen.tasks, unseen.tasks),
        first=first,
        second=second,
        difference=newcombe(seen.difference, unseen.difference),
        errors=(seen.errors[0] + unseen.errors[0], seen.errors[1] + unseen.errors[1]),
    )


def _correlation(pairs: np.ndarray) -> float:
    """Return the correlation of two columns; 0 where one of them does not vary. Shapes: (N, 2)."""
    if len(pairs) < 2 or (pairs.min(axis=0) == pairs.max(axis=0)).any():
        return 0.0
    return float(np.corrcoef(pairs.T)[0, 1])


def _outcomes(records: Sequence[Record], name: str) -> Mapping[str, list[float]]:
    values: dict[str, list[float]] = {}
    for record in records:
        values.setdefault(record["task_id"], []).append(float(record[name]))
    return values
