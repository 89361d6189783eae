import numpy as np
import pytest

from act_gym import UsageError
from benchmarks.stats.intervals import Interval
from benchmarks.stats.significance import LEVEL, agreeing, fisher, mcnemar, paired_permutation, permutation


def test_mcnemar_of_five_to_none_is_derived_by_hand():
    assert mcnemar(5, 0) == pytest.approx(2 * 0.5**5, rel=1e-12)
    assert mcnemar(0, 0) == 1.0


def test_fisher_of_the_lady_tasting_tea_is_known():
    # Fisher 1935: 3 of 4 cups on either side; (1 + 16 + 16 + 1) of 70 arrangements are no likelier.
    assert fisher((3, 4), (1, 4)) == pytest.approx(34 / 70, rel=1e-12)


def test_permutations_of_few_tasks_are_counted_by_hand():
    # Of 8 signs of 1, 2, 3 two reach the mean 2; of the 6 ways to pick two of 1, 2, 5, 6 two are as far apart.
    assert paired_permutation([1.0, 2.0, 3.0]) == 2 / 8
    assert permutation([1.0, 2.0], [5.0, 6.0]) == pytest.approx(2 / 6)


def test_flipping_signs_of_outcomes_is_mcnemars_test():
    differences = [1.0] * 11 + [-1.0] * 3 + [0.0] * 50
    assert paired_permutation(differences) == pytest.approx(mcnemar(11, 3), abs=0.01)


def test_agents_that_never_differ_are_not_told_apart():
    assert paired_permutation([0.0] * 5) == 1.0
    assert permutation([0.5] * 5, [0.5] * 3) == 1.0


def test_chance_alone_is_called_a_difference_about_as_often_as_it_says():
    # 400 draws at 5 %: three standard errors are 0.017 to 0.083. Exact tests of few outcomes may be below.
    generator = np.random.default_rng(0)
    pairs = [generator.normal(size=20) for _ in range(400)]
    called = np.mean([paired_permutation(each, permutations=400) < 0.05 for each in pairs])
    assert 0.017 < called < 0.083
    sets = [generator.random((2, 15)) for _ in range(400)]
    called = np.mean([permutation(*each, permutations=400) < 0.05 for each in sets])
    assert 0.017 < called < 0.083
    counts = generator.binomial(60, 0.4, size=(400, 2))
    assert np.mean([fisher((int(a), 60), (int(b), 60)) < 0.05 for a, b in counts]) < 0.083


def test_the_same_tasks_have_the_same_p_value_in_any_order():
    values = np.random.default_rng(4).normal(0.1, 0.5, size=30)
    assert paired_permutation(values) == paired_permutation(values[::-1])
    assert permutation(values, values[:7]) == permutation(values[::-1], values[:7][::-1])


def test_an_interval_does_not_contradict_its_p_value():
    # 40 tasks on each of which one agent scores 0.35 points more: a wide interval, and a test that is certain.
    more = np.full(40, 0.0035)
    p_value = paired_permutation(more)
    assert p_value < 0.001
    shown = agreeing(Interval(0.0035, -0.082, 0.089, 40), p_value, lambda shift: paired_permutation(more - shift))
    assert (shown.low, shown.high) == (0.0035, 0.089)
    turned = agreeing(Interval(-0.0035, -0.089, 0.082, 40), p_value, lambda shift: paired_permutation(-more - shift))
    assert (turned.low, turned.high) == (-0.089, -0.0035)
    # Five to none: the exact test keeps 0, the interval alone would not.
    narrow = Interval(0.2, 0.01, 0.4, 25)
    assert agreeing(narrow, mcnemar(5, 0), lambda shift: 1.0) == Interval(0.2, 0.0, 0.4, 25)
    assert agreeing(narrow, 0.01, lambda shift: 1.0) == narrow


def test_a_bound_is_a_difference_that_the_test_just_keeps():
    values = np.random.default_rng(3).normal(0.4, 0.3, size=20)

    def test(shift: float) -> float:
        return paired_permutation(values - shift)

    low = agreeing(Interval(values.mean(), -0.1, 0.5, 20), test(0.0), test).low
    assert test(low) > LEVEL >= test(low - 1e-3)


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
