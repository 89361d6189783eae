"""Task sampling: stratified by task type, in random order without replacement, also from lazy lists.

Each task type has its own random generator. Leaving a type out, or asking for more tasks, never changes which tasks of
another type come first: `per_type=4` is a subset of `per_type=8`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any, TypeVar, overload
from zlib import crc32

import numpy as np

from act_gym.benchmarks import parse_id
from act_gym.benchmarks import tasks as list_tasks
from act_gym.errors import UnknownNameError, UsageError
from act_gym.types import Task

__all__ = ["EpochSampler", "LazyTaskList", "in_turn", "select", "select_from"]


_SHUFFLED = 100_000  # up to so many are shuffled at once; beyond, only the numbers already drawn are stored


class EpochSampler:
    """Draws numbers below a count without replacement, epoch after epoch.

    Args:
        count: How many there are; at least 1.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._left = 0
        self._order = np.arange(0)
        self._moved: dict[int, int] = {}

    def restart(self) -> None:
        """Start a new epoch with the next draw."""
        self._left = 0

    def draw(self, random: np.random.Generator) -> int:
        """Return the next number."""
        if not self._left:
            self._left = self._count
            self._moved = {}
            if self._count <= _SHUFFLED:
                self._order = random.permutation(self._count)
        self._left -= 1
        if self._count <= _SHUFFLED:
            return int(self._order[self._left])
        at = int(random.integers(self._left + 1))  # Fisher and Yates, with a table of the moved numbers
        drawn = self._moved.get(at, at)
        last = self._moved.pop(self._left, self._left)
        if at < self._left:
            self._moved[at] = last
        return drawn


class LazyTaskList(Sequence[Task]):
    """Lazy sequence of tasks.

    Args:
        numbers: The numbers of the tasks, ascending: a range or an array.
        make: Makes the task of a number.
        number_of: Returns the number of an id, None for any other string.
    """

    def __init__(
        self, numbers: Sequence[int], make: Callable[[int], Task], number_of: Callable[[str], int | None]
    ) -> None:
        self._numbers = numbers
        self._make = make
        self._number_of = number_of

    @property
    def positions(self) -> Mapping[str, int]:
        """Map from the id of a task to its index."""
        return _Positions(self)

    def position(self, task_id: str) -> int | None:
        """Return the index of the task with an id, None if it is absent."""
        number = self._number_of(task_id)
        if number is None:
            return None
        at = bisect_left(self._numbers, number)
        return at if at < len(self._numbers) and self._numbers[at] == number else None

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Task, ...]: ...
    def __getitem__(self, index: int | slice) -> Task | tuple[Task, ...]:
        if isinstance(index, slice):
            return tuple(self._make(number) for number in self._numbers[index])
        return self._make(self._numbers[index])


class _Positions(Mapping[str, int]):
    def __init__(self, tasks: LazyTaskList) -> None:
        self._tasks = tasks

    def __getitem__(self, task_id: str) -> int:
        found = self._tasks.position(task_id)
        if found is None:
            raise KeyError(task_id)
        return found

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[str]:
        return (task.id for task in self._tasks)


T = TypeVar("T")


def select_from(
    env_ids: Sequence[str],
    *,
    task_types: Sequence[str] = (),
    per_type: int = 0,
    limit: int = 0,
    seed: int = 0,
    env_options: Mapping[str, Any] | None = None,
) -> dict[str, tuple[Task, ...]]:
    """Select tasks of several environments; see `select`.

    A task type may be absent from some environments, e.g. if it is held out.

    Args:
        env_ids: The environments.
        task_types: See `select`.
        per_type: See `select`.
        limit: See `select`.
        seed: See `select`.
        env_options: Options of the environments; some select the tasks, such as WebShop's `catalogue`.

    Returns:
        The selected tasks of each environment, in the order of `env_ids`.

    Raises:
        UnknownNameError: An environment id is unknown, or a task type is in none of them.
        UsageError: `per_type` or `limit` is negative.
    """
    splits = {env_id: list_tasks(env_id, **parse_id(env_id)[0].choosing(env_options or {})) for env_id in env_ids}
    present = {env_id: {task.task_type for task in split} for env_id, split in splits.items()}
    known = set().union(*present.values())
    for name in task_types:
        if name not in known:
            raise UnknownNameError("task type", name, known)
    chosen = {}
    for env_id, split in splits.items():
        wanted = [name for name in task_types if name in present[env_id]]
        none_here = bool(task_types) and not wanted
        chosen[env_id] = (
            () if none_here else select(split, task_types=wanted, per_type=per_type, limit=limit, seed=seed)
        )
    return chosen


def select(
    tasks: Sequence[Task],
    *,
    task_types: Sequence[str] = (),
    per_type: int = 0,
    limit: int = 0,
    seed: int = 0,
) -> tuple[Task, ...]:
    """Select tasks and return them in their original order.

    Args:
        tasks: The split.
        task_types: Only these types; empty for all.
        per_type: At most this many of each type; 0 for all.
        limit: At most this many in total, taken from the types in turn, so the mix of types is even and not the split's
            own; 0 for all.
        seed: Seed of the selection.

    Raises:
        UnknownNameError: A task type is absent.
        UsageError: `per_type` or `limit` is negative.
    """
    if per_type < 0 or limit < 0:
        raise UsageError(f"per_type and limit are 0 (all) or more; got {per_type} and {limit}.")
    by_type: dict[str, list[int]] = {}
    for position, task in enumerate(tasks):
        by_type.setdefault(task.task_type, []).append(position)
    for name in task_types:
        if name not in by_type:
            raise UnknownNameError("task type", name, by_type)
    queues = []
    for name in sorted(task_types or by_type):
        order = np.random.default_rng([seed, crc32(name.encode())]).permutation(len(by_type[name]))
        queue = [by_type[name][index] for index in order.tolist()]
        queues.append(queue[: per_type or None])
    chosen = list(in_turn(queues))
    return tuple(tasks[position] for position in sorted(chosen[: limit or None]))


def in_turn(queues: Iterable[Iterable[T]]) -> Iterator[T]:
    """Yield the first item of every queue, then the second of each that has one, and so on."""
    missing = object()
    for one in chain.from_iterable(zip_longest(*queues, fillvalue=missing)):
        if one is not missing:
            yield one  # type: ignore[misc]
