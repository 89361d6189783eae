"""Worker processes: plays tasks with a cheap agent in several processes.

Each process has its own simulator and agent. If a process dies, its task is retried once in a new process and then
recorded as failed; all others continue. An agent with a large model should use `act_gym.play`, which batches episodes.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from pickle import UnpicklingError
from typing import Any

from act_gym.agent import Agent, AgentAction, AgentInput, Failure, Stream, StreamingAgent
from act_gym.errors import (
    ActGymError,
    AgentError,
    AgentUnavailableError,
    CorruptDataError,
    EngineError,
    MissingDependencyError,
    UsageError,
    one_line,
)
from act_gym.rollout import BatchStream, Job, play_jobs, unplayed
from act_gym.types import Episode, Task

__all__ = ["Guarded", "cores", "play_jobs_parallel", "play_parallel"]

_ATTEMPTS = 2
_CHUNK = 8  # jobs sent at once, so that a process seldom waits for the next
_PATIENCE = 5.0  # seconds for a process to close its simulator before it is killed


@dataclass(frozen=True)
class Guarded:
    """Wraps an agent so that its exceptions become `AgentError` and end one episode, not the run."""

    agent: Agent

    @property
    def name(self) -> str:
        """Name of the wrapped agent."""
        return self.agent.name

    @property
    def batch_size(self) -> int:
        """Batch size of the wrapped agent; 0 if it has none."""
        return int(getattr(self.agent, "batch_size", 0))

    @property
    def cheap(self) -> bool:
        """Whether the wrapped agent is cheap."""
        return bool(getattr(self.agent, "cheap", False))

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Call the wrapped agent; see `act_gym.Agent`.

        Raises:
            AgentError: It raised anything, or did not return one `AgentAction` for each input.
            EngineError, CorruptDataError: A simulator failed while the agent read its commands.
            AgentUnavailableError, MissingDependencyError: It cannot work at all.
        """
        try:
            choices = list(self.agent.act(views))
        except (AgentError, EngineError, CorruptDataError, AgentUnavailableError, MissingDependencyError):
            raise
        except Exception as cause:
            raise AgentError(one_line(cause)) from cause
        if len(choices) != len(views) or not all(isinstance(choice, AgentAction) for choice in choices):
            raise AgentError(f"{self.name} got {len(views)} inputs and did not return as many actions.")
        return choices

    def stream(self, size: int) -> Stream:
        """Open a stream; an agent without its own answers in batches."""
        if isinstance(self.agent, StreamingAgent):
            return _GuardedStream(self.agent.stream(size))
        return BatchStream(self)


class _GuardedStream:
    """Stream whose exceptions end the pending episodes and not the run."""

    def __init__(self, inner: Stream) -> None:
        self.inner = inner
        self.asked: dict[int, AgentInput] = {}
        self.failed: list[tuple[int, Failure]] = []

    def ask(self, number: int, view: AgentInput) -> None:
        try:
            self.inner.ask(number, view)
        except (AgentUnavailableError, MissingDependencyError, UsageError):
            raise
        except Exception as cause:
            self.failed.append((number, _as_failure(cause)))
        else:
            self.asked[number] = view

    def answers(self) -> Iterable[tuple[int, AgentAction | Failure]]:
        failed, self.failed = self.failed, []
        if failed:
            return failed
        try:
            answers = list(self.inner.answers())
        except (AgentUnavailableError, MissingDependencyError, UsageError):
            raise
        except Exception as cause:
            self.inner.close()
            answers = [(number, _as_failure(cause)) for number in self.asked]
        for number, _ in answers:
            self.asked.pop(number, None)
        return answers

    def close(self) -> None:
        self.inner.close()


