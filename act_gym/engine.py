"""What every simulator looks like to the rest of the house.

An engine plays one task at a time. It raises `EngineError` when the simulator fails, and never for
a command it does not understand: that is an observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from act_gym.core import State, Task

__all__ = ["Engine"]


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

    def reset(self, task: Task) -> State:
        """Load a task and return its first state. The same task always gives the same state.

        Raises:
            MissingDataError: The task's data is not on this machine.
            EngineError: The simulator failed.
        """
        ...

    def step(self, command: str) -> State:
        """Send a command, any string, and return the state after it.

        Raises:
            EngineError: The simulator failed.
        """
        ...

    def admissible_commands(self) -> tuple[str, ...]:
        """Return the commands the simulator accepts in the current state, sorted, each once."""
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
