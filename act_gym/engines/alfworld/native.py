"""Native ALFWorld engine in pure Python, with the same output as upstream's packages, byte for byte.

A game file's own domain, grammar and problem are compiled; see `docs/design/alfworld-native.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from act_gym.engines.alfworld import planner
from act_gym.engines.alfworld.files import games_folder
from act_gym.engines.alfworld.game import Game, Position
from act_gym.engines.alfworld.object_names import NOTHING_HAPPENS, goal_in
from act_gym.engines.alfworld.store import find_game
from act_gym.errors import DeadEndError, EngineError
from act_gym.types import StepResult, Task
from act_gym.version import __version__

__all__ = ["NativeEngine", "Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of an ALFWorld game; shares data with other states."""

    game: Game
    position: Position


class NativeEngine:
    """Plays ALFWorld games in plain Python.

    `action_valid` is whether the command was admissible; any other command shows "Nothing happens." and changes
    nothing. `look`, `inventory` and `help` are admissible. Commands are matched exactly, apart from white space around
    them, as upstream does.

    Args:
        data: Folder with `train`, `valid_seen` and `valid_unseen`; None for the cache folder.
    """

    def __init__(self, *, data: str | None = None) -> None:
        self._folder = games_folder(data)
        self._game: Game | None = None
        self._here: Position | None = None
        self._course: tuple[str, ...] = ()

    @property
    def goal(self) -> str:
        """The instruction of the current task, e.g. `put a pencil in drawer.`."""
        return goal_in(self._game.intro) if self._game else ""

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of this engine; all texts come from the game files."""
        return {"act-gym-alfworld-native": __version__}

    def reset(self, task: Task) -> StepResult:
        """Load a game and return its first state: the introduction, the room and the task.

        Raises:
            MissingDataError: The game is not on this machine.
            CorruptDataError: The game's file is damaged.
            UnsupportedGameError: The game holds what only upstream's packages play.
        """
        self._game = self._here = None
        self._course = ()
        self._game = find_game(task.payload, self._folder)
        return self._show(self._game.start, self._game.intro)

    def step(self, command: str) -> StepResult:
        """Send a command, any string.

        Raises:
            EngineError: No game has been loaded, or its grammar lacks what this state needs.
        """
        game, here = self._playing()
        command = command.strip()
        binding = game.bindings(here).get(command)
        if binding is None:
            return self._show(here, NOTHING_HAPPENS, action_valid=False)
        self._course = self._course[1:] if self._course[:1] == (command,) else ()
        after = game.after(here, binding)
        return self._show(after, game.feedback(after, binding))

    def admissible_commands(self) -> tuple[str, ...]:
        """Return the commands the game accepts now, sorted, each once."""
        game, here = self._playing()
        return game.commands(here)

    def facts(self) -> frozenset[tuple[str, ...]]:
        """Return what holds now as upstream lists it: names of predicates and of the objects they hold of.

        Privileged information, and costly the first time in a game (a fraction of a second).
        """
        game, here = self._playing()
        return game.facts_shown(here)

    def expert_commands(self) -> tuple[str, ...]:
        """Return the walkthrough that is stored in the game's file, or a plan from the start if it holds none.

        Raises:
            EngineError: There is none, and none was found.
        """
        game, _ = self._playing()
        return game.walkthrough or self._plan_from(game.start)

    def plan(self) -> tuple[str, ...]:
        """Return commands that win from the current state; empty if it is won. Privileged information.

        They are the shortest that a bounded search finds. While they are followed, the rest of the same plan is
        returned, so a caller that takes one at a time reaches the goal. The running episode does not change.

        Raises:
            EngineError: No plan was found; the message says whether none exists.
        """
        _, here = self._playing()
        if not self._course:
            self._course = self._plan_from(here)
        return self._course

    def snapshot(self) -> Snapshot:
        """Return the current state, to go back to any number of times."""
        return Snapshot(*self._playing())

    def restore(self, snapshot: Snapshot) -> StepResult:
        """Go back to a state, of this game or of another one, and return it without a text."""
        self._game, self._course = snapshot.game, ()
        return self._show(snapshot.position, "")

    def fingerprint(self) -> object:
        """Return all facts that hold in the current state."""
        return self._playing()[1].tables

    def close(self) -> None:
        """Let go of the game."""
        self._game = self._here = None

    def _plan_from(self, position: Position) -> tuple[str, ...]:
        game, _ = self._playing()
        commands = planner.plan(game, position)
        if commands is not None:
            return commands
        if planner.is_dead_end(game, position):
            raise DeadEndError(
                f"The goal {self.goal!r} can no longer be reached from this state. Start the task again."
            )
        raise EngineError(f"The planner found no way to the goal {self.goal!r} from this state within its budget.")

    def _playing(self) -> tuple[Game, Position]:
        if self._game is None or self._here is None:
            raise EngineError("No ALFWorld game is loaded. Call reset(task) first.")
        return self._game, self._here

    def _show(self, position: Position, text: str, *, action_valid: bool = True) -> StepResult:
        self._here = position
        won = position.won
        return StepResult(
            observation=text,
            score=float(won),
            raw_score=float(won),
            success=won,
            terminated=won,
            action_valid=action_valid,
        )