def _as_failure(cause: Exception) -> Failure:
    return cause if isinstance(cause, Failure) else AgentError(one_line(cause))


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def play_parallel(
    env_id: str,
    make_agent: Callable[[], Agent],
    tasks: Sequence[Task],
    *,
    seed: int = 0,
    workers: int = 1,
    env_options: Mapping[str, Any] | None = None,
    keep_commands: bool = True,
) -> Iterator[Episode]:
    """Play every task once and yield its episode as soon as it ends.

    Args:
        env_id: For example `act/ScienceWorld-seen`.
        make_agent: Called once in each process; must be picklable.
        tasks: The tasks to play.
        seed: Passed to the agent, as in `act_gym.play`.
        workers: Number of processes.
        env_options: Passed to `gym.make`.
        keep_commands: As in `act_gym.play`.

    Yields:
        Episodes in the order in which they end, one for each task. A task whose process died twice, or failed with an
        unexpected error, has no turns and the reason in `error`.

    Raises:
        UsageError: `workers` is less than 1, or agent or environment refuse the settings.
        ActGymError: The agent or the environment is not available on this machine.
    """
    jobs = [Job(env_id, task, seed) for task in tasks]
    return play_jobs_parallel(jobs, make_agent, workers=workers, env_options=env_options, keep_commands=keep_commands)


def play_jobs_parallel(
    jobs: Sequence[Job],
    make_agent: Callable[[], Agent],
    *,
    workers: int = 1,
    num_envs: int = 1,
    env_options: Mapping[str, Any] | None = None,
    keep_commands: bool = True,
) -> Iterator[Episode]:
    """Play episodes of any environments and seeds from one queue; see `play_parallel`.

    Each process plays `num_envs` episodes at once. Processes live until the queue is empty: a simulator starts once per
    process, and no process waits at the end of a split.

    Raises:
        UsageError: `workers` is less than 1, or agent or environment refuse the settings.
        ActGymError: The agent or the environment is not available on this machine.
    """
    if workers < 1:
        raise UsageError(f"workers is at least 1; got {workers}.")
    return _play(_Setup(make_agent, dict(env_options or {}), keep_commands, num_envs), jobs, workers)


def _play(setup: _Setup, jobs: Sequence[Job], workers: int) -> Iterator[Episode]:
    pool = _Pool(setup, jobs, workers)
    try:
        yield from pool.episodes()
    finally:
        pool.close()


@dataclass(frozen=True)
class _Setup:
    """Settings of a process, sent to it by pickling."""

    make_agent: Callable[[], Agent]
    env_options: dict[str, Any]
    keep_commands: bool
    num_envs: int = 1

    def play(self, agent: Agent, jobs: Iterable[Job]) -> Iterator[Episode]:
        settings: dict[str, Any] = {"env_options": self.env_options, "keep_commands": self.keep_commands}
        return play_jobs(jobs, agent, num_envs=self.num_envs, **settings)


@dataclass(frozen=True)
class _Failure:
    """Reason of a process's failure. `refused` means that no task can be played at all."""

    message: str
    refused: bool = False
    usage: bool = False
    agent: bool = False


def _serve(connection: Connection, setup: _Setup) -> None:
    """Play jobs from the connection until it has no more; the body of a process."""
    try:
        try:
            agent = Guarded(setup.make_agent())
        except Exception as error:
            connection.send(_failure(error, refused=True))
            return
        connection.send(agent.name)
        try:
            for episode in setup.play(agent, _received(connection)):
                connection.send(episode)
        except (UsageError, MissingDependencyError, FileNotFoundError) as error:
            connection.send(_failure(error, refused=True))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:
            connection.send(_failure(error))
    except (EOFError, OSError, KeyboardInterrupt):
        return  # the parent process has ended


def _received(connection: Connection) -> Iterator[Job]:
    """Yield the jobs from the connection, and request more after the last one."""
    while jobs := connection.recv():
        yield from jobs
        connection.send(None)


def _failure(error: Exception, *, refused: bool = False) -> _Failure:
    message = str(error) if isinstance(error, ActGymError) else one_line(error)
    return _Failure(message, refused, isinstance(error, UsageError), isinstance(error, AgentError))


