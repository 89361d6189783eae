import numpy as np
import pytest

from act_gym import UsageError
from benchmarks.intervals import (
    bootstrap_difference,
    bootstrap_mean,
    difference_of_shares,
    mean_of_shares,
    newcombe,
    wilson,
)


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
    monkeypatch.setattr("benchmarks.intervals._BLOCK", 70)
    interval = bootstrap_mean([0.0, 1.0] * 5, np.random.default_rng(0), resamples=1001)
    assert 0.0 <= interval.low < 0.5 < interval.high <= 1.0


def test_a_difference_has_the_sign_of_first_minus_second():
    generator = np.random.default_rng(0)
    interval = bootstrap_difference([1.0] * 5, [0.0] * 3, generator)
    assert (interval.value, interval.low, interval.high, interval.n) == (1.0, 1.0, 1.0, 3)


def test_equal_shares_get_wilsons_interval_and_others_the_bootstraps():
    assert mean_of_shares([0.0] * 10, np.random.default_rng(0)) == wilson(0, 10)
    assert mean_of_shares([1.0] * 10, np.random.default_rng(0)) == wilson(10, 10)
    assert mean_of_shares([0.5] * 100, np.random.default_rng(0)) == wilson(50, 100)
    values = [0.0, 0.25, 1.0]
    assert mean_of_shares(values, np.random.default_rng(0)) == bootstrap_mean(values, np.random.default_rng(0))


def test_a_difference_from_equal_shares_is_newcombes_and_others_the_bootstraps():
    generator = np.random.default_rng(0)
    assert difference_of_shares([1.0] * 5, [0.0] * 3, generator) == newcombe(wilson(5, 5), wilson(0, 3))
    mixed = difference_of_shares([0.0, 1.0, 0.5], [0.25] * 4, generator)
    assert mixed.low < mixed.value < mixed.high
    both = difference_of_shares([0.0, 1.0] * 20, [0.25, 0.5] * 20, generator)
    assert both.value == pytest.approx(0.125)
    assert -0.1 < both.low < 0.125 < both.high < 0.35


def test_shares_lie_between_nothing_and_all():
    with pytest.raises(UsageError, match="0-1"):
        mean_of_shares([0.5, 1.5], np.random.default_rng(0))


def test_values_must_be_there():
    with pytest.raises(UsageError):
        bootstrap_mean([], np.random.default_rng(0))


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    # 300 samples: 95 % ± 3 standard errors is 0.912 to 0.988; the bootstrap of 40 values is a little narrow.
    generator = np.random.default_rng(0)
    samples = generator.random((300, 40)) < 0.3
    wilsons = [wilson(int(sample.sum()), 40) for sample in samples]
    boots = [bootstrap_mean(sample.astype(float), generator, resamples=500) for sample in samples]
    for intervals, least in ((wilsons, 0.912), (boots, 0.87)):
        assert least < np.mean([one.low <= 0.3 <= one.high for one in intervals]) < 0.99


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
