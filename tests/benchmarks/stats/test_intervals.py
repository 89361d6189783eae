import numpy as np
import pytest

from act_gym import UsageError
from benchmarks.stats.intervals import bootstrap_difference, bootstrap_mean, clustered, newcombe, wilson


def test_wilson_of_nothing_out_of_ten_is_derived_by_hand():
    # p = 0: the upper end is z²/(n + z²) = 3.841459/13.841459.
    interval = wilson(0, 10)
    assert (interval.value, interval.low) == (0.0, 0.0)
    assert interval.high == pytest.approx(0.277533, abs=1e-6)


def test_wilson_of_half_is_derived_by_hand():
    # p = 1/2, n = 100: the middle is 1/2 and the half width z/(2·sqrt(n + z²)) = 1.959964/20.380525.
    interval = wilson(50, 100)
    assert interval.low == pytest.approx(0.5 - 0.0961685, abs=1e-6)
    assert interval.high == pytest.approx(0.5 + 0.0961685, abs=1e-6)


def test_wilson_agrees_with_a_published_example():
    # Newcombe 1998, table I, method 3 (score without continuity correction): 81 of 263.
    interval = wilson(81, 263)
    assert round(interval.low, 4) == 0.2553
    assert round(interval.high, 4) == 0.3662


def test_wilson_is_symmetric_and_exact_at_the_ends():
    assert wilson(10, 10).high == 1.0
    assert wilson(3, 10).low == pytest.approx(1 - wilson(7, 10).high)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_numbers_that_do_not_fit(successes, n):
    with pytest.raises(UsageError):
        wilson(successes, n)


def test_the_bootstrap_of_a_constant_is_that_constant():
    interval = bootstrap_mean([0.25] * 7, np.random.default_rng(0))
    assert (interval.value, interval.low, interval.high, interval.n) == (0.25, 0.25, 0.25, 7)


def test_the_bootstrap_of_two_values_is_derived_by_hand():
    # Means of resamples of {0, 1} are 0, 1/2, 1 with chances 1/4, 1/2, 1/4: both tails reach the ends.
    interval = bootstrap_mean([0.0, 1.0], np.random.default_rng(0))
    assert (interval.value, interval.low, interval.high) == (0.5, 0.0, 1.0)


def test_the_bootstrap_of_many_values_approaches_the_normal_interval():
    values = np.random.default_rng(1).normal(size=400)
    interval = bootstrap_mean(values.tolist(), np.random.default_rng(0))
    half = 1.96 * values.std() / 20
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)


def test_the_same_generator_gives_the_same_interval_and_another_does_not():
    values = list(np.random.default_rng(1).random(50))
    first = bootstrap_mean(values, np.random.default_rng(0))
    assert first == bootstrap_mean(values, np.random.default_rng(0))
    assert first != bootstrap_mean(values, np.random.default_rng(1))


def test_resamples_are_drawn_in_blocks_without_losing_any(monkeypatch):
    monkeypatch.setattr("benchmarks.stats.intervals._BLOCK", 70)
    interval = bootstrap_mean([0.0, 1.0] * 5, np.random.default_rng(0), resamples=1001)
    assert 0.0 <= interval.low < 0.5 < interval.high <= 1.0


def test_a_difference_has_the_sign_of_first_minus_second():
    generator = np.random.default_rng(0)
    interval = bootstrap_difference([1.0] * 5, [0.0] * 3, generator)
    assert (interval.value, interval.low, interval.high, interval.n) == (1.0, 1.0, 1.0, 3)


def test_equal_values_get_wilsons_interval_for_as_many_outcomes():
    assert clustered([0.0] * 10) == wilson(0, 10)
    assert clustered([1.0] * 10) == wilson(10, 10)
    assert clustered([0.5] * 100) == wilson(50, 100)


def test_yes_or_no_outcomes_get_nearly_wilsons_interval():
    # One outcome less, for the variance's degree of freedom, and Student's quantile: a little wider.
    ours, wilsons = clustered([0.0, 1.0] * 50), wilson(50, 100)
    assert ours.value == wilsons.value
    assert wilsons.low - 0.003 < ours.low < wilsons.low < wilsons.high < ours.high < wilsons.high + 0.003


def test_tasks_that_repeat_themselves_are_no_more_sure_than_one_seed():
    # Three seeds that always agree tell as much as one; three that are independent narrow the interval by √3.
    tasks = np.random.default_rng(0).random(400) < 0.4
    alike = clustered(np.repeat(tasks[:, None], 3, axis=1).mean(axis=1))
    assert alike == clustered(tasks.astype(float))
    apart = clustered((np.random.default_rng(1).random((400, 3)) < 0.4).mean(axis=1))
    assert (alike.high - alike.low) / (apart.high - apart.low) == pytest.approx(3**0.5, rel=0.05)


def test_shares_lie_between_nothing_and_all():
    with pytest.raises(UsageError, match="0-1"):
        clustered([0.5, 1.5])


def test_newcombe_of_pairs_agrees_with_his_own_example():
    # Newcombe 1998 (paired data), table II, the pairs 36, 12, 2, 0: method 10 without its correction of phi.
    table = np.repeat([(1, 1), (1, 0), (0, 1), (0, 0)], [36, 12, 2, 0], axis=0)
    phi = np.corrcoef(table.T)[0, 1]
    interval = newcombe(wilson(48, 50), wilson(38, 50), phi)
    assert interval.value == pytest.approx(0.2)
    assert round(interval.low, 4) == 0.0569
    assert round(interval.high, 4) == 0.3404


def test_values_must_be_there():
    with pytest.raises(UsageError):
        bootstrap_mean([], np.random.default_rng(0))


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    # 400 samples: 95 % ± 3 standard errors is 0.917 to 0.983.
    generator = np.random.default_rng(0)
    samples = generator.random((400, 40)) < 0.3
    chances = generator.beta(0.5, 1.5, size=(400, 40))
    over_seeds = generator.binomial(3, chances) / 3  # tasks differ, and each has three seeds; the mean is 1/4
    found = {
        "wilson": ([wilson(int(sample.sum()), 40) for sample in samples], 0.3),
        "clustered": ([clustered(sample) for sample in over_seeds], 0.25),
        "bootstrap": ([bootstrap_mean(sample, generator, resamples=500) for sample in over_seeds], 0.25),
    }
    for name, (intervals, truth) in found.items():
        held = np.mean([one.low <= truth <= one.high for one in intervals])
        assert 0.917 < held < 0.983, name


def test_newcombe_agrees_with_his_own_example():
    # Newcombe 1998 (differences), table II, example (a): 56/70 - 48/80, method 10 gives 0.0524 to 0.3339.
    interval = newcombe(wilson(56, 70), wilson(48, 80))
    assert interval.value == pytest.approx(0.2)
    assert round(interval.low, 4) == 0.0524
    assert round(interval.high, 4) == 0.3339


def test_nothing_against_nothing_is_still_unsure():
    # Both ends come from z²/(n + z²) alone: 0.277533 with n = 10, on either side.
    interval = newcombe(wilson(0, 10), wilson(0, 10))
    assert interval.low == pytest.approx(-0.277533, abs=1e-6)
    assert interval.high == pytest.approx(0.277533, abs=1e-6)
