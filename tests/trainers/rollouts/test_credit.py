"""Rewards, penalties and anchors of played episodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from act_gym.types import Task, Turn
from trainers.rollouts.advantages import advantages_of, anchors_of, contexts_of, rewards_of
from trainers.rollouts.measure import anchor_metrics, play_metrics
from trainers.rollouts.records import Point, Reply, Rollout, Start
from trainers.rollouts.settings import AlgorithmSettings

TASK = Task(id="x/1", benchmark="ALFWorld", split="train", task_type="look")


def rollout(
    shown: str,
    acted: str,
    states: list[list[int]],
    *,
    group: int = 0,
    success: bool = False,
    point: Point | None = None,
) -> Rollout:
    """An episode whose observations and actions are single letters; a dash is a reply without an action, a capital
    one that the simulator does not accept."""
    turns = tuple(
        Turn(observation=seen, action="" if did == "-" else did, action_valid=did.islower(), response=did)
        for seen, did in zip(shown, acted, strict=True)
    )
    first = point.turn if point else 0
    replies = tuple(Reply(10 * place, (1, 2), (0.0, 0.0), True, False) for place in range(first, len(turns)))
    return Rollout(
        start=Start(env_id="act/x", task=TASK, seed=0, point=point),
        goal="",
        turns=turns,
        replies=replies,
        first=first,
        states=tuple(states),
        plans=(),
        snapshots=(),
        tokens=tuple(range(10 * len(turns) + 2)),
        observed=(),
        final_observation="",
        success=success,
        score=0.5 + 0.5 * success,
        raw_score=0.0,
        stop="terminated" if success else "truncated",
        cut="" if success else "turns",
    )


@pytest.fixture
def pair() -> list[Rollout]:
    """Both begin alike; then the texts are equal in different states, and the other way round."""
    return [
        rollout("abcd", "xyzw", [[0], [1], [2], [3], [9]], success=True),
        rollout("abce", "xY-w", [[0], [7], [2], [3], [3]]),
    ]


def test_rewards_of_an_episode(pair: list[Rollout]) -> None:
    assert rewards_of(pair[0], AlgorithmSettings()).tolist() == [0, 0, 0, 10]
    assert rewards_of(pair[1], AlgorithmSettings()).tolist() == [0, 0, 0, 0]
    assert rewards_of(pair[1], AlgorithmSettings(reward="score", reward_scale=2.0)).tolist() == [0, 0, 0, 1]
    gained = replace(pair[0], turns=tuple(replace(turn, reward=0.25) for turn in pair[0].turns))
    assert rewards_of(gained, AlgorithmSettings(reward="gain", reward_scale=4.0)).tolist() == [1, 1, 1, 1]


def test_an_invalid_reply_is_penalised_on_its_own_turn(pair: list[Rollout]) -> None:
    by_format = advantages_of(pair, AlgorithmSettings(scale_rewards=False))
    assert by_format.advantages[0] == pytest.approx([5, 5, 5, 5])
    assert by_format.advantages[1] == pytest.approx([-5, -5, -5.1, -5])
    wider = advantages_of(pair, AlgorithmSettings(scale_rewards=False, invalid="inadmissible", invalid_penalty=1.0))
    assert wider.advantages[1] == pytest.approx([-5, -6, -6, -5])


def test_anchors_are_texts_states_or_histories(pair: list[Rollout]) -> None:
    state, text, history = (anchors_of(pair, kind) for kind in ("state", "text", "text+history"))
    assert (state[:4] == state[4:]).tolist() == [True, False, True, True]
    assert (text[:4] == text[4:]).tolist() == [True, True, True, False]
    assert (history[:4] == history[4:]).tolist() == [True, True, False, False]  # y and Y differ


def test_tasks_never_share_an_anchor(pair: list[Rollout]) -> None:
    other = [replace(one, start=replace(one.start, group=1)) for one in pair]
    labels = anchors_of([*pair, *other], "state")
    assert not set(labels[:8].tolist()) & set(labels[8:].tolist())


def test_contexts_are_the_last_observations(pair: list[Rollout]) -> None:
    columns = contexts_of(pair, 3)
    assert [(columns[:4, k] == columns[4:, k]).tolist() for k in range(3)] == [[True, True, True, False]] * 3
    moved = [pair[0], rollout("zbcd", "xyzw", [[0], [1], [2], [3], [9]])]
    columns = contexts_of(moved, 3)
    assert [(columns[:4, k] == columns[4:, k]).tolist() for k in range(3)] == [
        [False, True, True, True],
        [False, False, True, True],
        [False, False, False, True],
    ]


def test_gigpo_credits_the_step_that_differs(pair: list[Rollout]) -> None:
    credit = advantages_of(pair, AlgorithmSettings(algorithm="gigpo", gamma=0.5, scale_rewards=False))
    # Episode part: scores 10, 10, 10, 10 and 0, 0, -0.1, 0 have the mean 4.9875.
    # Step part, returns 1.25, 2.5, 5, 10 and 0, 0, -0.1, 0: half of the difference where the states are equal.
    assert credit.advantages[0] == pytest.approx([5.0125 + 0.625, 5.0125, 5.0125 + 2.55, 5.0125 + 5])
    assert credit.advantages[1] == pytest.approx([-4.9875 - 0.625, -4.9875, -5.0875 - 2.55, -4.9875 - 5])


def test_a_continuation_is_credited_from_its_point_on(pair: list[Rollout]) -> None:
    point = Point(pair[1], 2)
    again = rollout("abcd", "xYzw", [[0], [7], [2], [3], [9]], success=True, point=point)
    settings = AlgorithmSettings(algorithm="branch", continuations=1, scale_rewards=False, invalid_penalty=0.0)
    credit = advantages_of([*pair, again], settings)
    assert credit.advantages[0] == pytest.approx([5] * 4)
    assert credit.advantages[1] == pytest.approx([-5, -5, -10, -10])
    assert credit.advantages[2] == pytest.approx([5, 5])
    assert credit.groups.tolist() == [0, 0, -1]


def test_metrics_of_play(pair: list[Rollout]) -> None:
    found = play_metrics([*pair, replace(pair[0], start=replace(pair[0].start, point=Point(pair[0], 1)))])
    assert found == {
        "success": 0.5,
        "score": 0.75,
        "turns": 4,
        "cut_by_turns": 0.5,
        "cut_by_tokens": 0,
        "format_error_rate": 1 / 8,
        "inadmissible_rate": 1 / 8,
        "no_effect": 1 / 8,
        "repeated": 0,
        "clipped_ratio": 0,
    }
    back = rollout("aba", "xyx", [[0], [1], [0], [1]])
    assert play_metrics([back])["repeated"] == pytest.approx(1 / 3)


def test_metrics_of_groups_and_anchors(pair: list[Rollout]) -> None:
    dull = [replace(pair[0], start=replace(pair[0].start, group=1)) for _ in range(2)]
    credit = advantages_of([*pair, *dull], AlgorithmSettings(algorithm="gigpo"))
    found = anchor_metrics(credit)
    assert found["frac_reward_zero_std"] == found["untaught"] == 0.5
    assert found["reward"] == 7.5
    assert found["anchor_coverage"] == pytest.approx(14 / 16)
    assert found["anchor_size"] == 2


def test_a_group_without_variance_teaches_nothing_but_the_format(pair: list[Rollout]) -> None:
    lost = [replace(pair[1], success=False) for _ in range(2)]
    assert advantages_of(lost, AlgorithmSettings(invalid_penalty=0.0)).taught() == set()
    assert advantages_of(lost, AlgorithmSettings()).taught() == {0}
    assert np.allclose(advantages_of(lost, AlgorithmSettings()).advantages[0], [0, 0, -0.1, 0])


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "gigpo", "hgpo", "branch"])
def test_a_step_without_episodes_has_no_advantages(algorithm: Any) -> None:
    credit = advantages_of([], AlgorithmSettings(algorithm=algorithm, contexts=1))
    assert credit.advantages == []
    assert credit.taught() == set()
    assert anchor_metrics(credit) == play_metrics([]) == {}
