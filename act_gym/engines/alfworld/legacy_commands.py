"""Legacy commands: ALFWorld's wording before 0.4, for older prompts and models.

Game files before ALFWorld 0.4 say `put mug 1 in/on desk 1` where newer ones say `move mug 1 to desk 1`. This module
restores the old wording in the admissible commands, the feedback, the help and the expert's commands. The new wording
is then not admissible. Two other differences are not restored: arrivals named a location (`You arrive at loc 3.`), a
mistake in the grammar, and there was no `help`. Games that already use `put` are unchanged.

Semantics: `scripts/patch_tw-pddl.py` in the ALFWorld repository, which made the newer files, backwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from act_gym.engine import Engine, planning, restorable
from act_gym.types import StepResult, Task

__all__ = ["LegacyCommands"]

_MOVE = re.compile(r"move (.+?) to (.+)")
_HELP = ("move (object) to (receptacle):  place", "put (object) in/on (receptacle):  place")


class LegacyCommands:
    """Wraps any ALFWorld engine with the old wording. A step translates the command.

    Args:
        engine: The engine that plays.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shown: tuple[str, ...] = ()  # the engine's commands that the next two were made from
        self._meant: dict[str, str] = {}
        self._commands: tuple[str, ...] = ()

    @property
    def goal(self) -> str:
        """The instruction of the current task."""
        return self._engine.goal

    @property
    def versions(self) -> Mapping[str, str]:
        """The engine's own, and that the commands are the older ones."""
        return {**self._engine.versions, "legacy_commands": "true"}

    def reset(self, task: Task) -> StepResult:
        """Load a game; see the engine's own `reset`."""
        return self._engine.reset(task)

    def step(self, command: str) -> StepResult:
        """Send a command in the older words, any string.

        Raises:
            EngineError: The simulator failed, or no game has been loaded.
        """
        self.admissible_commands()
        command = command.strip()
        # No game has an empty command: it replaces all commands that the old wording lacks.
        meant = self._meant.get(command, "")
        state = self._engine.step(meant)
        if meant != command:
            moved = _MOVE.fullmatch(meant)
            if moved:
                new = f"You move the {moved[1]} to the {moved[2]}."
                old = f"You put the {moved[1]} in/on the {moved[2]}."
                return replace(state, observation=state.observation.replace(new, old, 1))
        elif command == "help":
            return replace(state, observation=state.observation.replace(*_HELP, 1))
        return state

    def admissible_commands(self) -> tuple[str, ...]:
        """Return the commands the game accepts now, in the older words, sorted, each once."""
        shown = tuple(self._engine.admissible_commands())
        if shown is not self._shown:
            self._meant = {_older(command): command for command in shown}
            self._commands = tuple(sorted(self._meant))
            self._shown = shown
        return self._commands

    def expert_commands(self) -> tuple[str, ...]:
        """Return the engine's, in the older words.

        Raises:
            EngineError: There is no solution at hand.
        """
        return tuple(map(_older, self._engine.expert_commands()))

    def plan(self) -> tuple[str, ...]:
        """Return commands that win from the current state, in the older words.

        Raises:
            UsageError: The engine cannot plan.
            EngineError: No plan was found.
        """
        return tuple(map(_older, planning(self._engine).plan()))

    def snapshot(self) -> Any:
        """Return the current state, to go back to any number of times.

        Raises:
            UsageError: The engine cannot go back.
        """
        return restorable(self._engine).snapshot()

    def restore(self, snapshot: Any) -> StepResult:
        """Go back to a state and return it without a text.

        Raises:
            UsageError: The engine cannot go back.
        """
        return restorable(self._engine).restore(snapshot)

    def fingerprint(self) -> Any:
        """Return the engine's fingerprint of the current state.

        Raises:
            UsageError: The engine has none.
        """
        return restorable(self._engine).fingerprint()

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


def _older(command: str) -> str:
    moved = _MOVE.fullmatch(command)
    return f"put {moved[1]} in/on {moved[2]}" if moved else command
