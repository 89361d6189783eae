"""Ray backend: distributes episodes over a cluster.

Each actor plays like a process of `agents.workers.processes`, with its own agent and simulators, and returns every
episode when it ends. The driver (this process) keeps the list of open jobs; a job is removed only when its episode has
arrived. If an actor or its node dies, its jobs are played again elsewhere. An episode that arrives after its job was
reassigned is not counted.
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

_ATTEMPTS = 3  # a node's shutdown also hits innocent jobs, so one more than in processes
_STARTS = 3  # of Ray on this machine
_PATIENCE = 10.0  # seconds to wait for a cluster's address
_DEATHS = 10  # consecutive actors that die before any episode ends: the cluster cannot play this at all


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
        jobs: The episodes to play.
        make_agent: Called once in each actor; must be picklable.
        workers: Actors; 0 for one per core of the cluster (with `gpus`, as many as its GPUs allow).
        batch_size: Concurrent episodes of an actor.
        address: Address of a cluster: `auto` on one of its nodes, or host:port; empty starts Ray on this machine, on
            the loopback interface and without a dashboard, and shuts it down at the end.
        gpus: GPUs per actor.
        env_options: Passed to `gym.make`.
        keep_commands: Whether to record the admissible commands of every turn.

    Yields:
        Episodes in the order in which they arrive, one for each job. A job whose actor died three times has no turns
        and the reason in `error`.

    Raises:
        UsageError: The cluster cannot be reached, or agent or environment refuse the settings.
        ActGymError: The agent or the environment is not available on the cluster.
        MissingDependencyError: Ray is not installed.
    """
    if not address:
        # The only way to keep all of Ray's servers on the loopback interface, as Ray does where it supports no
        # clusters; must be set before the import.
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
    """Connect to a cluster unless this process is already connected; return whether it did."""
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
                continue  # Ray gives its own processes 30 s to start, too little on a busy machine
            raise UsageError(
                f"There is no Ray cluster {address or 'on this machine'}: {cause}\n"
                "Start one with `ray start --head` and give its address, e.g. --ray-address auto."
            ) from cause
    return True


def _knock(address: str) -> None:
    """Raise an OSError if the address does not answer; Ray itself would retry for minutes."""
    host, colon, port = address.rpartition("://")[2].partition("?")[0].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()


def _variables() -> dict[str, str]:
    """Return the environment variables of the actors, with this process's import path."""
    paths = dict.fromkeys([str(Path.cwd()), *(path for path in sys.path if path)])
    kept = {name: value for name, value in os.environ.items() if name in ("ACT_GYM_DATA", "OMP_NUM_THREADS")}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def _places(ray: Any, gpus: float) -> int:
    resources = ray.cluster_resources()
    return max(1, int(resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 1)))


class _Player:
    """Body of an actor."""

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
    """Distributes jobs and collects episodes."""

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
        # Ray must not restart an actor: only this driver has the list of its jobs.
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
        """Handle an actor's event: an episode, the end of its jobs, or its death."""
        jobs = self.given[generator]
        try:
            result = self.ray.get(next(generator))
        except StopIteration:
            del self.given[generator]
            self.waiting.extendleft(reversed(jobs))  # none, unless the actor skipped some
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
        """Requeue the jobs of a dead actor; yield failed episodes for those that have died too often."""
        jobs = self.given.pop(generator)
        self.ray.kill(self.actors.pop(generator))
        self.deaths += 1
        if self.deaths > _DEATHS + self.size:
            raise ActGymError(f"No actor of the Ray cluster lives long enough to play: {error}")
        for job in reversed(jobs[: self.batch_size]):  # those it was playing, without those it never began
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
