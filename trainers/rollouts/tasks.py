"""Task sampling: each task once before any repeats; optionally those neither mastered nor hopeless first.

Which tasks a step plays follows from the seed, from how many were drawn before, and from the running success.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from act_gym.errors import UsageError
from act_gym.types import Task

__all__ = ["TaskChooser", "seed_of"]

_LOOK_AHEAD = 4  # tasks that are looked at for each that is wanted, with choose=success
_PRIOR = 2.0  # episodes that the success of a type counts for a task

Game = tuple[str, Task]


@dataclass
class _Count:
    played: float = 0.0
    solved: float = 0.0


@dataclass
class TaskChooser:
    """Draws the tasks of each step.

    Attributes:
        games: Environments and tasks.
        seed: Of the order.
        by_success: Whether tasks whose running success is within the range come first.
        lowest: Of the range.
        highest: Of the range.
        drawn: How many places of the order were passed.
        counts: Episodes played and solved, by the task's id and by `type:` and its type.
    """

    games: Sequence[Game]
    seed: int
    by_success: bool = False
    lowest: float = 0.2
    highest: float = 0.8
    drawn: int = 0
    counts: dict[str, _Count] = field(default_factory=dict)
    _orders: dict[int, list[int]] = field(default_factory=dict, repr=False)

    def draw(self, count: int, used: Collection[str] = ()) -> list[Game]:
        """Return the next tasks, all different.

        Args:
            count: How many.
            used: Ids of tasks that are not wanted.

        Raises:
            UsageError: There are not so many.
        """
        free = len(self.games) - len(set(used))
        if count > free:
            raise UsageError(
                f"A step wants {count} different tasks and there are {free}. Lower --groups, raise --limit or name "
                "more --env or --task-types."
            )
        wanted: list[Game] = []
        others: list[tuple[float, Game]] = []
        taken = set(used)
        for game in self._coming():
            task = game[1]
            if task.id in taken:
                continue
            taken.add(task.id)
            off = self._off(task)
            if off == 0:
                wanted.append(game)
            else:
                others.append((off, game))
            looked = len(wanted) + len(others)
            if len(wanted) == count or looked == free or (looked >= _LOOK_AHEAD * count and looked >= count):
                break
        nearest = sorted(range(len(others)), key=lambda place: others[place][0])
        return wanted + [others[place][1] for place in nearest[: count - len(wanted)]]

    def success(self, task: Task) -> float:
        """Return the running success of a task: its episodes, and that of its type counted as a few more."""
        kind = self.counts.get(f"type:{task.task_type}", _Count())
        prior = (kind.solved + 1) / (kind.played + 2)
        own = self.counts.get(task.id, _Count())
        return (own.solved + _PRIOR * prior) / (own.played + _PRIOR)

    def note(self, task: Task, solved: Sequence[bool]) -> None:
        """Take the episodes of a task into its running success."""
        for name in (task.id, f"type:{task.task_type}"):
            count = self.counts.setdefault(name, _Count())
            count.played += len(solved)
            count.solved += sum(solved)

    def state(self) -> dict[str, Any]:
        """Return the state that a resumed training needs, as JSON values."""
        return {
            "drawn": self.drawn,
            "counts": {name: [count.played, count.solved] for name, count in self.counts.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a value of `state`."""
        self.drawn = state["drawn"]
        self.counts = {name: _Count(*values) for name, values in state["counts"].items()}

    def _off(self, task: Task) -> float:
        """Return how far a task's running success is outside the range."""
        if not self.by_success:
            return 0.0
        success = self.success(task)
        return max(0.0, self.lowest - success, success - self.highest)

    def _coming(self) -> Iterator[Game]:
        while True:
            sweep, place = divmod(self.drawn, len(self.games))
            if sweep not in self._orders:
                drawn = np.random.default_rng([self.seed, sweep]).permutation(len(self.games))
                self._orders = {sweep: drawn.tolist()}
            self.drawn += 1
            yield self.games[self._orders[sweep][place]]


def seed_of(seed: int, *numbers: int) -> int:
    """Return a seed that follows from a run's seed and some numbers, such as the step and the episode."""
    return int(np.random.SeedSequence([seed, *numbers]).generate_state(1)[0])
