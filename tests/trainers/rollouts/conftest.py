"""A tiny model that writes some actions, and episodes that it played in ALFWorld."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from act_gym.benchmarks import tasks
from agents.prompt_config import Question
from trainers.rollouts.records import Limits, Rollout, Start

ENV = "act/ALFWorld-generated-train"
QUESTION = Question(history="conversation")
LIMITS = Limits(turns=4, tokens=8192, reply=16)


def starts(groups: int = 2, generations: int = 3) -> list[Start]:
    chosen = tasks(ENV)[:groups]
    return [
        Start(env_id=ENV, task=task, seed=10 * group + number, group=group)
        for group, task in enumerate(chosen)
        for number in range(generations)
    ]


@pytest.fixture(scope="session")
def policy(speaking_model: Path) -> Any:
    from agents.local.model import Policy

    loaded = Policy.load(str(speaking_model), dtype="float32")
    loaded.model.config.max_position_embeddings = 8192  # rotary positions have no end
    return loaded


@pytest.fixture(scope="session")
def rollouts(policy: Any) -> list[Rollout]:
    """Two tasks, three episodes each, of which the second of the first task is marked as solved."""
    from trainers.rollouts.collect import Collector

    collector = Collector(policy, QUESTION, LIMITS, parallel=4, keep_snapshots=True)
    played = collector.play(starts())
    collector.close()
    return [replace(one, success=number == 1, score=float(number == 1)) for number, one in enumerate(played)]
