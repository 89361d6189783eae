"""Plays what is left of a plan, where and as many at once as the backend says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator

from act_gym.agent import Agent
from act_gym.rollout import Job
from act_gym.types import Episode, Turn
from agents.workers.backend import Backend, play_on
from benchmarks.run.schedule import Key, Plan

__all__ = ["play_plan"]


def play_plan(
    plan: Plan,
    make: Callable[[], Agent],
    agent: Agent | None,
    finished: Collection[Key],
    *,
    backend: Backend,
    keep_commands: bool,
    on_turn: Callable[[Turn], None] | None = None,
) -> Generator[Episode, None, None]:
    """Play every episode of a plan that is not finished and yield it as soon as it ends.

    Args:
        plan: What is played.
        make: Makes the agent in another process.
        agent: The agent itself, where it has been made already.
        finished: Episodes that were played before.
        backend: Where, and how many at once.
        keep_commands: Whether every turn keeps what was admissible.
        on_turn: Called with every turn that is played in this process.
    """
    jobs = [
        Job(part.env_id, task, seed)
        for part, task, seed in plan.episodes()
        if (part.env_id, task.id, seed) not in finished
    ]
    options = dict(plan.env_options)
    yield from play_on(backend, jobs, make, agent, env_options=options, keep_commands=keep_commands, on_turn=on_turn)
