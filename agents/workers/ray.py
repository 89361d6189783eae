"""Spreads episodes over a Ray cluster.

Each actor plays as a process of `agents.workers.processes` does, with its own agent and simulators, and hands over
every episode when it ends. The driver, which is this process, keeps the list of what is left: a job leaves it
when its episode has arrived, and only then. Whatever an actor or its node was playing when it died is played
again elsewhere, so no episode is lost, and an episode that arrives after its job was given away is not counted.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from act_gym.agent import Agent
from act_gym.errors import ActGymError, AgentUnavailableError, MissingDependencyError, UsageError
from act_gym.rollout import Job, play_jobs, unplayed
from act_gym.types import Episode
from agents.workers.processes import Guarded

__all__ = ["play_on_ray"]

_ATTEMPTS = 3  # a node that is shut down takes innocent jobs along, so one more than in processes
_STARTS = 3  # of Ray on this machine
_PATIENCE = 10.0  # seconds until a cluster's address answers
_DEATHS = 10  # actors in a row that die before any episode ends: then the cluster cannot play this at all


def play_on_ray(
    jobs: Sequence[Job],
    make_agent: Callable[[], Agent],
    *,
    workers: int = 0,
    batch_size: int = 1,
    address: str = "",
    gpus: float = 0,
    env_options: Mapping[str, Any] | None = None,
    keep_commands: bool = True,
) -> Iterator[Episode]:
    """Play every job once on a Ray cluster and yield its episode as soon as it arrives.

    Args:
        jobs: What to play.
        make_agent: Called once in each actor; it must survive pickling.
        workers: Actors; 0 for one a core of the cluster (with `gpus`, as many as its GPUs carry).
        batch_size: Episodes that an actor plays at once.
        address: Of a cluster, `auto` on one of its nodes, or host:port; empty starts Ray on this machine, on the
            loopback interface and without a dashboard, and shuts it down in the end.
        gpus: GPUs of an actor.
        env_options: Passed to `gym.make`.
        keep_commands: Whether every turn keeps what was admissible.

    Yields:
        Episodes in the order in which they arrive, one for each job. A job whose actor died three times has
        no turns and says why in `error`.

    Raises:
        UsageError: The cluster cannot be reached, or agent or environment refuse the settings.
        ActGymError: The agent or the environment cannot be had on the cluster.
        MissingDependencyError: Ray is not installed.
    """
    if not address:
        # The only way to keep all of Ray's servers on the loopback interface: it is what Ray does where it supports
        # no clusters, and has to be said before it is imported.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as cause:
        raise MissingDependencyError("Ray", "ray") from cause
    if not jobs:
        return
    started = _connect(ray, address)
    try:
        size = workers or _places(ray, gpus)
        settings: dict[str, Any] = {"env_options": dict(env_options or {}), "keep_commands": keep_commands}
        driver = _Driver(ray, jobs, make_agent, min(size, len(jobs)), batch_size, gpus, settings)
        try:
            yield from driver.episodes()
        finally:
            driver.close()
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any, address: str) -> bool:
    """Connect to a cluster unless this process is connected already; returns whether it did."""
    if ray.is_initialized():
        return False
    if address.startswith("ray://"):
        raise UsageError(
            "Ray's client cannot pass on episodes as they end. Run this on a node with --ray-address auto."
        )
    options: dict[str, Any] = {"address": address} if address else {"address": "local", "include_dashboard": False}
    options |= {"log_to_driver": False, "logging_level": "error", "runtime_env": {"env_vars": _variables()}}
    left = 1 if address else _STARTS
    while not ray.is_initialized():
        left -= 1
        try:
            _knock(address)
            ray.init(**options)
        except Exception as cause:  # of many kinds
            ray.shutdown()
            if left:
                continue  # Ray gives its own processes 30 s to start, which a busy machine may not keep
            raise UsageError(
                f"There is no Ray cluster {address or 'on this machine'}: {cause}\n"
                "Start one with `ray start --head` and give its address, e.g. --ray-address auto."
            ) from cause
    return True


def _knock(address: str) -> None:
    """Raise an OSError if nobody listens at the address; Ray itself would try for minutes."""
    host, colon, port = address.rpartition("://")[2].partition("?")[0].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()


def _variables() -> dict[str, str]:
    """Return the environment of the actors: they import what this process can import."""
    paths = dict.fromkeys([str(Path.cwd()), *(path for path in sys.path if path)])
    kept = {name: value for name, value in os.environ.items() if name in ("ACT_GYM_DATA", "OMP_NUM_THREADS")}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def _places(ray: Any, gpus: float) -> int:
    resources = ray.cluster_resources()
    return max(1, int(resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 1)))


class _Player:
    """The body of an actor."""

    def __init__(self, make_agent: Callable[[], Agent], batch_size: int, settings: Mapping[str, Any]) -> None:
        self.refused: ActGymError | None = None
        self.agent: Guarded | None = None
        try:
            self.agent = Guarded(make_agent())
        except ActGymError as error:
            self.refused = error
        self.batch_size = batch_size
        self.settings = dict(settings)

    def play(self, jobs: Sequence[Job]) -> Iterator[Episode | ActGymError]:
        """Yield the episodes of some jobs; an error means that no job can be played at all."""
        if self.agent is None:
            assert self.refused is not None
            yield self.refused
            return
        try:
            yield from play_jobs(jobs, self.agent, num_envs=self.batch_size, **self.settings)
        except (UsageError, MissingDependencyError, AgentUnavailableError) as error:
            yield error


class _Driver:
    """Hands out jobs and takes in episodes."""

    def __init__(
        self,
        ray: Any,
        jobs: Sequence[Job],
        make_agent: Callable[[], Agent],
        size: int,
        batch_size: int,
        gpus: float,
        settings: Mapping[str, Any],
    ) -> None:
        self.ray = ray
        self.waiting = deque(jobs)
        self.attempts: Counter[tuple[str, str, int]] = Counter()
        self.size, self.batch_size = size, batch_size
        self.deaths = 0
        self.agent_name = ""
        # An actor is not started again by Ray: what it was given is known here alone.
        actor = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0, max_task_retries=0)(_Player)
        self.start: Callable[[], Any] = partial(actor.remote, make_agent, batch_size, settings)
        self.given: dict[Any, list[Job]] = {}  # by the generator of an actor's episodes
        self.actors: dict[Any, Any] = {}

    def episodes(self) -> Iterator[Episode]:
        """Yield every job's episode."""
        for _ in range(self.size):
            self._feed(self.start())
        while self.given:
            ready, _ = self.ray.wait(list(self.given), num_returns=1, fetch_local=True)
            for generator in ready:
                yield from self._hear(generator)

    def close(self) -> None:
        """End all actors."""
        for actor in self.actors.values():
            self.ray.kill(actor)
        self.actors, self.given = {}, {}

    def _feed(self, actor: Any) -> None:
        """Give an actor its next jobs, or end it if there are none."""
        if not self.waiting:
            self.ray.kill(actor)
            return
        # Small shares towards the end, so that all actors end together.
        share = max(1, len(self.waiting) // (4 * self.size))
        count = min(len(self.waiting), max(self.batch_size, min(share, 4 * self.batch_size)))
        jobs = [self.waiting.popleft() for _ in range(count)]
        generator = actor.play.options(num_returns="streaming").remote(jobs)
        self.given[generator], self.actors[generator] = jobs, actor

    def _hear(self, generator: Any) -> Iterator[Episode]:
        """Take in what an actor has: an episode, the end of its jobs, or its death."""
        jobs = self.given[generator]
        try:
            result = self.ray.get(next(generator))
        except StopIteration:
            del self.given[generator]
            self.waiting.extendleft(reversed(jobs))  # none, unless the actor left some out
            self._feed(self.actors.pop(generator))
            return
        except (self.ray.exceptions.RayError, RuntimeError) as error:
            yield from self._lost(generator, error)
            return
        if isinstance(result, ActGymError):
            raise result
        self.deaths = 0
        self.agent_name = result.agent
        played = Job(result.env_id, result.task, result.seed)
        jobs.remove(played)
        yield result

    def _lost(self, generator: Any, error: Exception) -> Iterator[Episode]:
        """Give what a dead actor left to others; what has now died too often comes out as failed."""
        jobs = self.given.pop(generator)
        self.ray.kill(self.actors.pop(generator))
        self.deaths += 1
        if self.deaths > _DEATHS + self.size:
            raise ActGymError(f"No actor of the Ray cluster lives long enough to play: {error}")
        for job in reversed(jobs[: self.batch_size]):  # those it was playing; the others it never began
            key = (job.env_id, job.task.id, job.seed)
            self.attempts[key] += 1
            if self.attempts[key] >= _ATTEMPTS:
                jobs.remove(job)
                yield unplayed(
                    job, self.agent_name, "env_error", f"The actor that played it died: {_first_line(error)}"
                )
        self.waiting.extendleft(reversed(jobs))
        self._feed(self.start())


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
