"""Engine protocol: the interface of every simulator.

An engine plays one task at a time. It raises `EngineError` if the simulator fails, but not for a command that the
simulator does not understand: the reply to that is an observation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast, overload

import numpy as np

from act_gym.errors import UnknownNameError, UsageError
from act_gym.types import StepResult, Task

__all__ = [
    "Detailed",
    "Engine",
    "LazyTuple",
    "Observing",
    "Planning",
    "Restorable",
    "Templating",
    "detailed",
    "observing",
    "planning",
    "restorable",
    "templating",
]


class Engine(Protocol):
    """Simulator that plays one task at a time."""

    @property
    def goal(self) -> str:
        """The instruction of the current task. Defined after the first `reset`."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the packages and settings that determine the observations."""
        ...

    def reset(self, task: Task) -> StepResult:
        """Load a task and return its first state; the same task always gives the same state.

        Raises:
            MissingDataError: The task's data is not on this machine.
            EngineError: The simulator failed.
        """
        ...

    def step(self, command: str) -> StepResult:
        """Execute a command, any string, and return the result.

        Raises:
            EngineError: The simulator failed.
        """
        ...

    def admissible_commands(self) -> Sequence[str]:
        """Return the commands that the simulator accepts in the current state, sorted and unique.

        A tuple, or a sequence that is computed at its first access (see `act_gym.engines.scienceworld.engine`). It
        always describes this state, even if the first access follows later commands.
        """
        ...

    def expert_commands(self) -> tuple[str, ...]:
        """Return commands that solve the current task from its start. Privileged information.

        The running episode does not change.

        Raises:
            EngineError: Neither the simulator nor the data has a solution for this task.
        """
        ...

    def close(self) -> None:
        """Release the engine's resources; a second call does nothing."""
        ...


class Restorable(Protocol):
    """Optional feature of an engine: snapshots of a state.

    Restoring takes microseconds if a state is a value (ALFWorld's `native`), and a replay of the episode if not
    (ScienceWorld).
    """

    def snapshot(self) -> Any:
        """Return the current state, for any number of calls of `restore`; opaque to other code."""
        ...

    def restore(self, snapshot: Any) -> StepResult:
        """Go back to a state of this engine or of another one of its class; the text in the result is empty."""
        ...

    def fingerprint(self) -> Any:
        """Return a value that is equal in equal states of a task, as far as the engine can tell them apart."""
        ...


class Planning(Protocol):
    """Optional feature of an engine: an expert that plans from any state, also after wrong actions."""

    def plan(self) -> tuple[str, ...]:
        """Return commands that solve the current task from the current state; empty if it is solved. Privileged.

        The running episode does not change.

        Raises:
            UsageError: The wrapped engine cannot plan.
            EngineError: No plan was found; the message says whether none exists.
        """
        ...


class Templating(Protocol):
    """Optional feature of an engine: command templates and the object names that fill them."""

    def action_templates(self) -> Sequence[str]:
        """Return the command templates of the current state, e.g. `open OBJ`, sorted and unique."""
        ...

    def objects(self) -> Sequence[str]:
        """Return the names that can replace OBJ in the current state, sorted and unique."""
        ...


class Observing(Protocol):
    """Optional feature of an engine: texts about the current state that take no step."""

    observable: tuple[str, ...]
    """Names of the texts, e.g. `look`."""

    def observe(self, name: str) -> str:
        """Return one of the texts. The running episode does not change."""
        ...


class Detailed(Protocol):
    """Optional feature of an engine: further keys for `info`."""

    def details(self) -> Mapping[str, Any]:
        """Return the further keys; keys and types of values are the same after every reset and command."""
        ...


def detailed(engine: object) -> Detailed | None:
    """Return the engine if it has further keys for `info`, else None."""
    return cast("Detailed", engine) if hasattr(engine, "details") else None


def planning(engine: object) -> Planning:
    """Return the engine if it can plan.

    Raises:
        UsageError: It cannot.
    """
    if not hasattr(engine, "plan"):
        raise UsageError(
            f"The engine {type(engine).__name__} cannot plan from the current state: plan() needs one that can, "
            "such as ALFWorld's native engine. expert_commands() solves a task from its start."
        )
    return cast("Planning", engine)


def restorable(engine: object) -> Restorable:
    """Return the engine if it supports snapshots.

    Raises:
        UsageError: It does not.
    """
    # Not isinstance: with a protocol it takes several times as long as restoring.
    if not (hasattr(engine, "snapshot") and hasattr(engine, "restore")):
        raise UsageError(
            f"The engine {type(engine).__name__} cannot go back to a state: snapshot() and restore() need one that "
            "can, such as ALFWorld's native engine or ScienceWorld's."
        )
    return cast("Restorable", engine)


def templating(engine: object) -> Templating:
    """Return the engine if it has command templates.

    Raises:
        UsageError: It has none.
    """
    if not (hasattr(engine, "action_templates") and hasattr(engine, "objects")):
        raise UsageError(
            f"The engine {type(engine).__name__} has no command templates: admissible_commands='templates' needs "
            "one that has, such as ScienceWorld's. Use admissible_commands=True; its lists are short."
        )
    return cast("Templating", engine)


def observing(engine: object, names: Iterable[str]) -> Observing:
    """Return the engine if it has these texts.

    Raises:
        UsageError: It has no such texts at all.
        UnknownNameError: It lacks one of them.
    """
    known: tuple[str, ...] = getattr(engine, "observable", ())
    for name in names:
        if not known:
            raise UsageError(
                f"The engine {type(engine).__name__} has no texts but its observations; got observe={name!r}. "
                "ScienceWorld's has look and inventory."
            )
        if name not in known:
            raise UnknownNameError(f"text to observe of {type(engine).__name__}", name, known)
    return cast("Observing", engine)


class LazyTuple(Sequence[str]):
    """Lazy immutable sequence that compares, hashes and prints like a tuple.

    Copies and unpickled objects are that tuple. `json` takes tuples and lists only: `json.dumps(tuple(commands))`.

    Args:
        derive: Returns the items. Called at the first access and released after its first success.
    """

    __slots__ = ("__weakref__", "_derive", "_items")

    def __init__(self, derive: Callable[[], tuple[str, ...]]) -> None:
        self._derive: Callable[[], tuple[str, ...]] | None = derive
        self._items: tuple[str, ...] = ()

    @property
    def derived(self) -> bool:
        """Whether the items have been computed."""
        return self._derive is None

    def _all(self) -> tuple[str, ...]:
        derive = self._derive
        if derive is not None:
            self._items = derive()
            self._derive = None  # set after the items, for readers in other threads
        return self._items

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __contains__(self, item: object) -> bool:
        return item in self._all()

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self._all()[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LazyTuple):
            return self._all() == other._all()
        return self._all() == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._all())

    def __add__(self, other: tuple[str, ...] | LazyTuple) -> tuple[str, ...]:
        return self._all() + tuple(other) if isinstance(other, tuple | LazyTuple) else NotImplemented

    def __radd__(self, other: tuple[str, ...]) -> tuple[str, ...]:
        return other + self._all() if isinstance(other, tuple) else NotImplemented

    def __repr__(self) -> str:
        return repr(self._all())

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (self._all(),)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        """Give numpy all items at once: `generator.choice(commands)` would ask for one after the other."""
        return np.array(self._all(), dtype=dtype)
