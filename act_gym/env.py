"""The one environment: a benchmark's tasks behind Gymnasium's contract.

All that differs between benchmarks is in the engine and the split. The step limit is Gymnasium's own
`TimeLimit`, put on by `gym.make`, unless one is asked for by name: `terminated` is the simulator's word,
`truncated` the limit's.
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

__all__ = ["Snapshot", "TextEnv"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of an episode, made by `TextEnv.snapshot`; only `TextEnv.restore` looks into it.

    It lives in its process and shares what it can with every other one. Nothing in it changes, so its copy is itself.
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
    """Plays tasks of one split; observations and actions are strings.

    `info` has the same keys from `reset` and `step`: `task_id`, `task_type`, `split`, `goal`,
    `admissible_commands` (tuple of str, or what reads like one), `score` (0–1), `raw_score` (the
    simulator's own), `success`, `action_valid` (true after a reset) and `turn` (actions so far), and what
    `observe`, `admissible_commands="templates"` and the engine itself add (WebShop's `available_actions` and
    `reward_info`). The reward is the gain in `score`, so an episode's
    rewards add up to its final score less the one it began with (ScienceWorld gives some tasks up to 0.2
    for where they begin).

    ScienceWorld's commands are listed when somebody first looks at them, which costs two or three times as
    much as a step; nobody pays who does not look. They are those of the moment they came with, however
    late one looks: once the episode has moved on, its commands so far are played again for it in a world
    apart (a load of 0.1 s, then a step each). A list that is sent to another process, as by
    `AsyncVectorEnv`, is read by that; leave it out there if nobody needs it.

    Args:
        benchmark: `ALFWorld`, `ScienceWorld` or `WebShop`.
        split: One of the benchmark's splits; None for every task.
        games: Your own game files instead of the benchmark's tasks: a file, a folder that is searched
            for them, or several of either. Strings, if the spec is to be written as JSON.
        engine: Name of an engine of the benchmark; None for its default.
        render_mode: `ansi` returns the last exchange as text, `human` prints it; None. The first exchange of an
            episode begins with the goal, which some observations lack (ScienceWorld's; WebShop's `url` and `html`).
        admissible_commands: Whether `info` lists them. With `templates` it has instead, where the engine can,
            `action_templates` (`open OBJ`, …) and `objects` (what OBJ may be), some thirty and some hundred
            strings for ScienceWorld's thousands of commands; not every pair of them is accepted.
        observe: Texts of the engine's that `info` shall hold besides, under their names; ScienceWorld's
            `look` and `inventory` take no time in the simulator and about 0.3 ms each of ours.
        step_limit: Name of one of the benchmark's `step_limits`. It counts `info["turn"]`, so that it goes
            back with `restore`. Pass `max_episode_steps=-1` to `gym.make` with it, or Gymnasium's own limit
            may come first.
        **engine_options: Passed to the engine; some choose the tasks as well (WebShop's `catalogue`, `human_goals`).

    Raises:
        UnknownNameError: No such benchmark, split, engine, step limit or text.
        UsageError: `games` with a split, for a benchmark that takes none, or without any game in them; or
            something of the engine that it does not have.
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
            self._limits("")  # refuses a name that is not there
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
        self._limit_holds = self._limits is None  # whether it is known that no other limit comes first
        self._index = _positions(self.tasks)
        self._sweep = EpochSampler(len(self.tasks))
        self._task: Task | None = None
        self._state: StepResult | None = None
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
            UsageError: Unknown options, or both at once; or Gymnasium's step limit would come before `step_limit`.
            UnknownNameError: No such task in this split.
            MissingDataError: The benchmark's data is not on this machine.
            EngineError: The simulator failed.
        """
        super().reset(seed=seed)
        if not self._limit_holds:
            self._check_limit()
        if seed is not None:
            self._sweep.restart()
        task = self.tasks[self._pick(options or {})]
        self._task = self._state = None  # no episode if the engine fails
        state = self.engine.reset(task)
        self._begin(task, state, 0, "", self.engine.goal)
        return state.observation, self._info(state, task)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Send any string to the simulator.

        Returns:
            Observation, reward (gain in score, −1 to 1), whether the simulator ended the episode,
            whether it has come to its `step_limit`, and `info`.

        Raises:
            UsageError: There is no running episode, or the action is no string.
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
        """Return this moment of the episode, to go back to any number of times.

        For searches. With ALFWorld's `native` engine `restore` costs microseconds; ScienceWorld plays the way to the
        state again, which costs what a reset and the same commands cost, and checks that it shows the same. It changes
        nothing here, and neither the sweep nor the random generator is part of it.

        Raises:
            UsageError: There is no episode, or the engine cannot do this (ALFWorld's `native` and ScienceWorld's can).
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

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse `copy`, `deepcopy` and `pickle`: the simulator runs once.

        Raises:
            UsageError: Always; the message names `snapshot()`.
        """
        raise UsageError(
            f"An environment of {self._benchmark} holds a running simulator and can be neither copied nor pickled. "
            "To go back to a moment of an episode, keep env.unwrapped.snapshot() and restore() it, here or in another "
            "environment of this process. For another process, send env.spec and call gymnasium.make(spec) there."
        )

    def _begin(self, task: Task, state: StepResult, turn: int, last_action: str, goal: str) -> None:
        self._task, self._state, self._turn, self._last_action, self._goal = task, state, turn, last_action, goal
        self._limit = None if self._limits is None else self._limits(task.task_type)
        if self.render_mode == "human":
            self._print(self._task_line() if turn else "")  # restored: perhaps another task than the one before

    def _check_limit(self) -> None:
        """Refuse to be cut short by Gymnasium's own limit.

        Raises:
            UsageError: That would come before the named one.
        """
        assert self._limits is not None
        longest = max((self._limits(task.task_type) for task in self.tasks), default=0)
        outer = _time_limit(self)
        if outer is not None and outer < longest:
            raise UsageError(
                f"Gymnasium would end every episode after {outer} steps, and the named step limit allows up to "
                f"{longest}. Pass max_episode_steps=-1 to gym.make as well."
            )
        self._limit_holds = True

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
            raise UsageError("There is no task: with these options the split is empty.")
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
        """Print the last exchange; characters that standard output cannot encode become question marks."""
        if sys.stdout is None:  # a program without a console
            return
        text = before + self._exchange()
        encoding = sys.stdout.encoding
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding) if encoding else text)
        sys.stdout.flush()


def _time_limit(env: TextEnv) -> int | None:
    """Return the limit that Gymnasium's `TimeLimit` puts on an environment whose `reset` is running.

    Gymnasium tells an environment nothing of what is wrapped around it; only its callers show it.
    """
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        caller = frame.f_locals.get("self")
        if isinstance(caller, gym.wrappers.TimeLimit) and caller.unwrapped is env and caller.spec is not None:
            return caller.spec.max_episode_steps
    return None


def _positions(tasks: Sequence[Task]) -> Mapping[str, int]:
    """Return where each task stands: what a long list knows of itself, else a table."""
    if isinstance(tasks, LazyTaskList):
        return tasks.positions
    return _table(tuple(task.id for task in tasks))


@lru_cache(maxsize=16)
def _table(ids: tuple[str, ...]) -> Mapping[str, int]:
    """Return where each task stands; environments of the same tasks share it, and it is most of what one holds."""
    return {task_id: position for position, task_id in enumerate(ids)}
