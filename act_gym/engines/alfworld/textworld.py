"""Reference ALFWorld engine on upstream's packages: TextWorld's PDDL environment, with alfworld's names.

The native engine is compared with it, so it changes no upstream output: observations, commands and object names are
upstream's bytes. All of a game's text comes from the domain and the grammar inside its own file. Upstream's side
effects on the process are contained here: see `docs/design/alfworld.md`.

Semantics: `textworld/envs/pddl/pddl.py` and `AlfredDemangler` of `alfworld/agents/environment/alfred_tw_env.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any

from act_gym.engines.alfworld.files import games_folder, name_of, read_task
from act_gym.engines.alfworld.object_names import NOTHING_HAPPENS, goal_in
from act_gym.errors import EngineError, MissingDependencyError
from act_gym.types import StepResult, Task

__all__ = ["TextWorldEngine"]

# Simulators whose engine was closed. Each one holds a private 34 MB copy of a C++ library, which
# stays mapped, with its deleted file on disk, until the process ends: `dlclose` does not unload it.
_IDLE: list[Any] = []


class TextWorldEngine:
    """Plays ALFWorld games with the `alfworld` and `textworld` packages.

    `action_valid` is whether the command was admissible; any other command shows "Nothing happens." and changes
    nothing. `look`, `inventory` and `help` are admissible. Commands are matched exactly, apart from white space around
    them, as upstream does.

    Not thread-safe, because upstream's translator is not: use processes.

    Args:
        data: Folder with `train`, `valid_seen` and `valid_unseen`; None for the cache folder.

    Raises:
        MissingDependencyError: The packages are not installed.
    """

    def __init__(self, *, data: str | None = None) -> None:
        try:
            import alfworld.agents.environment.alfred_tw_env  # noqa: F401  (asks whether it can be imported)
            import textworld.envs.pddl  # noqa: F401
        except ImportError as cause:
            raise MissingDependencyError("The alfworld package", "alfworld") from cause
        self._games = games_folder(data)
        self._env: Any = None
        self._goal = ""
        self._game = ""
        self._walkthrough: tuple[str, ...] = ()
        self._commands: tuple[str, ...] = ()
        self._state = StepResult(observation="", score=0.0, raw_score=0.0, success=False, terminated=False)

    @property
    def goal(self) -> str:
        """The instruction of the current task, e.g. `put a pencil in drawer.`."""
        return self._goal

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the packages that shape the text; the game files hold the rest."""
        return {name: version(name) for name in ("alfworld", "textworld", "fast-downward-textworld")}

    def reset(self, task: Task) -> StepResult:
        """Load a game and return its first state: the introduction, the room and the task.

        Raises:
            MissingDataError: The game is not on this machine.
            CorruptDataError: The game's file is damaged.
            EngineError: The simulator failed.
        """
        self._game = name_of(task.payload)
        game = read_task(task.payload, self._games)
        with self._upstream():
            if self._env is None:
                self._env = _IDLE.pop() if _IDLE else _make_env()
            # A mapping and not the path: upstream opens files and leaves them open.
            self._env.load(game)
            shown = self._env.reset()
        self._walkthrough = tuple(str(command) for command in game.get("walkthrough") or ())
        self._goal = goal_in(shown.feedback)
        return self._take(shown, action_valid=True)

    def step(self, command: str) -> StepResult:
        """Send a command, any string.

        Raises:
            EngineError: The simulator failed, or no game has been loaded.
        """
        if self._env is None:
            raise EngineError("No ALFWorld game is loaded. Call reset(task) first.")
        command = command.strip()
        if command not in self._commands:
            # Upstream's answer, without deriving the same commands again; so no text of an agent reaches its parsers.
            self._state = StepResult(
                observation=NOTHING_HAPPENS,
                score=self._state.score,
                raw_score=self._state.raw_score,
                success=self._state.success,
                terminated=self._state.terminated,
                action_valid=False,
            )
            return self._state
        with self._upstream():
            shown, _, _ = self._env.step(command)
        return self._take(shown, action_valid=True)

    def admissible_commands(self) -> tuple[str, ...]:
        """Return the commands the simulator accepts now, sorted, each once."""
        return self._commands

    def expert_commands(self) -> tuple[str, ...]:
        """Return the walkthrough that is stored in the game's file.

        Raises:
            EngineError: The file holds none.
        """
        if not self._walkthrough:
            raise EngineError(
                f"The game file of {self._game or 'no game'} holds no walkthrough. Files of ALFWorld 0.4 and "
                "newer do; fetch them: act-gym download alfworld --force"
            )
        return self._walkthrough

    def close(self) -> None:
        """Hand the simulator back, for the next engine of this process to use."""
        env, self._env = self._env, None
        self._commands = ()
        if env is not None:
            _IDLE.append(env)

    def _take(self, shown: Any, *, action_valid: bool) -> StepResult:
        won = bool(shown["won"])
        self._commands = tuple(shown["admissible_commands"])
        self._state = StepResult(
            observation=shown.feedback,
            score=float(won),
            raw_score=float(won),
            success=won,
            terminated=won or bool(shown["lost"]),
            action_valid=action_valid,
        )
        return self._state

    @contextmanager
    def _upstream(self) -> Iterator[None]:
        """Keep the translator's new `sys.argv` and its ways to fail from the rest of the process."""
        argv = sys.argv
        try:
            yield
        except (Exception, SystemExit) as cause:  # the translator leaves by sys.exit on bad PDDL
            self._env, self._commands = None, ()  # never used again: its state is unknown
            raise EngineError(f"ALFWorld failed in {self._game}: {type(cause).__name__}: {cause}") from cause
        finally:
            sys.argv = argv


@cache
def _translate_once() -> None:
    """Cache upstream's translation of a game, which `load` and `reset` both request.

    Upstream only reads the result. Two are cached, so the same game again is faster.
    """
    import fast_downward

    fast_downward.pddl2sas = lru_cache(maxsize=2)(fast_downward.pddl2sas)


def _make_env() -> Any:
    _translate_once()
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld import EnvInfos
    from textworld.envs.pddl import PddlEnv

    return AlfredDemangler(PddlEnv(EnvInfos(feedback=True, won=True, admissible_commands=True)), shuffle=False)
