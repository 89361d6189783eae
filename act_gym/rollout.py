"""Plays tasks with an agent, several episodes at a time, and yields finished episodes.

An agent answers all running episodes in one call, and a finished episode's place is taken by the next
task at once. A simulator or an agent that fails ends its own episode with a recorded reason; its
siblings play on. Nothing here knows what a model is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

from act_gym.agent import Agent, Choice, View
from act_gym.benchmark import parse_id
from act_gym.benchmark import tasks as list_tasks
from act_gym.core import Episode, Task, Turn
from act_gym.env import TextEnv
from act_gym.errors import AgentError, CorruptDataError, EngineError, UsageError

__all__ = ["play"]


def play(
    env_id: str,
    agent: Agent,
    tasks: Sequence[Task] | None = None,
    *,
    seed: int = 0,
    num_envs: int = 1,
    env_options: Mapping[str, Any] | None = None,
    keep_commands: bool = True,
) -> Iterator[Episode]:
    """Play every task once and yield its episode as soon as it ends.

    Args:
        env_id: For example `act/ScienceWorld-seen`.
        agent: Chooses the actions.
        tasks: Which tasks to play, in this order; None for the whole split.
        seed: Goes to every view. A decision depends on it, the task and the turn, and not on
            which other episodes run beside it.
        num_envs: Episodes that run at once; also the largest batch the agent is given.
        env_options: Passed to `gym.make`, e.g. `{"max_episode_steps": 30}`.
        keep_commands: Whether every turn keeps what was admissible. Without, it is worked out only where
            the agent looks.

    Yields:
        Episodes in the order in which they end. Each task gives exactly one.

    Raises:
        UsageError: `num_envs` is less than 1.
        MissingDependencyError, MissingDataError: Nothing can be played.
    """
    if num_envs < 1:
        raise UsageError(f"num_envs is at least 1; got {num_envs}.")
    if tasks is None:
        tasks = list_tasks(env_id, **parse_id(env_id)[0].choosing(env_options or {}))
    waiting = list(tasks)[::-1]

    def make() -> gym.Env[str, str]:
        return gym.make(env_id, **(env_options or {}))

    seats = [_Seat(make, env_id, agent.name, seed, keep_commands) for _ in range(min(num_envs, len(waiting)))]
    try:
        while True:
            for seat in seats:
                while not seat.running and waiting:
                    failed = seat.start(waiting.pop())
                    if failed is not None:
                        yield failed
            active = [seat for seat in seats if seat.running]
            if not active:
                return
            for seat, answer in zip(active, _ask(agent, [seat.view() for seat in active]), strict=True):
                finished = seat.take(answer)
                if finished is not None:
                    yield finished
    finally:
        for seat in seats:
            seat.close()


@dataclass(frozen=True)
class _Answer:
    """A choice, or why there is none, with the decision's share of the batch's time."""

    choice: Choice | None
    seconds: float
    error: str = ""


def _ask(agent: Agent, views: Sequence[View]) -> list[_Answer]:
    """Ask for all views at once; if that fails, view by view, so that one failure ends one episode."""
    started = time.perf_counter()
    try:
        choices = agent.act(views)
    except AgentError as error:
        if len(views) == 1:
            return [_Answer(None, time.perf_counter() - started, str(error))]
        return [answer for view in views for answer in _ask(agent, [view])]
    if len(choices) != len(views):
        raise AgentError(f"{agent.name} was shown {len(views)} views and made {len(choices)} choices.")
    share = (time.perf_counter() - started) / len(views)
    return [_Answer(choice, share) for choice in choices]


@dataclass
class _Seat:
    """A place for one running episode: an environment and what has happened in it."""

    make: Callable[[], gym.Env[str, str]]
    env_id: str
    agent_name: str
    seed: int
    keep_commands: bool
    running: bool = False
    env: gym.Env[str, str] | None = None
    task: Task | None = None
    observation: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)

    def start(self, task: Task) -> Episode | None:
        """Start a task; an episode comes back only if the simulator failed at once."""
        self.task, self.turns, self.observation, self.info = task, [], "", {}
        try:
            self.env = self.env or self.make()
            self.observation, self.info = self.env.reset(seed=self.seed, options={"task_id": task.id})
        except (EngineError, CorruptDataError) as error:
            return self._end("env_error", str(error))
        self.running = True
        return None

    def view(self) -> View:
        assert self.env is not None
        assert self.task is not None
        return View(
            task=self.task,
            goal=self.info["goal"],
            observation=self.observation,
            admissible_commands=self.info["admissible_commands"],
            history=tuple(self.turns),
            seed=self.seed,
            expert_commands=self._text_env().expert_commands,
            plan=self._text_env().plan,
        )

    def take(self, answer: _Answer) -> Episode | None:
        """Play one choice; an episode comes back when it was the last one."""
        assert self.env is not None
        choice = answer.choice
        if choice is None:
            return self._end("agent_error", answer.error)
        before = self.observation
        # Looked at now: once the simulator has moved on, it would have to play up to here again.
        commands = tuple(self.info["admissible_commands"]) if self.keep_commands else ()
        try:
            self.observation, reward, terminated, truncated, self.info = self.env.step(choice.action)
        except (EngineError, CorruptDataError) as error:
            return self._end("env_error", str(error))
        self.turns.append(
            Turn(
                observation=before,
                admissible_commands=commands,
                response=choice.response,
                thought=choice.thought,
                action=choice.action,
                action_valid=self.info["action_valid"],
                reward=float(reward),
                score=self.info["score"],
                prompt_tokens=choice.prompt_tokens,
                completion_tokens=choice.completion_tokens,
                seconds=answer.seconds,
            )
        )
        if terminated or truncated:
            return self._end("terminated" if terminated else "truncated")
        return None

    def close(self) -> None:
        if self.env is not None:
            self.env.close()
            self.env = None

    def _text_env(self) -> TextEnv:
        assert self.env is not None
        inner = self.env.unwrapped
        assert isinstance(inner, TextEnv)
        return inner

    def _end(self, stop: str, error: str = "") -> Episode:
        assert self.task is not None
        self.running = False
        versions = dict(self._text_env().engine.versions) if self.env is not None else {}
        if stop == "env_error":
            self.close()  # the next task starts with a fresh simulator
        return Episode(
            task=self.task,
            env_id=self.env_id,
            agent=self.agent_name,
            seed=self.seed,
            goal=self.info.get("goal", ""),
            turns=tuple(self.turns),
            final_observation=self.observation,
            success=self.info.get("success", False) and not error,
            score=self.info.get("score", 0.0),
            raw_score=self.info.get("raw_score", 0.0),
            stop=stop,
            error=error,
            versions=versions,
        )
