"""A list of tasks that are made when they are looked at, for splits of millions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import overload

from act_gym.types import Task

__all__ = ["LongTaskList"]


class LongTaskList(Sequence[Task]):
    """Reads like a tuple of tasks.

    Args:
        numbers: The tasks' own numbers, ascending: a range or an array.
        make: Makes the task of a number.
        number_of: Returns the number that an id would have, None if it is no such id.
    """

    def __init__(
        self, numbers: Sequence[int], make: Callable[[int], Task], number_of: Callable[[str], int | None]
    ) -> None:
        self._numbers = numbers
        self._make = make
        self._number_of = number_of

    @property
    def positions(self) -> Mapping[str, int]:
        """Where the task of an id stands."""
        return _Positions(self)

    def position(self, task_id: str) -> int | None:
        """Return where the task of an id stands, None if it is not here."""
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
    def __init__(self, tasks: LongTaskList) -> None:
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
