import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.engines.webshop.goals import FOLDS, Goals, combination, combinations, fold_of, order
from act_gym.engines.webshop.prices import Prices
from act_gym.engines.webshop.product import Instruction
from tests.act_gym.engines.webshop.conftest import INSTRUCTIONS, JACKET, SHIRT, TEA


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=2), st.lists(st.text("xy", max_size=1), max_size=3), max_size=4)
)
def test_combinations_come_in_the_order_of_a_product_over_sorted_names(options):
    names = sorted(options)
    expected = [dict(zip(names, each, strict=True)) for each in itertools.product(*(options[name] for name in names))]
    assert combinations(options) == len(expected)
    found = [combination(options, number) for number in range(len(expected))]
    assert found == expected
    assert [list(each) for each in found] == [names] * len(expected), "the names' order is that of the instruction"


@given(st.integers(0, 300))
def test_the_order_is_that_of_a_list_shuffled_with_the_seed_233(count):
    goals = [f"goal {number}" for number in range(count)]
    random.Random(233).shuffle(goals)
    assert [f"goal {number}" for number in order(count)] == goals


def test_every_combination_is_one_goal(goals):
    assert len(goals) == 3 * 3 + 2 * 2 * 3 + 1
    made = [goals.goal(index, Prices()) for index in range(len(goals))]
    assert Counter(goal.product.asin for goal in made) == {SHIRT.asin: 9, JACKET.asin: 12, TEA.asin: 1}
    assert len({(goal.product.asin, tuple(goal.options.items())) for goal in made}) == len(goals)
    assert [goal.index for goal in made] == list(range(len(goals)))


def test_an_instruction_names_options_and_limit(goals):
    made = {goal.product.asin: goal for goal in (goals.goal(index, Prices()) for index in range(len(goals)))}
    shirt = made[SHIRT.asin]
    assert shirt.instruction == (
        f"Find me a shirt with color: {shirt.options['color']}, and size: {shirt.options['size']}"
        f", and price lower than {shirt.price_upper:.2f} dollars"
    )
    tea = made[TEA.asin]
    assert tea.instruction == f"Find me tea, and price lower than {tea.price_upper:.2f} dollars"
    jacket = made[JACKET.asin]
    assert jacket.price_upper == Prices.NO_LIMIT
    assert jacket.instruction.endswith(f"size: {jacket.options['size']}")


def test_all_goals_of_a_product_share_its_limit(goals):
    made = [goals.goal(index, Prices()) for index in range(len(goals))]
    assert len({goal.price_upper for goal in made if goal.product.asin == SHIRT.asin}) == 1


def test_a_persons_instruction_is_one_goal_with_its_own_options(shelf):
    said = Instruction(position=0, text="i need a shirt...", attributes=("cotton",), options=("large", "black"))
    goals = Goals(shelf, [said, said], human=True)
    one, other = goals.goal(0, Prices()), goals.goal(1, Prices())
    assert one.options == ("large", "black") == one.option_texts
    assert one.instruction == f"i need a shirt, and price lower than {one.price_upper:.2f} dollars"
    assert len(goals) == 2
    assert {one.position, other.position} == {0}
    assert goals.weights() == [1.0, 1.0]


def test_rare_attributes_weigh_more(goals):
    weights = goals.weights()
    made = [goals.goal(index, Prices()) for index in range(len(goals))]
    of = {goal.product.asin: weight for goal, weight in zip(made, weights, strict=True)}
    assert of == {SHIRT.asin: pytest.approx(1 / 9), JACKET.asin: pytest.approx(1 / 12), TEA.asin: 1.0}


def test_there_is_no_goal_beyond_the_last(goals):
    with pytest.raises(IndexError):
        goals.goal(len(goals), Prices())


def test_no_instructions_are_no_goals(shelf):
    assert len(Goals(shelf, [], human=False)) == 0
    assert INSTRUCTIONS[0].goals == 9


@pytest.mark.parametrize(("index", "fold"), [(0, "test"), (499, "test"), (500, "dev"), (1499, "dev"), (1500, "train")])
def test_folds_are_the_official_ones(index, fold):
    assert fold_of(index) == fold
    start, stop = FOLDS[fold]
    assert start <= index
    assert stop is None or index < stop