class _Worker:
    """Handle of one process in its parent.

    Args:
        context: Starts the process.
        setup: Its settings.
        waiting: The queue of its jobs.
    """

    def __init__(self, context: SpawnContext, setup: _Setup, waiting: deque[Job]) -> None:
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, setup), daemon=True)
        self.process.start()
        theirs.close()  # so that the death of the process closes the connection
        self.num_envs = setup.num_envs
        self.waiting = waiting
        self.ready = False
        self.fed = False  # whether it has been informed that there are no more jobs
        self.jobs: list[Job] = []  # given and unfinished, oldest first

    def give(self, jobs: list[Job]) -> None:
        self.jobs.extend(jobs)
        self.fed = not jobs
        self.connection.send(jobs)

    def receive(self) -> Any:
        try:
            return self.connection.recv()
        except (EOFError, OSError, UnpicklingError):
            self.process.join()
            return _Failure(f"The process that played it died (exit status {self.process.exitcode}).")

    def close(self) -> None:
        self.connection.close()
        self.process.join(_PATIENCE)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()


class _Pool:
    def __init__(self, setup: _Setup, jobs: Sequence[Job], size: int) -> None:
        self.setup = setup
        self.context = multiprocessing.get_context("spawn")  # a forked JVM or torch is unreliable
        self.waiting = deque(jobs)
        self.attempts: Counter[tuple[str, str, int]] = Counter()
        self.size = min(size, len(jobs))
        self.workers = [_Worker(self.context, setup, self.waiting) for _ in range(self.size)]
        self.agent_name = ""

    def episodes(self) -> Iterator[Episode]:
        while self.workers:
            ready = wait([worker.connection for worker in self.workers])
            for worker in [worker for worker in self.workers if worker.connection in ready]:
                yield from self._hear(worker)

    def close(self) -> None:
        for worker in self.workers:
            worker.close()

    def _hear(self, worker: _Worker) -> Iterator[Episode]:
        message = worker.receive()
        if isinstance(message, Episode):
            worker.jobs.remove(Job(message.env_id, message.task, message.seed))
            if worker.fed and not worker.jobs:
                self._dismiss(worker)
            yield message
        elif isinstance(message, _Failure):
            self._dismiss(worker)
            yield from self._lost(worker, message)
        else:
            if isinstance(message, str):
                self.agent_name, worker.ready = message, True
            self._feed(worker)

    def _feed(self, worker: _Worker) -> None:
        size = max(1, min(_CHUNK, len(worker.waiting) // (2 * self.size)))
        jobs = [worker.waiting.popleft() for _ in range(min(size, len(worker.waiting)))]
        try:
            worker.give(jobs)
        except OSError:
            return  # it died while idle; the end of its connection is read next
        if not worker.jobs:
            self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        worker.close()

    def _lost(self, worker: _Worker, failure: _Failure) -> Iterator[Episode]:
        """Requeue a dead process's jobs; return the one it was playing if that was its last try.

        If it was playing several at once, any may be the cause: each is retried alone, in another process.
        """
        if failure.refused or not worker.ready:
            raise (UsageError if failure.usage else ActGymError)(failure.message)
        suspects, others = worker.jobs[: worker.num_envs], worker.jobs[worker.num_envs :]
        if len(suspects) > 1:
            worker.waiting.extendleft(reversed(others))
            self._start(replace(self.setup, num_envs=1), deque(suspects))
        elif suspects:
            key = (suspects[0].env_id, suspects[0].task.id, suspects[0].seed)
            self.attempts[key] += 1
            if self.attempts[key] >= _ATTEMPTS:
                stop = "agent_error" if failure.agent else "env_error"
                yield unplayed(suspects[0], self.agent_name, stop, failure.message)
                suspects = []
            worker.waiting.extendleft(reversed([*suspects, *others]))
        if worker.waiting:
            self._start(replace(self.setup, num_envs=worker.num_envs), worker.waiting)

    def _start(self, setup: _Setup, waiting: deque[Job]) -> None:
        self.workers.append(_Worker(self.context, setup, waiting))
