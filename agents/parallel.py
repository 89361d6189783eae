"""Plays tasks with a cheap agent in several processes at once.

Each process has its own simulator and its own agent. A process that dies takes nothing along: the
task it was playing is tried once more in a fresh process and then recorded as failed; all others go
on. An agent with a large model does not belong here: `act_gym.play` batches many episodes for it.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from pickle import UnpicklingError
from traceback import extract_tb
from typing import Any

from act_gym.agent import Agent, Choice, View
from act_gym.core import Episode, Task
from act_gym.errors import ActGymError, AgentError, MissingDependencyError, UsageError
from act_gym.rollout import play

__all__ = ["Guarded", "play_parallel"]

_ATTEMPTS = 2
_CHUNK = 8  # tasks handed over at once: a process starts its simulator once a chunk
_PATIENCE = 5.0  # seconds a process gets to close its simulator before it is ended


@dataclass(frozen=True)
class Guarded:
    """An agent whose every failure is an `AgentError`, so that it ends one episode and not the run."""

    agent: Agent

    @property
    def name(self) -> str:
        """The name of the agent inside."""
        return self.agent.name

    def act(self, views: Sequence[View]) -> Sequence[Choice]:
        """Ask the agent inside; see `act_gym.Agent`.

        Raises:
            AgentError: It raised anything, or did not answer with one `Choice` for each view.
            MissingDependencyError: It cannot work on this machine at all.
        """
        try:
            choices = list(self.agent.act(views))
        except (AgentError, MissingDependencyError):
            raise
        except Exception as cause:
            raise AgentError(_in_words(cause)) from cause
        if len(choices) != len(views) or not all(isinstance(choice, Choice) for choice in choices):
            raise AgentError(f"{self.name} was shown {len(views)} views and did not answer with as many choices.")
        return choices


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
        make_agent: Called once in each process; it must survive pickling.
        tasks: Which tasks to play.
        seed: Goes to every view, as in `act_gym.play`.
        workers: Number of processes.
        env_options: Passed to `gym.make`.
        keep_commands: As in `act_gym.play`.

    Yields:
        Episodes in the order in which they end, one for each task. A task whose process died twice,
        or failed with an unforeseen error, has no turns and says why in `error`.

    Raises:
        UsageError: `workers` is less than 1, or agent or environment refuse the settings.
        ActGymError: The agent or the environment cannot be had on this machine.
    """
    if workers < 1:
        raise UsageError(f"workers is at least 1; got {workers}.")
    pool = _Pool(_Setup(env_id, make_agent, seed, dict(env_options or {}), keep_commands), tasks, workers)
    try:
        yield from pool.episodes()
    finally:
        pool.close()


@dataclass(frozen=True)
class _Setup:
    """What a process needs to know; it travels there by pickling."""

    env_id: str
    make_agent: Callable[[], Agent]
    seed: int
    env_options: dict[str, Any]
    keep_commands: bool

    def play(self, agent: Agent, tasks: Sequence[Task]) -> Iterator[Episode]:
        settings: dict[str, Any] = {"env_options": self.env_options, "keep_commands": self.keep_commands}
        return play(self.env_id, agent, tasks, seed=self.seed, **settings)


@dataclass(frozen=True)
class _Failure:
    """Why a process gave up. `refused` means that no task can be played at all."""

    message: str
    refused: bool = False
    usage: bool = False
    agent: bool = False


def _serve(connection: Connection, setup: _Setup) -> None:
    """Play what comes over the connection until nothing more comes; the body of a process."""
    try:
        try:
            agent = Guarded(setup.make_agent())
        except Exception as error:
            connection.send(_failure(error, refused=True))
            return
        connection.send(agent.name)
        while tasks := connection.recv():
            try:
                for episode in setup.play(agent, tasks):
                    connection.send(episode)
            except (UsageError, MissingDependencyError, FileNotFoundError) as error:
                connection.send(_failure(error, refused=True))
                return
            except Exception as error:
                connection.send(_failure(error))
                return
            connection.send(None)
    except (EOFError, OSError, KeyboardInterrupt):
        return  # whoever asked is gone


def _failure(error: Exception, *, refused: bool = False) -> _Failure:
    message = str(error) if isinstance(error, ActGymError) else _in_words(error)
    return _Failure(message, refused, isinstance(error, UsageError), isinstance(error, AgentError))


def _in_words(error: Exception) -> str:
    frames = extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


class _Worker:
    """One process as its parent sees it. `tasks` are those it was given and has not finished."""

    def __init__(self, context: SpawnContext, setup: _Setup) -> None:
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, setup), daemon=True)
        self.process.start()
        theirs.close()  # so that the death of the process reads as the end of the connection
        self.ready = False
        self.tasks: deque[Task] = deque()

    def give(self, tasks: list[Task]) -> None:
        self.tasks.extend(tasks)
        self.connection.send(tasks)

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
    def __init__(self, setup: _Setup, tasks: Sequence[Task], size: int) -> None:
        self.setup = setup
        self.context = multiprocessing.get_context("spawn")  # a forked JVM or torch cannot be trusted
        self.waiting = deque(tasks)
        self.attempts: Counter[str] = Counter()
        self.size = min(size, len(tasks))
        self.workers = [_Worker(self.context, setup) for _ in range(self.size)]
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
            worker.tasks.popleft()  # one environment plays them in order
            yield message
        elif isinstance(message, _Failure):
            self.workers.remove(worker)
            worker.close()
            yield from self._lost(worker, message)
            if self.waiting:
                self.workers.append(_Worker(self.context, self.setup))
        else:
            if isinstance(message, str):
                self.agent_name, worker.ready = message, True
            self._feed(worker)

    def _feed(self, worker: _Worker) -> None:
        size = max(1, min(_CHUNK, len(self.waiting) // (2 * self.size)))
        tasks = [self.waiting.popleft() for _ in range(min(size, len(self.waiting)))]
        try:
            worker.give(tasks)
        except OSError:
            return  # it died while idle; the end of its connection is read next
        if not tasks:
            self.workers.remove(worker)
            worker.close()

    def _lost(self, worker: _Worker, failure: _Failure) -> Iterator[Episode]:
        """Put a lost process's tasks back; the one it was playing comes out if that was its last try."""
        if failure.refused or not worker.ready:
            raise (UsageError if failure.usage else ActGymError)(failure.message)
        if not worker.tasks:
            return
        suspect = worker.tasks[0]
        self.attempts[suspect.id] += 1
        if self.attempts[suspect.id] >= _ATTEMPTS:
            worker.tasks.popleft()
            yield Episode(
                task=suspect,
                env_id=self.setup.env_id,
                agent=self.agent_name,
                seed=self.setup.seed,
                goal="",
                turns=(),
                final_observation="",
                success=False,
                score=0.0,
                raw_score=0.0,
                stop="agent_error" if failure.agent else "env_error",
                error=failure.message,
            )
        self.waiting.extendleft(reversed(worker.tasks))
