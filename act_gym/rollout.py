"""Rollouts: plays tasks with an agent, several episodes at a time, and yields finished episodes.

An agent answers all running episodes in one call or, if it has a `stream`, each as soon as it can. The next task starts
as soon as an episode ends. A failure of a simulator or an agent ends its own episode with a recorded reason; the others
continue. This module is independent of models.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

from act_gym.agent import Agent, AgentAction, AgentInput, Failure, Stream, StreamingAgent
from act_gym.benchmarks import parse_id
from act_gym.benchmarks import tasks as list_tasks
from act_gym.env import TextEnv
from act_gym.errors import AgentError, CorruptDataError, EngineError, UsageError
from act_gym.types import Episode, Task, Turn
from act_gym.wrappers import wrap

__all__ = ["BatchStream", "Job", "make_env", "observed_texts", "play", "play_jobs", "unplayed"]


@dataclass(frozen=True, slots=True)
class Job:
    """One episode to play: a task of an environment, with a seed."""

    env_id: str
    task: Task
    seed: int = 0


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
        tasks: The tasks, in order; None for the whole split.
        seed: Passed to the agent in every input. A decision depends on it, the task and the turn, but not on the other
            running episodes.
        num_envs: Concurrent episodes; also the largest batch of the agent.
        env_options: Passed to `gym.make`, e.g. `{"max_episode_steps": 30}`.
        keep_commands: Whether to record the admissible commands of every turn. If not, they are computed only if the
            agent reads them.

    Yields:
        Episodes in the order in which they end. Each task gives exactly one.

    Raises:
        UsageError: `num_envs` is less than 1.
        MissingDependencyError, MissingDataError: A package or the data is missing.
    """
    if tasks is None:
        tasks = list_tasks(env_id, **parse_id(env_id)[0].choosing(env_options or {}))
    jobs = [Job(env_id, task, seed) for task in tasks]
    return play_jobs(
        jobs, agent, num_envs=min(num_envs, max(1, len(jobs))), env_options=env_options, keep_commands=keep_commands
    )


def play_jobs(
    jobs: Iterable[Job],
    agent: Agent,
    *,
    num_envs: int = 1,
    env_options: Mapping[str, Any] | None = None,
    keep_commands: bool = True,
    on_turn: Callable[[Turn], None] | None = None,
) -> Iterator[Episode]:
    """Play episodes of any environments and seeds from one queue; see `play`.

    Args:
        jobs: The episodes to play; consumed lazily.
        agent: Chooses the actions. If it has a `stream`, no episode waits for another one's decision.
        num_envs: Concurrent episodes.
        env_options: Passed to `gym.make` for every environment.
        keep_commands: Whether to record the admissible commands of every turn.
        on_turn: Called with every finished turn.

    Yields:
        Episodes in the order in which they end, one for each job.

    Raises:
        UsageError: `num_envs` is less than 1.
        MissingDependencyError, MissingDataError: A package or the data is missing.
    """
    if num_envs < 1:
        raise UsageError(f"num_envs is at least 1; got {num_envs}.")
    settings = _Settings(agent.name, dict(env_options or {}), keep_commands, on_turn)
    return _play(iter(jobs), agent, num_envs, settings)


def _play(waiting: Iterator[Job], agent: Agent, num_envs: int, settings: _Settings) -> Iterator[Episode]:
    seats: list[_Seat] = []
    stream: Stream = agent.stream(num_envs) if isinstance(agent, StreamingAgent) else BatchStream(agent)
    try:
        while len(seats) < num_envs:
            seat = _Seat(settings)
            yield from seat.start_next(waiting)
            if not seat.running:
                break
            seats.append(seat)
            stream.ask(len(seats) - 1, seat.view())
        running = len(seats)
        while running:
            started = time.perf_counter()
            answers = list(stream.answers())
            share = (time.perf_counter() - started) / running
            for seat in seats:
                seat.seconds += share
            for number, answer in answers:
                seat = seats[number]
                finished = seat.take(answer)
                if finished is not None:
                    yield finished
                    yield from seat.start_next(waiting)
                if seat.running:
                    stream.ask(number, seat.view())
                else:
                    running -= 1
    finally:
        stream.close()
        for seat in seats:
            seat.close()


def make_env(env_id: str, env_options: Mapping[str, Any]) -> gym.Env[str, str]:
    """Return `gym.make(env_id)` with the texts in `info` that are recorded with each turn (`Benchmark.observe`).

    The option `wrappers` lists wrappers by name, the innermost first; see `act_gym.wrappers`.
    """
    options = {"observe": parse_id(env_id)[0].observe, **env_options}
    wrappers = options.pop("wrappers", ())
    return wrap(gym.make(env_id, **options), wrappers)


def observed_texts(env: TextEnv, info: Mapping[str, Any]) -> dict[str, str]:
    """Return the recorded texts of a state by name; see `Turn.observed`."""
    return {name: info[name] for name in env.observed}


def unplayed(job: Job, agent_name: str, stop: str, error: str) -> Episode:
    """Return an episode without turns for a job that could not be played, with the reason; see `Episode` for `stop`."""
    return Episode(
        task=job.task,
        env_id=job.env_id,
        agent=agent_name,
        seed=job.seed,
        goal="",
        turns=(),
        final_observation="",
        success=False,
        score=0.0,
        raw_score=0.0,
        stop=stop,
        error=error,
    )


