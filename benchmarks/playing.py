"""Plays what is left of a plan: in this process with an agent that answers in batches, else in several."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator

from act_gym.agent import Agent
from act_gym.core import Episode, Task
from act_gym.rollout import play
from agents.parallel import play_parallel
from benchmarks.plan import Key, Plan

__all__ = ["play_plan"]


def play_plan(
    plan: Plan,
    make: Callable[[], Agent],
    agent: Agent | None,
    finished: Collection[Key],
    *,
    workers: int,
    num_envs: int,
    keep_commands: bool,
) -> Iterator[Episode]:
    """Play every episode of a plan that is not finished and yield it as soon as it ends.

    Args:
        plan: What is played.
        make: Makes the agent in each process.
        agent: One that answers in batches in this process; None to make one in each of several.
        finished: Episodes that were played before.
        workers: How many processes; 0 for one a core.
        num_envs: Episodes that `agent` answers at once.
        keep_commands: Whether every turn keeps what was admissible.
    """
    waiting: dict[tuple[int, str], list[Task]] = {}
    for part, task, seed in plan.episodes():
        if (part.env_id, task.id, seed) not in finished:
            waiting.setdefault((seed, part.env_id), []).append(task)
    for (seed, env_id), tasks in waiting.items():
        options = dict(plan.env_options)
        if agent is not None:
            yield from play(
                env_id, agent, tasks, seed=seed, num_envs=num_envs, env_options=options, keep_commands=keep_commands
            )
        else:
            yield from play_parallel(
                env_id,
                make,
                tasks,
                seed=seed,
                workers=workers or os.cpu_count() or 1,
                env_options=options,
                keep_commands=keep_commands,
            )
