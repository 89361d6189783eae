"""Backends for rollouts: this process, worker processes, or a Ray cluster.

Three rules decide; `workers` and `batch_size` override them:

- A cheap agent (attribute `cheap`, as `random` and `expert` have) plays in one process per core, each with its own
  agent and simulator.
- Any other agent is constructed once and plays in this process, several episodes at a time: its `batch_size`, or 8. Its
  environments step here too, because a simulator's step is short compared with a model's decision.
- On Ray every actor is a process with its own agent, and plays `batch_size` episodes at a time.

With `workers`, an agent without its own `batch_size` plays in that many processes even if it is not cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from act_gym.agent import Agent
from act_gym.errors import MissingDependencyError, UnknownNameError, UsageError
from act_gym.rollout import Job, play_jobs
from act_gym.types import Episode, Turn
from agents.workers.processes import cores, play_jobs_parallel

__all__ = ["Backend", "play_on"]

BACKENDS = ("local", "ray")
_BATCH = 8  # episodes at once for an agent without a batch_size


@dataclass(frozen=True, kw_only=True)
class Backend:
    """Backend and concurrency of rollouts; changes no result.

    Attributes:
        name: `local` for this machine, `ray` for a Ray cluster.
        workers: Processes (on Ray: actors); 0 for one per core.
        batch_size: Concurrent episodes in each process; 0 for the agent's preference.
        ray_gpus: GPUs per Ray actor; a fraction shares one.
        ray_address: Address of the cluster: `auto` on one of its nodes, or host:port; empty starts Ray on this machine.
    """

    name: str = "local"
    workers: int = 0
    batch_size: int = 0
    ray_address: str = ""
    ray_gpus: float = 0.0

    def check(self) -> None:
        """Validate the settings.

        Raises:
            UsageError: They do not fit together.
            MissingDependencyError: Ray is not installed.
        """
        if self.name not in BACKENDS:
            raise UnknownNameError("backend", self.name, BACKENDS)
        if min(self.workers, self.batch_size) < 0:
            raise UsageError("--workers and --batch-size are 0 (automatic) or more.")
        if self.ray_gpus < 0:
            raise UsageError(f"--ray-gpus is 0 or more; got {self.ray_gpus}.")
        if (self.ray_address or self.ray_gpus) and self.name != "ray":
            raise UsageError("--ray-address and --ray-gpus are about a Ray cluster and go with --backend ray.")
        if self.name == "ray" and find_spec("ray") is None:
            raise MissingDependencyError("Ray", "ray")


def play_on(
    backend: Backend,
    jobs: Sequence[Job],
    make_agent: Callable[[], Agent],
    agent: Agent | None = None,
    *,
    env_options: Mapping[str, Any] | None = None,
    keep_commands: bool = True,
    on_turn: Callable[[Turn], None] | None = None,
) -> Iterator[Episode]:
    """Play every job once and yield its episode as soon as it ends.

    Args:
        backend: The backend.
        jobs: The episodes to play.
        make_agent: Constructs the agent in another process; must be picklable.
        agent: The agent, if it is already constructed; see `act_gym.rollout.play_jobs`.
        env_options: Passed to `gym.make`.
        keep_commands: Whether to record the admissible commands of every turn.
        on_turn: Called with every turn that is played in this process.
    """
    settings: dict[str, Any] = {"env_options": env_options, "keep_commands": keep_commands}
    if backend.name == "ray":
        from agents.workers.ray import play_on_ray

        size = backend.batch_size or preferred(agent) or 1
        cluster: dict[str, Any] = {"address": backend.ray_address, "gpus": backend.ray_gpus}
        return play_on_ray(jobs, make_agent, workers=backend.workers, batch_size=size, **cluster, **settings)
    if agent is None or getattr(agent, "cheap", False) or (backend.workers and not preferred(agent)):
        workers, size = backend.workers or cores(), backend.batch_size or 1
        return play_jobs_parallel(jobs, make_agent, workers=workers, num_envs=size, **settings)
    size = backend.batch_size or preferred(agent) or _BATCH
    return play_jobs(jobs, agent, num_envs=size, on_turn=on_turn, **settings)


def preferred(agent: Agent | None) -> int:
    """Return the agent's `batch_size`; 0 if it has none."""
    return int(getattr(agent, "batch_size", 0))
