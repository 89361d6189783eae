"""Advantages against tables worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from trainers.rollouts.advantages import branch, discounted, gigpo, grpo, hgpo, numbered, rloo, zero_variance

ROOT2 = 2**0.5


def labels(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_grpo_divides_by_the_unbiased_deviation() -> None:
    # Group 0: mean 5, squared differences 25 + 25 + 25 + 25 over 3. Group 1 has no variance.
    returns, groups = np.array([10.0, 0, 10, 0, 10, 10]), labels(0, 0, 0, 0, 1, 1)
    deviation = (100 / 3) ** 0.5
    expected = np.array([5, -5, 5, -5, 0, 0]) / (deviation + 1e-6)
    assert grpo(returns, groups) == pytest.approx(expected, abs=1e-12)


def test_dr_grpo_leaves_the_deviation_out() -> None:
    assert grpo(np.array([1.0, 0, 0, 0]), labels(0, 0, 0, 0), scale=False) == pytest.approx([0.75, -0.25, -0.25, -0.25])


def test_rloo_compares_with_the_mean_of_the_others() -> None:
    # 6 - (3 + 0) / 2, 3 - (6 + 0) / 2, 0 - (6 + 3) / 2; the last is alone.
    assert rloo(np.array([6.0, 3, 0, 9]), labels(0, 0, 0, 1)) == pytest.approx([4.5, 0, -4.5, 0])


def test_groups_may_be_mixed_in_the_array() -> None:
    returns, groups = np.array([1.0, 10, 3, 30]), labels(7, 2, 7, 2)
    assert grpo(returns, groups, scale=False) == pytest.approx([-1, -10, 1, 10])


def test_returns_are_discounted_within_an_episode() -> None:
    rewards, episodes = np.array([0.0, 0, 10, -1, 2]), labels(0, 0, 0, 1, 1)
    assert discounted(rewards, episodes, 0.5) == pytest.approx([2.5, 5, 10, 0, 2])


def test_gigpo_adds_an_episode_part_and_a_step_part() -> None:
    # One task, two episodes: three decisions that end in 10, and one that ends in 0.
    scores, groups = np.array([10.0, 10, 10, 0]), labels(0, 0, 0, 0)
    returns = np.array([9.025, 9.5, 10, 0])
    anchors = labels(0, 1, 2, 0)  # the first decisions of both episodes share a state
    # Episode part: mean 7.5, deviation sqrt((3 * 6.25 + 56.25) / 3) = 5. Step part: 4.5125 from the mean.
    step = 4.5125 / (4.5125 * ROOT2 + 1e-6)
    expected = [2.5 / 5.000001 + step, 2.5 / 5.000001, 2.5 / 5.000001, -7.5 / 5.000001 - step]
    assert gigpo(scores, returns, groups, anchors) == pytest.approx(expected, abs=1e-12)
    half = gigpo(scores, returns, groups, anchors, weight=0.5, scale=False)
    assert half == pytest.approx([2.5 + 4.5125 / 2, 2.5, 2.5, -7.5 - 4.5125 / 2])


def test_hgpo_weighs_longer_contexts_more() -> None:
    returns = np.array([4.0, 0, 2])
    contexts = np.array([[0, 0], [0, 0], [0, 1]])  # all share one observation, the first two share two
    # k = 1: mean 2: 2, -2, 0. k = 2: mean 2: 2, -2; the third has no group there. Weights 1 / 3 and 2 / 3.
    assert hgpo(returns, contexts, scale=False) == pytest.approx([2, -2, 0])
    contexts = np.array([[0, 0], [0, 1], [0, 0]])
    # k = 2 compares the first and the third: mean 3: 1 and -1.
    assert hgpo(returns, contexts, scale=False) == pytest.approx([(2 + 2 * 1) / 3, -2, (0 + 2 * -1) / 3])
    assert hgpo(returns, contexts, alpha=0.0, scale=False) == pytest.approx([1.5, -2, -0.5])


def test_hgpo_divides_by_the_deviation_and_leaves_loners_at_zero() -> None:
    deviation = 2 * ROOT2  # of 4 and 0
    found = hgpo(np.array([4.0, 0, 9]), np.array([[0], [0], [1]]))
    assert found == pytest.approx([2 / (deviation + 1e-6), -2 / (deviation + 1e-6), 0], abs=1e-12)


def test_branches_compare_the_continuations_of_one_point() -> None:
    # Two whole episodes of a task; the first was branched into two continuations.
    returns, groups = np.array([0.0, 10, 10, 0]), labels(0, 0, -1, -1)
    rests, points = np.array([0.0, 10, 10, 5]), labels(0, -1, 0, 0)
    whole, rest = branch(returns, groups, rests, points, scale=False)
    assert whole == pytest.approx([-5, 5, 0, 0])
    assert rest == pytest.approx([-5, 0, 5, 0])


def test_a_zero_variance_group_is_known() -> None:
    found = zero_variance(np.array([1.0, 1, 0, 1, 5]), labels(0, 0, 1, 1, 2))
    assert found.tolist() == [True, True, False, False, True]


def test_rounding_is_no_variance() -> None:
    values = np.array([0.1 + 0.2, 0.3, 0.3])
    assert np.ptp(values) > 0
    assert zero_variance(values, labels(0, 0, 0)).all()
    assert grpo(values, labels(0, 0, 0)).tolist() == [0, 0, 0]


def test_equal_keys_get_the_same_label_hashable_or_not() -> None:
    assert numbered(["a", "b", "a"]).tolist() == [0, 1, 0]
    assert numbered([[1], [2], [1], "a", [2]]).tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize("seed", range(5))
def test_advantages_sum_to_zero_in_every_group(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    values, groups = drawn.normal(size=40), drawn.integers(0, 6, 40)
    for found in (grpo(values, groups), grpo(values, groups, scale=False), rloo(values, groups)):
        assert np.bincount(groups, found) == pytest.approx(np.zeros(6), abs=1e-9)
