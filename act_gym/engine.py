"""What every simulator looks like to the rest of the house.

An engine plays one task at a time. It raises `EngineError` when the simulator fails, and never for
a command it does not understand: that is an observation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from act_gym.errors import UnknownNameError, UsageError
from act_gym.types import StepResult, Task

__all__ = [
    "Detailed",
    "Engine",
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
    """One simulator, playing one task at a time."""

    @property
    def goal(self) -> str:
        """The current task in words. Defined after the first `reset`."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the packages and settings that shape what this engine shows."""
        ...

    def reset(self, task: Task) -> StepResult:
        """Load a task and return its first state. The same task always gives the same state.

        Raises:
            MissingDataError: The task's data is not on this machine.
            EngineError: The simulator failed.
        """
        ...

    def step(self, command: str) -> StepResult:
        """Send a command, any string, and return the state after it.

        Raises:
            EngineError: The simulator failed.
        """
        ...

    def admissible_commands(self) -> Sequence[str]:
        """Return the commands the simulator accepts in the current state, sorted, each once.

        A tuple, or what reads like one and is worked out at the first look (see
        `act_gym.engines.scienceworld.engine`); it stays the current state's whatever is played before that look.
        """
        ...

    def expert_commands(self) -> tuple[str, ...]:
        """Return commands that solve the current task from its start. Privileged information.

        The running episode is not disturbed.

        Raises:
            EngineError: The simulator or the data offers no solution to this task.
        """
        ...

    def close(self) -> None:
        """Release what the engine holds. Closing twice is harmless."""
        ...


class Restorable(Protocol):
    """What an engine may offer besides: going back to a state.

    What that costs is the engine's own: microseconds where a state is a value (ALFWorld's `native`), the way to it
    played again where it is not (ScienceWorld).
    """

    def snapshot(self) -> Any:
        """Return the current state, to go back to any number of times; opaque to everyone else."""
        ...

    def restore(self, snapshot: Any) -> StepResult:
        """Go back to a state, of this engine or of another one of its class. The text in it is empty."""
        ...


class Planning(Protocol):
    """What an engine may offer besides: an expert that goes on from any state, also after wrong actions."""

    def plan(self) -> tuple[str, ...]:
        """Return commands that solve the current task from the current state, none if it is solved. Privileged.

        The running episode is not disturbed.

        Raises:
            UsageError: The engine that this one passes on to cannot plan.
            EngineError: No plan was found; the message says whether there is none.
        """
        ...


class Templating(Protocol):
    """What an engine may offer besides: its commands as patterns and the names that go into them."""

    def action_templates(self) -> Sequence[str]:
        """Return the patterns of commands in the current state, e.g. `open OBJ`, sorted, each once."""
        ...

    def objects(self) -> Sequence[str]:
        """Return the names that stand for OBJ in the current state, sorted, each once."""
        ...


class Observing(Protocol):
    """What an engine may offer besides: texts about the current state that cost the player nothing."""

    observable: tuple[str, ...]
    """Names of the texts, e.g. `look`."""

    def observe(self, name: str) -> str:
        """Return one of the texts. The running episode is not disturbed."""
        ...


class Detailed(Protocol):
    """What an engine may offer besides: more for `info` than every engine has."""

    def details(self) -> Mapping[str, Any]:
        """Return it: the same keys, and for each the same kind of value, after a reset and after every command."""
        ...


def detailed(engine: object) -> Detailed | None:
    """Return the engine as one that has more for `info`; None if it has not."""
    return cast("Detailed", engine) if hasattr(engine, "details") else None


def planning(engine: object) -> Planning:
    """Return the engine as one that can plan.

    Raises:
        UsageError: It cannot.
    """
    if not hasattr(engine, "plan"):
        raise UsageError(
            f"The engine {type(engine).__name__} cannot plan from where an episode stands: plan() needs one that can, "
            "such as ALFWorld's native engine. expert_commands() solves a task from its start."
        )
    return cast("Planning", engine)


def restorable(engine: object) -> Restorable:
    """Return the engine as one that can go back.

    Raises:
        UsageError: It cannot.
    """
    # Not isinstance: with a protocol it takes several times as long as going back.
    if not (hasattr(engine, "snapshot") and hasattr(engine, "restore")):
        raise UsageError(
            f"The engine {type(engine).__name__} cannot go back to a state: snapshot() and restore() need one that "
            "can, such as ALFWorld's native engine or ScienceWorld's."
        )
    return cast("Restorable", engine)


def templating(engine: object) -> Templating:
    """Return the engine as one that has patterns of commands.

    Raises:
        UsageError: It has none.
    """
    if not (hasattr(engine, "action_templates") and hasattr(engine, "objects")):
        raise UsageError(
            f"The engine {type(engine).__name__} has no patterns of commands: admissible_commands='templates' needs "
            "one that has, such as ScienceWorld's. Use admissible_commands=True; its lists are short."
        )
    return cast("Templating", engine)


def observing(engine: object, names: Iterable[str]) -> Observing:
    """Return the engine as one that has these texts.

    Raises:
        UsageError: It has none at all.
        UnknownNameError: It lacks one of them.
    """
    known: tuple[str, ...] = getattr(engine, "observable", ())
    for name in names:
        if not known:
            raise UsageError(
                f"The engine {type(engine).__name__} shows nothing besides its observations; got observe={name!r}. "
                "ScienceWorld's has look and inventory."
            )
        if name not in known:
            raise UnknownNameError(f"text to observe of {type(engine).__name__}", name, known)
    return cast("Observing", engine)
