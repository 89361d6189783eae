"""The one environment: a benchmark's tasks behind Gymnasium's contract.

All that differs between benchmarks is in the engine and the split. The step limit is Gymnasium's own
`TimeLimit`, put on by `gym.make`: `terminated` is the simulator's word, `truncated` the limit's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np

from act_gym.benchmark import benchmark as find_benchmark
from act_gym.core import State, Task
from act_gym.engine import Engine, planning, restorable
from act_gym.errors import UnknownNameError, UsageError
from act_gym.spaces import AnyText

__all__ = ["Snapshot", "TextEnv"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of an episode, made by `TextEnv.snapshot`; only `TextEnv.restore` looks into it.

    It lives in its process and shares what it can with every other one. Nothing in it changes.
    """

    task: Task
    state: State
    turn: int
    last_action: str
    goal: str
    inner: Any


class TextEnv(gym.Env[str, str]):
    """Plays tasks of one split; observations and actions are strings.

    `info` has the same keys from `reset` and `step`: `task_id`, `task_type`, `split`, `goal`,
    `admissible_commands` (tuple of str), `score` (0–1), `raw_score` (the simulator's own), `success`,
    `action_valid` (true after a reset) and `turn` (actions so far). The reward is the gain in
    `score`, so an episode's rewards add up to its final score less the one it began with (ScienceWorld
    gives some tasks up to 0.2 for where they begin).

    Args:
        benchmark: `ALFWorld` or `ScienceWorld`.
        split: One of the benchmark's splits; None for every task.
        games: Your own game files instead of the benchmark's tasks: a file, a folder that is searched
            for them, or several of either. Strings, if the spec is to be written as JSON.
        engine: Name of an engine of the benchmark; None for its default.
        render_mode: `ansi` returns the last exchange as text, `human` prints it; None.
        admissible_commands: Whether `info` lists them. Deriving them can cost more than the step.
        **engine_options: Passed to the engine.

    Raises:
        UnknownNameError: No such benchmark, split or engine.
        UsageError: `games` with a split, for a benchmark that takes none, or without any game in them.
        MissingDependencyError: The simulator is not installed.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "human"], "render_fps": 4}  # noqa: RUF012  (as gym.Env declares it)

    def __init__(
        self,
        benchmark: str,
        split: str | None = None,
        *,
        games: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        engine: str | None = None,
        render_mode: str | None = None,
        admissible_commands: bool = True,
        **engine_options: Any,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UnknownNameError("render mode", str(render_mode), self.metadata["render_modes"])
        entry = find_benchmark(benchmark)
        self.tasks: tuple[Task, ...] = entry.tasks(split) if games is None else entry.own_tasks(games, split)
        self.engine: Engine = entry.make_engine(engine, **engine_options)
        self.observation_space = AnyText()
        self.action_space = AnyText()
        self.render_mode = render_mode
        self._benchmark = entry.name
        self._lists_commands = admissible_commands
        self._index = _positions(tuple(task.id for task in self.tasks))
        self._sweep = np.arange(0)
        self._left = 0  # how many of the sweep are still to come, from its front
        self._task: Task | None = None
        self._state: State | None = None
        self._goal = ""
        self._turn = 0
        self._last_action = ""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start a task and return its first observation.

        Without options, tasks come in a random order drawn from the seed, each once before any comes
        again; a seed starts a new sweep.

        Args:
            seed: Seeds the order of tasks.
            options: `{"task_id": str}` or `{"task_index": int}` picks the task and leaves the sweep
                where it is.

        Raises:
            UsageError: Unknown options, or both at once.
            UnknownNameError: No such task in this split.
            MissingDataError: The benchmark's data is not on this machine.
            EngineError: The simulator failed.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._left = 0
        task = self.tasks[self._pick(options or {})]
        self._task = self._state = None  # no episode if the engine fails
        state = self.engine.reset(task)
        self._begin(task, state, 0, "", self.engine.goal)
        return state.observation, self._info(state, task)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Send any string to the simulator.

        Returns:
            Observation, reward (gain in score, −1 to 1), whether the simulator ended the episode,
            False, and `info`.

        Raises:
            UsageError: There is no running episode.
            EngineError: The simulator failed.
        """
        if self._state is None or self._task is None:
            raise UsageError("There is no running episode. Call reset() first.")
        if self._state.terminated:
            raise UsageError(f"The episode of {self._task.id} has ended. Call reset() to start another.")
        before, self._state = self._state.score, None  # the episode ends here if the engine fails
        action = str(action)
        state = self.engine.step(action)
        self._state, self._last_action = state, action
        self._turn += 1
        if self.render_mode == "human":
            self._print()
        return state.observation, state.score - before, state.terminated, False, self._info(state, self._task)

    def snapshot(self) -> Snapshot:
        """Return this moment of the episode, to go back to any number of times.

        For searches: `restore` costs far less than a reset and the same commands again. It changes
        nothing here, and neither the sweep nor the random generator is part of it.

        Raises:
            UsageError: There is no episode, or the engine cannot do this (ALFWorld's `native` can).
        """
        engine = restorable(self.engine)
        if self._state is None or self._task is None:
            raise UsageError("There is no running episode. Call reset() first.")
        return Snapshot(self._task, self._state, self._turn, self._last_action, self._goal, engine.snapshot())

    def restore(self, snapshot: Snapshot) -> tuple[str, dict[str, Any]]:
        """Go back to a moment, of this environment or of another one of the same benchmark.

        Gymnasium's `TimeLimit` does not notice and counts on; `info["turn"]` does go back. To search,
        make the environment without a limit, `gym.make(…, max_episode_steps=-1)`, and go by `turn`.
        Gymnasium also wants one `reset()` of an environment before the first `step()`.

        Returns:
            The observation and `info` of that moment.

        Raises:
            UsageError: It is of another benchmark, or the engine cannot do this.
        """
        engine = restorable(self.engine)
        if snapshot.task.benchmark != self._benchmark:
            raise UsageError(f"A snapshot of {snapshot.task.benchmark} cannot be restored in {self._benchmark}.")
        self._task = self._state = None  # no episode if the engine fails
        engine.restore(snapshot.inner)
        self._begin(snapshot.task, snapshot.state, snapshot.turn, snapshot.last_action, snapshot.goal)
        return snapshot.state.observation, self._info(snapshot.state, snapshot.task)

    def render(self) -> str | None:
        """Return the last exchange as text in mode `ansi`; mode `human` has printed it already."""
        if self.render_mode is None:
            gym.logger.warn("render() shows nothing: make the environment with render_mode='ansi' or 'human'.")
        return self._exchange() if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Release the simulator."""
        engine = getattr(self, "engine", None)  # absent when __init__ failed
        if engine is not None:
            engine.close()

    def expert_commands(self) -> tuple[str, ...]:
        """Return commands that solve the current task from its start. Privileged.

        Raises:
            UsageError: No task has been started.
            EngineError: There is no solution at hand.
        """
        if self._task is None:
            raise UsageError("No task has been started. Call reset() first.")
        return self.engine.expert_commands()

    def plan(self) -> tuple[str, ...]:
        """Return commands that solve the current task from where it stands, none if it is solved. Privileged.

        It goes on after any action, so it can say of every state what an expert does next.

        Raises:
            UsageError: There is no episode, or the engine cannot do this (ALFWorld's `native` can).
            EngineError: No plan was found; the message says whether there is none.
        """
        engine = planning(self.engine)
        if self._state is None:
            raise UsageError("There is no running episode. Call reset() first.")
        return engine.plan()

    def _begin(self, task: Task, state: State, turn: int, last_action: str, goal: str) -> None:
        self._task, self._state, self._turn, self._last_action, self._goal = task, state, turn, last_action, goal
        if self.render_mode == "human":
            self._print()

    def _pick(self, options: Mapping[str, Any]) -> int:
        unknown = set(options) - {"task_id", "task_index"}
        if unknown or len(options) > 1:
            raise UsageError(
                f"reset() takes options={{'task_id': …}} or {{'task_index': …}}, one at a time; got {dict(options)}."
            )
        if "task_id" in options:
            task_id = options["task_id"]
            if task_id not in self._index:
                raise UnknownNameError("task", str(task_id), self._index)
            return self._index[task_id]
        if "task_index" in options:
            index = options["task_index"]
            if not isinstance(index, int | np.integer) or isinstance(index, bool) or not 0 <= index < len(self.tasks):
                raise UsageError(f"task_index is 0 to {len(self.tasks) - 1} here; got {index!r}.")
            return int(index)
        if not self._left:
            self._sweep = self.np_random.permutation(len(self.tasks))
            self._left = len(self.tasks)
        self._left -= 1
        return int(self._sweep[self._left])

    def _info(self, state: State, task: Task) -> dict[str, Any]:
        commands: tuple[str, ...] = ()
        if self._lists_commands and not state.terminated:
            commands = self.engine.admissible_commands()
        return {
            "task_id": task.id,
            "task_type": task.task_type,
            "split": task.split,
            "goal": self._goal,
            "admissible_commands": commands,
            "score": state.score,
            "raw_score": state.raw_score,
            "success": state.success,
            "action_valid": state.action_valid,
            "turn": self._turn,
        }

    def _exchange(self) -> str:
        if self._state is None:
            return ""
        asked = f"> {self._last_action}\n" if self._turn else ""
        return f"{asked}{self._state.observation}\n"

    def _print(self) -> None:
        sys.stdout.write(self._exchange())
        sys.stdout.flush()


@lru_cache(maxsize=16)
def _positions(ids: tuple[str, ...]) -> Mapping[str, int]:
    """Return where each task stands; environments of the same tasks share it, and it is most of what one holds."""
    return {task_id: position for position, task_id in enumerate(ids)}
