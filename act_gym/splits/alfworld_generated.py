"""The splits of generated ALFWorld games: 3,000 for training, 150 in the same rooms, 150 in others.

The games are made from their split and number by `act_gym.engines.alfworld.generate`, which has no
last game; how many belong to a split is frozen here. Listing them draws what each asks for and makes
none of them, but needs the rooms, and so the alfworld package.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from act_gym.core import Task
from act_gym.engines.alfworld.generate.goals import goal
from act_gym.errors import UnknownNameError

__all__ = ["COUNTS", "tasks"]

COUNTS: Mapping[str, int] = {"generated-train": 3000, "generated-seen": 150, "generated-unseen": 150}


def tasks(split: str | None = None) -> tuple[Task, ...]:
    """Return a split's tasks in their frozen order.

    Args:
        split: `generated-train`, `generated-seen` or `generated-unseen`; None for all 3,300, each under
            its own split.

    Raises:
        UnknownNameError: There is no such split.
        MissingDependencyError: The alfworld package is not installed.
        CorruptDataError: Its data is damaged.
    """
    if split is None:
        return tuple(task for name in COUNTS for task in _tasks(name))
    if split not in COUNTS:
        raise UnknownNameError("split of generated ALFWorld games", split, COUNTS)
    return _tasks(split)


@cache
def _tasks(split: str) -> tuple[Task, ...]:
    return tuple(_task(split, index) for index in range(COUNTS[split]))


def _task(split: str, index: int) -> Task:
    rooms = split.removeprefix("generated-")
    wanted = goal(rooms, index)
    return Task(
        id=f"alfworld/{split}/{wanted.name}/{index}",
        benchmark="ALFWorld",
        split=split,
        task_type=wanted.task_type,
        payload={"generated": f"{rooms}/{index}"},
    )
