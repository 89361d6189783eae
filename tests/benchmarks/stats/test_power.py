import numpy as np
import pytest

from act_gym import UsageError
from benchmarks.stats.power import components, seeds_needed

SEVEN = {f"task {number}": [0.0] for number in range(7)}


def test_seeds_needed_are_derived_by_hand():
    # Differences of means over two seeds: 1/2, 0, 0, -1/2, with the variance 1/6. Within a task a difference of
    # two single outcomes has the variance 1/2 (first: three tasks of 1/2, 0 of the others) ...
    first = {"a": [1, 0], "b": [1, 0], "c": [0, 1], "d": [0, 0]}
    second = {"a": [0, 0], "b": [1, 0], "c": [1, 0], "d": [0, 1]}
    measured = components(first, second)
    assert measured.together == pytest.approx(1 / 6)
    assert measured.within == pytest.approx(3 / 8 + 3 / 8)  # three of four tasks with 1/2, for either agent
    assert measured.between == 0.0  # 1/6 is less than the 3/8 that seeds alone explain
    needed = seeds_needed(measured, 0.5)
    # (z(0.975) + z(0.8))² = 7.8489: within / k / 4 tasks must be 0.25 / 7.8489 at most, so k is 5.89 at least.
    assert (needed.seeds, needed.bound) == (6, False)
    assert needed.smallest == pytest.approx((7.8489 / 6 / 4) ** 0.5, rel=1e-4)


def test_tasks_that_differ_need_more_tasks_and_not_more_seeds():
    generator = np.random.default_rng(0)
    shift = generator.choice([-0.4, 0.4], size=100)
    first = {str(n): generator.binomial(1, 0.5 + shift[n], size=6).astype(float) for n in range(100)}
    second = {str(n): generator.binomial(1, 0.5 - shift[n], size=6).astype(float) for n in range(100)}
    needed = seeds_needed(components(first, second), 0.05)
    assert needed.seeds is None
    assert needed.tasks > 1000


def test_the_seeds_that_were_asked_for_show_the_difference_as_often_as_they_should():
    # 50 tasks of different difficulty; the first agent is better by 0.1 on each. 300 experiments with the seeds
    # that the true variances ask for: three standard errors around 0.8 are 0.73 to 0.87.
    generator = np.random.default_rng(2)
    chances = generator.uniform(0.2, 0.7, size=50)
    better = chances + 0.1

    def play(agent, seeds, times):
        return generator.binomial(1, agent, size=(times, seeds, 50)).mean(axis=1)

    many = {
        name: {str(n): generator.binomial(1, agent[n], size=400).astype(float) for n in range(50)}
        for name, agent in (("better", better), ("base", chances))
    }
    needed = seeds_needed(components(many["better"], many["base"]), 0.1)
    assert needed.seeds is not None
    differences = play(better, needed.seeds, 300) - play(chances, needed.seeds, 300)
    errors = differences.std(axis=1, ddof=1) / 50**0.5
    seen = np.abs(differences.mean(axis=1)) / errors > 2.0096  # t(0.975) with 49 degrees of freedom
    assert 0.73 < seen.mean() < 0.87


def test_one_seed_gives_a_lower_bound():
    first = {str(number): [float(number % 2)] for number in range(40)}
    needed = seeds_needed(components(first, {task: [0.0] for task in first}), 0.05)
    assert needed.bound
    assert needed.seeds is not None
    assert needed.seeds > 1


@pytest.mark.parametrize(
    ("first", "second"),
    [(SEVEN, {"other": [0.0]}), ({"a": [0.0]}, {"a": [1.0]}), (SEVEN | {"task 0": [0.0, 1.0]}, SEVEN)],
)
def test_outcomes_that_do_not_pair_are_refused(first, second):
    with pytest.raises(UsageError):
        components(first, second)


@pytest.mark.parametrize(("difference", "power"), [(0, 0.8), (1.5, 0.8), (0.1, 1.0), (0.1, 0.2)])
def test_numbers_out_of_range_are_refused(difference, power):
    with pytest.raises(UsageError):
        seeds_needed(components(SEVEN, SEVEN), difference, power=power)
