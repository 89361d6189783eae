import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from act_gym import UsageError
from benchmarks.stats.intervals import Interval
from benchmarks.stats.significance import LEVEL, agreeing, fisher, mcnemar, paired_permutation, permutation


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (5, 5), (3, 12), (40, 61), (0, 134)])
def test_mcnemar_is_statsmodels(only_first, only_second):
    theirs = statsmodels_mcnemar([[7, only_first], [only_second, 3]], exact=True).pvalue
    assert mcnemar(only_first, only_second) == pytest.approx(min(1.0, theirs), rel=1e-12)


def test_mcnemar_of_five_to_none_is_derived_by_hand():
    assert mcnemar(5, 0) == 2 * 0.5**5


@pytest.mark.parametrize(
    ("first", "second"), [((3, 10), (9, 12)), ((130, 140), (110, 134)), ((0, 24), (0, 24)), ((1, 1), (0, 1397))]
)
def test_fisher_is_scipys(first, second):
    (a, n), (b, m) = first, second
    assert fisher(first, second) == pytest.approx(stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue, rel=1e-9)


def test_flipping_signs_is_scipys_permutation_test_of_samples():
    differences = np.random.default_rng(0).normal(0.3, 1, size=12)
    exact = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    ).pvalue
    assert paired_permutation(differences).p_value == pytest.approx(exact, abs=0.015)


def test_flipping_signs_of_outcomes_is_mcnemars_test():
    differences = [1.0] * 11 + [-1.0] * 3 + [0.0] * 50
    assert paired_permutation(differences).p_value == pytest.approx(mcnemar(11, 3), abs=0.01)


def test_moving_tasks_between_sets_is_scipys_permutation_test():
    generator = np.random.default_rng(0)
    first, second = generator.beta(2, 2, size=40), generator.beta(2, 3, size=60)
    theirs = stats.permutation_test(
        (first, second),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        vectorized=True,
        n_resamples=9_999,
        rng=1,
    ).pvalue
    assert permutation(first, second).p_value == pytest.approx(theirs, abs=0.015)


def test_agents_that_never_differ_are_not_told_apart():
    assert paired_permutation([0.0] * 5).p_value == 1.0
    assert permutation([0.5] * 5, [0.5] * 3).p_value == 1.0


def test_chance_alone_is_called_a_difference_about_as_often_as_it_says():
    # 400 draws at 5 %: three standard errors are 0.017 to 0.083. Exact tests of few outcomes may be below.
    generator = np.random.default_rng(0)
    pairs = [generator.normal(size=20) for _ in range(400)]
    called = np.mean([paired_permutation(each, permutations=400).p_value < 0.05 for each in pairs])
    assert 0.017 < called < 0.083
    sets = [generator.random((2, 15)) for _ in range(400)]
    called = np.mean([permutation(*each, permutations=400).p_value < 0.05 for each in sets])
    assert 0.017 < called < 0.083
    counts = generator.binomial(60, 0.4, size=(400, 2))
    assert np.mean([fisher((int(a), 60), (int(b), 60)) < 0.05 for a, b in counts]) < 0.083


def differences_of(kind: int, generator: np.random.Generator) -> np.ndarray:
    values = generator.normal(generator.normal(0, 0.1), 0.2, size=generator.integers(8, 30))
    return (np.sign(np.round(values)), np.clip(values, -1, 1), np.clip(values / 50, -1, 1))[kind]


@pytest.mark.parametrize("kind", range(3), ids=["outcomes", "scores", "small scores"])
def test_a_permutations_bounds_hold_0_where_it_does_not_reject(kind):
    generator = np.random.default_rng(kind)
    for _ in range(60):
        values = differences_of(kind, generator)
        paired = paired_permutation(values, permutations=999)
        assert (paired.p_value > LEVEL) == (paired.low <= 0 <= paired.high)
        half = len(values) // 2
        apart = permutation(np.abs(values[:half]), np.abs(values[half:]), permutations=999)
        assert (apart.p_value > LEVEL) == (apart.low <= 0 <= apart.high)


def test_a_bound_is_a_difference_that_the_test_just_keeps():
    values = np.random.default_rng(3).normal(0.2, 0.3, size=20).clip(-1, 1)
    found = paired_permutation(values)
    assert (
        paired_permutation(values - found.low - 1e-3).p_value
        > LEVEL
        >= paired_permutation(values - found.low + 1e-3).p_value
    )
    t = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((t.low, t.high), abs=0.02)


def test_the_same_tasks_have_the_same_p_value_in_any_order():
    values = np.random.default_rng(4).normal(0.1, 0.5, size=30)
    assert paired_permutation(values) == paired_permutation(values[::-1])
    assert permutation(values, values[:7]) == permutation(values[::-1], values[:7][::-1])


def test_an_interval_does_not_contradict_its_p_value():
    # 40 tasks on each of which one agent scores 0.35 points more: wide intervals, and a test that is sure.
    wide, sure = Interval(0.0035, -0.082, 0.089, 40), paired_permutation([0.0035] * 40)
    assert sure.p_value < 0.001
    shown = agreeing(wide, sure.p_value, sure)
    assert 0 < shown.low <= shown.value < shown.high == 0.089
    turned = agreeing(Interval(-0.0035, -0.089, 0.082, 40), sure.p_value, paired_permutation([-0.0035] * 40))
    assert (turned.low, turned.high) == (-0.089, pytest.approx(-shown.low))
    # Five to none: the exact test keeps 0, the interval alone would not.
    narrow = Interval(0.2, 0.01, 0.4, 25)
    assert agreeing(narrow, mcnemar(5, 0), sure) == Interval(0.2, 0.0, 0.4, 25)
    assert agreeing(narrow, 0.01, sure) == narrow


@pytest.mark.parametrize(
    "call",
    [
        lambda: mcnemar(-1, 2),
        lambda: fisher((0, 0), (1, 2)),
        lambda: fisher((3, 2), (1, 2)),
        lambda: paired_permutation([]),
        lambda: permutation([1.0], []),
    ],
)
def test_what_cannot_be_tested_is_refused(call):
    with pytest.raises(UsageError):
        call()