class BatchStream:
    """Stream of an agent that answers in batches: all pending inputs in one call."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.asked: dict[int, AgentInput] = {}

    def ask(self, number: int, view: AgentInput) -> None:
        """Store the input."""
        self.asked[number] = view

    def answers(self) -> Iterable[tuple[int, AgentAction | Failure]]:
        """Answer all stored inputs in one call."""
        asked, self.asked = sorted(self.asked.items()), {}
        answers = self._answers([view for _, view in asked])
        return list(zip([number for number, _ in asked], answers, strict=True))

    def close(self) -> None:
        """Drop the stored inputs."""
        self.asked = {}

    def _answers(self, views: Sequence[AgentInput]) -> list[AgentAction | Failure]:
        """Answer all inputs at once; if that fails, one by one, so that one failure ends one episode."""
        try:
            choices = self.agent.act(views)
        except (AgentError, EngineError, CorruptDataError) as error:
            if len(views) == 1:
                return [error]
            return [answer for view in views for answer in self._answers([view])]
        if len(choices) != len(views):
            raise AgentError(f"{self.agent.name} got {len(views)} inputs and returned {len(choices)} actions.")
        return list(choices)


@dataclass(frozen=True)
class _Settings:
    """Settings shared by all episodes."""

    agent_name: str
    env_options: dict[str, Any]
    keep_commands: bool
    on_turn: Callable[[Turn], None] | None = None


@dataclass
class _Seat:
    """Slot for one running episode: an environment and the turns so far."""

    settings: _Settings
    running: bool = False
    env: gym.Env[str, str] | None = None
    env_id: str = ""
    job: Job | None = None
    seconds: float = 0.0
    observation: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)

    def start_next(self, waiting: Iterator[Job]) -> Iterator[Episode]:
        """Start the next job; yield an episode for each job whose simulator failed at once."""
        for job in waiting:
            failed = self._start(job)
            if failed is None:
                return
            yield failed

    def _start(self, job: Job) -> Episode | None:
        self.job, self.turns, self.observation, self.info, self.seconds = job, [], "", {}, 0.0
        try:
            env = self._env()
            self.observation, self.info = env.reset(seed=job.seed, options={"task_id": job.task.id})
        except (EngineError, CorruptDataError) as error:
            return self._end("env_error", str(error))
        self.running = True
        return None

    def view(self) -> AgentInput:
        assert self.job is not None
        assert self.env is not None
        return AgentInput(
            task=self.job.task,
            goal=self.info["goal"],
            observation=self.observation,
            admissible_commands=self.info["admissible_commands"],
            history=tuple(self.turns),
            seed=self.job.seed,
            expert_commands=self.env.get_wrapper_attr("expert_commands"),
            plan=self.env.get_wrapper_attr("plan"),
            env_options=self.settings.env_options,
            observed=self._observed(),
        )

    def take(self, choice: AgentAction | Failure) -> Episode | None:
        """Play one action; return the episode if it was the last one."""
        assert self.env is not None
        seconds, self.seconds = self.seconds, 0.0
        if isinstance(choice, AgentError):
            return self._end("agent_error", str(choice))
        if isinstance(choice, EngineError | CorruptDataError):
            return self._end("env_error", str(choice))
        before, observed = self.observation, self._observed()
        try:
            # Read now: once the simulator has moved on, it would have to replay the episode.
            commands = tuple(self.info["admissible_commands"]) if self.settings.keep_commands else ()
            self.observation, reward, terminated, truncated, self.info = self.env.step(choice.action)
        except (EngineError, CorruptDataError) as error:
            return self._end("env_error", str(error))
        turn = choice.turn(before, reward, self.info, admissible_commands=commands, seconds=seconds, observed=observed)
        self.turns.append(turn)
        if self.settings.on_turn is not None:
            self.settings.on_turn(turn)
        if terminated or truncated:
            return self._end("terminated" if terminated else "truncated")
        return None

    def close(self) -> None:
        if self.env is not None:
            self.env.close()
            self.env = None

    def _env(self) -> gym.Env[str, str]:
        """Return an environment for the job; reuse the present one if its benchmark and split are the same."""
        assert self.job is not None
        if self.env is not None and self.env_id != self.job.env_id:
            self.close()
        if self.env is None:
            self.env, self.env_id = make_env(self.job.env_id, self.settings.env_options), self.job.env_id
        return self.env

    def _observed(self) -> dict[str, str]:
        return observed_texts(self._text_env(), self.info)

    def _text_env(self) -> TextEnv:
        assert self.env is not None
        inner = self.env.unwrapped
        assert isinstance(inner, TextEnv)
        return inner

    def _end(self, stop: str, error: str = "") -> Episode:
        assert self.job is not None
        self.running = False
        versions = dict(self._text_env().engine.versions) if self.env is not None else {}
        if stop == "env_error":
            self.close()  # the next task starts with a fresh simulator
        return Episode(
            task=self.job.task,
            env_id=self.job.env_id,
            agent=self.settings.agent_name,
            seed=self.job.seed,
            goal=self.info.get("goal", ""),
            turns=tuple(self.turns),
            final_observation=self.observation,
            success=self.info.get("success", False) and not error,
            score=self.info.get("score", 0.0),
            raw_score=self.info.get("raw_score", 0.0),
            stop=stop,
            error=error,
            versions=versions,
            details={"reward_info": reward_info} if (reward_info := self.info.get("reward_info")) else {},
        )
