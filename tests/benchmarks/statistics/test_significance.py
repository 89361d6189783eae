import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from act_gym import UsageError
from benchmarks.statistics.significance import fisher, mcnemar, paired_permutation, permutation


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
    assert paired_permutation(differences, np.random.default_rng(1)) == pytest.approx(exact, abs=0.015)


def test_flipping_signs_of_outcomes_is_mcnemars_test():
    differences = [1.0] * 11 + [-1.0] * 3 + [0.0] * 50
    assert paired_permutation(differences, np.random.default_rng(0)) == pytest.approx(mcnemar(11, 3), abs=0.01)


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
    assert permutation(first, second, np.random.default_rng(2)) == pytest.approx(theirs, abs=0.015)


def test_agents_that_never_differ_are_not_told_apart():
    assert paired_permutation([0.0] * 5, np.random.default_rng(0)) == 1.0
    assert permutation([0.5] * 5, [0.5] * 3, np.random.default_rng(0)) == 1.0


def test_chance_alone_is_called_a_difference_about_as_often_as_it_says():
    # 400 draws at 5 %: three standard errors are 0.017 to 0.083. Exact tests of few outcomes may be below.
    generator = np.random.default_rng(0)
    pairs = [generator.normal(size=20) for _ in range(400)]
    called = np.mean([paired_permutation(each, generator, permutations=400) < 0.05 for each in pairs])
    assert 0.017 < called < 0.083
    sets = [generator.random((2, 15)) for _ in range(400)]
    called = np.mean([permutation(*each, generator, permutations=400) < 0.05 for each in sets])
    assert 0.017 < called < 0.083
    counts = generator.binomial(60, 0.4, size=(400, 2))
    assert np.mean([fisher((int(a), 60), (int(b), 60)) < 0.05 for a, b in counts]) < 0.083


@pytest.mark.parametrize(
    "call",
    [
        lambda: mcnemar(-1, 2),
        lambda: fisher((0, 0), (1, 2)),
        lambda: fisher((3, 2), (1, 2)),
        lambda: paired_permutation([], np.random.default_rng(0)),
        lambda: permutation([1.0], [], np.random.default_rng(0)),
    ],
)
def test_what_cannot_be_tested_is_refused(call):
    with pytest.raises(UsageError):
        call()
