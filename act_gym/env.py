"""The Gymnasium environment: plays the tasks of one benchmark and split through an engine.

Engines and splits hold all differences between benchmarks. By default the step limit is Gymnasium's own `TimeLimit`,
which `gym.make` adds; `step_limit` selects a named one instead. `terminated` comes from the simulator, `truncated` from
the limit.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from act_gym.benchmarks import benchmark as find_benchmark
from act_gym.engine import Engine, detailed, observing, planning, restorable, templating
from act_gym.errors import UnknownNameError, UsageError, shortened
from act_gym.sampling import EpochSampler, LazyTaskList
from act_gym.spaces import UnicodeText
from act_gym.types import StepResult, Task

__all__ = ["Snapshot", "TextEnv", "check_time_limit"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of an episode, made by `TextEnv.snapshot`; opaque to all but `TextEnv.restore`.

    It is valid in its own process only and shares data with other snapshots. It is immutable, so a copy is the object
    itself.
    """

    task: Task
    state: StepResult
    turn: int
    last_action: str
    goal: str
    inner: Any

    def __deepcopy__(self, memo: dict[int, Any]) -> Snapshot:
        """Return the snapshot itself."""
        return self


class TextEnv(gym.Env[str, str]):
    """Environment for the tasks of one split; observations and actions are strings.

    `info` has the same keys from `reset` and `step`: `task_id`, `task_type`, `split`, `goal`, `admissible_commands` (a
    tuple of str or a lazy sequence), `score` (0–1), `raw_score` (the simulator's own), `success`, `action_valid` (true
    after a reset) and `turn` (actions so far), and the keys that `observe`, `admissible_commands="templates"` and the
    engine add (WebShop's `available_actions` and `reward_info`). The reward is the gain in `score`, so an episode's
    rewards add up to its final score minus its initial score (up to 0.2 in some ScienceWorld tasks).

    ScienceWorld's admissible commands are computed lazily: the first access takes as long as two or three steps. They
    always belong to the state that `info` describes. If the episode has moved on before the first access, its commands
    are replayed in a second simulator (0.1 s to load, then one step each). Pickling computes them too, e.g. in
    `AsyncVectorEnv`; pass `admissible_commands=False` there if you do not need them.

    Args:
        benchmark: `ALFWorld`, `ScienceWorld` or `WebShop`.
        split: One of the benchmark's splits; None for every task.
        games: Your own game files instead of the benchmark's tasks: a file, a folder that is searched for them, or
            several of either. Use strings if the spec is to be written as JSON.
        engine: Name of an engine of the benchmark; None for its default.
        render_mode: `ansi` returns the last action and observation as text, `human` prints them; or None. The first
            text of an episode begins with the goal, because some observations lack it (ScienceWorld's; WebShop's `url`
            and `html`).
        admissible_commands: Whether `info` lists them. With `templates`, `info` has `action_templates` (`open OBJ`, …)
            and `objects` (the values of OBJ) instead, if the engine supports it: about thirty and a hundred strings
            instead of ScienceWorld's thousands of commands. Not every combination is admissible.
        observe: Names of further engine texts to add to `info`; ScienceWorld's `look` and `inventory` advance no
            simulator time and take about 0.3 ms each.
        step_limit: Name of one of the benchmark's `step_limits`. It counts `info["turn"]`, which `restore` sets back.
            Also pass `max_episode_steps=-1` to `gym.make`, which refuses a limit of its own that would apply first.
        **engine_options: Options of the engine; some also select the tasks (WebShop's `catalogue`, `human_goals`).

    Raises:
        UnknownNameError: The benchmark, split, engine, step limit or text does not exist.
        UsageError: `games` is combined with a split, not supported by the benchmark, or without a game; or the engine
            lacks a requested feature.
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
        admissible_commands: bool | Literal["templates"] = True,
        observe: Sequence[str] = (),
        step_limit: str | None = None,
        **engine_options: Any,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UnknownNameError("render mode", str(render_mode), self.metadata["render_modes"])
        if admissible_commands not in (True, False, "templates"):
            raise UsageError(
                f"admissible_commands is True, False or 'templates'; got {shortened(repr(admissible_commands))}."
            )
        entry = find_benchmark(benchmark)
        self._limits = None if step_limit is None else partial(entry.step_limit, step_limit)
        if self._limits is not None:
            self._limits("")  # raises for an unknown name
        chosen = entry.choosing(engine_options)
        self.tasks: Sequence[Task] = entry.tasks(split, **chosen) if games is None else entry.own_tasks(games, split)
        self.engine: Engine = entry.make_engine(engine, **engine_options)
        self.observed: tuple[str, ...] = (observe,) if isinstance(observe, str) else tuple(observe)
        try:
            self._templates = templating(self.engine) if admissible_commands == "templates" else None
            self._observing = observing(self.engine, self.observed)
        except UsageError:
            self.engine.close()
            raise
        self._detailed = detailed(self.engine)
        self.observation_space = UnicodeText()
        self.action_space = UnicodeText()
        self.render_mode = render_mode
        self._benchmark = entry.name
        self._lists_commands = admissible_commands is True
        self._limit: int | None = None  # of the running episode
        self._index = _positions(self.tasks)
        self._sweep = EpochSampler(len(self.tasks))
        self._task: Task | None = None
        self._state: StepResult | None = None
        self._goal = ""
        self._turn = 0
        self._last_action = ""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start a task and return its first observation.

        Without options, tasks come in a random order drawn from the seed, each once before any repeats. A seed starts a
        new order.

        Args:
            seed: Seeds the order of tasks.
            options: `{"task_id": str}` or `{"task_index": int}` selects the task; the random order continues
                afterwards.

        Raises:
            UsageError: Unknown options, or both at once.
            UnknownNameError: The split has no such task.
            MissingDataError: The benchmark's data is not on this machine.
            EngineError: The simulator failed.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._sweep.restart()
        task = self.tasks[self._pick(options or {})]
        self._task = self._state = None  # there is no episode if the engine fails
        state = self.engine.reset(task)
        self._begin(task, state, 0, "", self.engine.goal)
        return state.observation, self._info(state, task)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Send an action, any string, to the simulator.

        Returns:
            Observation, reward (gain in score, −1 to 1), `terminated` (by the simulator), `truncated` (by
            `step_limit`), and `info`.

        Raises:
            UsageError: There is no running episode, or the action is not a string.
            EngineError: The simulator failed.
        """
        if self._state is None or self._task is None:
            raise UsageError("There is no running episode. Call reset() first.")
        if self._state.terminated:
            raise UsageError(f"The episode of {self._task.id} has ended. Call reset() to start another.")
        if not isinstance(action, str):
            raise UsageError(
                f"step() takes one action as a string, e.g. 'look'; got {repr(action)[:60]} of type "
                f"{type(action).__name__}."
            )
        before, self._state = self._state.score, None  # the episode ends here if the engine fails
        action = str(action)  # also one of numpy's
        state = self.engine.step(action)
        self._state, self._last_action = state, action
        self._turn += 1
        if self.render_mode == "human":
            self._print()
        truncated = self._limit is not None and self._turn >= self._limit
        return state.observation, state.score - before, state.terminated, truncated, self._info(state, self._task)

    def snapshot(self) -> Snapshot:
        """Return the state of the episode, for any number of calls of `restore`.

        Meant for search. With ALFWorld's `native` engine, `restore` takes microseconds. ScienceWorld replays the
        episode (the cost of a reset and its commands) and checks that the observations are equal. A snapshot does not
        change the environment; it contains neither the order of tasks nor the random generator.

        Raises:
            UsageError: There is no episode, or the engine does not support snapshots (ALFWorld's `native` and
                ScienceWorld's do).
        """
        engine = restorable(self.engine)
        if self._state is None or self._task is None:
            raise UsageError("There is no running episode. Call reset() first.")
        return Snapshot(self._task, self._state, self._turn, self._last_action, self._goal, engine.snapshot())

    def restore(self, snapshot: Snapshot) -> tuple[str, dict[str, Any]]:
        """Go back to a snapshot of this environment, or of another one of the same benchmark.

        `info["turn"]` is set back, but the counter of Gymnasium's `TimeLimit` is not. For search, make the environment
        without that limit, `gym.make(…, max_episode_steps=-1)`, and use `turn`. Gymnasium requires one `reset()` before
        the first `step()`.

        Returns:
            The observation and `info` of the snapshot.

        Raises:
            UsageError: The snapshot is of another benchmark, or the engine does not support snapshots.
        """
        engine = restorable(self.engine)
        if snapshot.task.benchmark != self._benchmark:
            raise UsageError(f"A snapshot of {snapshot.task.benchmark} cannot be restored in {self._benchmark}.")
        self._task = self._state = None  # there is no episode if the engine fails
        engine.restore(snapshot.inner)
        self._begin(snapshot.task, snapshot.state, snapshot.turn, snapshot.last_action, snapshot.goal)
        return snapshot.state.observation, self._info(snapshot.state, snapshot.task)

    def render(self) -> str | None:
        """Return the last action and observation as text in mode `ansi`; mode `human` has already printed them."""
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
            EngineError: No solution is available.
        """
        if self._task is None:
            raise UsageError("No task has been started. Call reset() first.")
        return self.engine.expert_commands()

    def plan(self) -> tuple[str, ...]:
        """Return commands that solve the current task from the current state; empty if it is solved. Privileged.

        It plans from any state, also after wrong actions, so it gives an expert action for every state.

        Raises:
            UsageError: There is no episode, or the engine cannot plan (ALFWorld's `native` can).
            EngineError: No plan was found; the message says whether none exists.
        """
        engine = planning(self.engine)
        if self._state is None:
            raise UsageError("There is no running episode. Call reset() first.")
        return engine.plan()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse `copy`, `deepcopy` and `pickle`, because the simulator cannot be duplicated.

        Raises:
            UsageError: Always; the message names `snapshot()`.
        """
        raise UsageError(
            f"An environment of {self._benchmark} holds a running simulator and cannot be copied or pickled. "
            "To return to a state of an episode, keep env.unwrapped.snapshot() and restore() it, here or in another "
            "environment of this process. For another process, send env.spec and call gymnasium.make(spec) there."
        )

    def _begin(self, task: Task, state: StepResult, turn: int, last_action: str, goal: str) -> None:
        self._task, self._state, self._turn, self._last_action, self._goal = task, state, turn, last_action, goal
        self._limit = None if self._limits is None else self._limits(task.task_type)
        if self.render_mode == "human":
            self._print(self._task_line() if turn else "")  # restored: perhaps another task than the one before

    def longest_step_limit(self) -> int:
        """Return the most actions that the named step limit allows in an episode; 0 where none is named."""
        limits = self._limits
        return 0 if limits is None else max((limits(task.task_type) for task in self.tasks), default=0)

    def _pick(self, options: Mapping[str, Any]) -> int:
        if not isinstance(options, Mapping) or set(options) - {"task_id", "task_index"} or len(options) > 1:
            raise UsageError(
                "reset() takes options={'task_id': …} or {'task_index': …}, one at a time; "
                f"got {shortened(options)}."
            )
        if "task_id" in options:
            task_id = options["task_id"]
            if not isinstance(task_id, str):
                raise UsageError(f"task_id is a string, such as the id of a Task; got {shortened(task_id)}.")
            if task_id not in self._index:
                raise UnknownNameError("task", task_id, islice(self._index, 20_000))
            return self._index[task_id]
        if "task_index" in options:
            index = options["task_index"]
            if not isinstance(index, int | np.integer) or isinstance(index, bool) or not 0 <= index < len(self.tasks):
                raise UsageError(f"task_index is 0 to {len(self.tasks) - 1} here; got {shortened(repr(index))}.")
            return int(index)
        if not self.tasks:
            raise UsageError("The split has no tasks with these options.")
        return self._sweep.draw(self.np_random)

    def _info(self, state: StepResult, task: Task) -> dict[str, Any]:
        commands: Sequence[str] = ()
        if self._lists_commands and not state.terminated:
            commands = self.engine.admissible_commands()
        info = {
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
        if self._templates is not None:
            info["action_templates"] = () if state.terminated else self._templates.action_templates()
            info["objects"] = () if state.terminated else self._templates.objects()
        for name in self.observed:
            info[name] = self._observing.observe(name)
        if self._detailed is not None:
            info.update(self._detailed.details())
        return info

    def _exchange(self) -> str:
        if self._state is None:
            return ""
        asked = f"> {self._last_action}\n" if self._turn else self._task_line()
        return f"{asked}{self._state.observation}\n"

    def _task_line(self) -> str:
        return f"Task: {self._goal.strip()}\n\n"

    def _print(self, before: str = "") -> None:
        """Print the last action and observation; characters that standard output cannot encode become `?`."""
        if sys.stdout is None:  # a program without a console
            return
        text = before + self._exchange()
        encoding = sys.stdout.encoding
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding) if encoding else text)
        sys.stdout.flush()


def check_time_limit(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Return an environment as it is; `gym.make` calls this after it has put `TimeLimit` on.

    Raises:
        UsageError: The time limit would end an episode before the named step limit.
    """
    inner, spec = env.unwrapped, env.spec
    outer = None if spec is None else spec.max_episode_steps
    if isinstance(inner, TextEnv) and outer is not None and outer < (longest := inner.longest_step_limit()):
        env.close()
        raise UsageError(
            f"Gymnasium would end every episode after {outer} steps, and the named step limit allows up to "
            f"{longest}. Pass max_episode_steps=-1 to gym.make as well."
        )
    return env


def _positions(tasks: Sequence[Task]) -> Mapping[str, int]:
    """Return the index of each task: from a lazy list itself, else from a table."""
    if isinstance(tasks, LazyTaskList):
        return tasks.positions
    return _table(tuple(task.id for task in tasks))


@lru_cache(maxsize=16)
def _table(ids: tuple[str, ...]) -> Mapping[str, int]:
    """Return the index of each task; cached, because environments of the same tasks share this large table."""
    return {task_id: position for position, task_id in enumerate(ids)}
