"""Self-imitation: which episodes are learnt again, with which advantage and weight, and that a resume keeps them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from act_gym.types import Task, Turn
from trainers.rollouts.records import Point, Reply, Rollout, Start
from trainers.rollouts.replay import ReplayBuffer
from trainers.rollouts.settings import AlgorithmSettings

SETTINGS = AlgorithmSettings(imitate_weight=0.5, imitate_age=2, imitate_ramp=10)


def episode(*, success: bool, action: str = "look") -> Rollout:
    start = Start(env_id="act/x", task=Task(id="x/1", benchmark="x", split="train", task_type="a"), seed=0)
    replies = (Reply(3, (7, 8), (-0.5, -0.25), True, False), Reply(8, (9,), (-1.0,), True, False, ((9,), (4, 5))))
    return Rollout(
        start=start,
        goal="",
        turns=(Turn(observation="a", action=action), Turn(observation="b", action=action)),
        replies=replies,
        first=0,
        states=(),
        plans=(),
        snapshots=(),
        tokens=tuple(range(12)),
        observed=((5, 8),),
        final_observation="",
        success=success,
        score=float(success),
        raw_score=0.0,
        stop="terminated",
    )


def test_solved_episodes_are_learnt_for_some_steps() -> None:
    buffer = ReplayBuffer(SETTINGS)
    buffer.add(1, [episode(success=True), episode(success=False), episode(success=False)], [10.0, 0.0, 2.0])
    (sample,) = buffer.samples(2)
    assert sample.advantages == (8.0, 8.0), "the return less the median of all returns"
    assert sample.row.replies == episode(success=True).replies
    assert len(buffer.samples(3)) == 1
    assert buffer.samples(4) == []


def test_an_episode_no_better_than_the_median_is_not_learnt() -> None:
    buffer = ReplayBuffer(SETTINGS)
    buffer.add(1, [episode(success=True)] * 3, [10.0] * 3)
    assert buffer.samples(2) == []


def test_continuations_and_unread_replies_are_left_out() -> None:
    buffer = ReplayBuffer(SETTINGS)
    whole = episode(success=True)
    again = replace(whole, start=replace(whole.start, point=Point(whole, 1)))
    buffer.add(1, [again, episode(success=True, action=""), episode(success=False)], [10.0, 10.0, 0.0])
    assert buffer.samples(2) == []
    assert buffer.returns == [10.0, 0.0]


def test_the_weight_rises_along_a_cosine() -> None:
    buffer = ReplayBuffer(SETTINGS)
    assert [buffer.weight(step) for step in (0, 5, 10, 20)] == pytest.approx([0, 0.25, 0.5, 0.5])


def test_a_resumed_buffer_is_the_same() -> None:
    buffer = ReplayBuffer(SETTINGS)
    buffer.add(1, [episode(success=True), episode(success=False)], [10.0, 0.1])
    other = ReplayBuffer(SETTINGS)
    other.restore(json.loads(json.dumps(buffer.state())))
    assert other == buffer
