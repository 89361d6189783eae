"""Tells Gymnasium about every environment. Importing `act_gym` runs this once."""

from __future__ import annotations

import gymnasium as gym

from act_gym.benchmarks import env_ids, parse_id

__all__ = ["register_envs"]


def register_envs() -> None:
    """Register `act/<Benchmark>` and `act/<Benchmark>-<split>`; a second call changes nothing."""
    for env_id in env_ids():
        if env_id in gym.registry:
            continue
        entry, split = parse_id(env_id)
        gym.register(
            id=env_id,
            entry_point="act_gym.env:TextEnv",
            max_episode_steps=entry.max_turns,
            kwargs={"benchmark": entry.name, "split": split},
        )
