"""Rewards worked out by hand, among them what WebShop's arithmetic makes of odd options."""

from dataclasses import replace

import pytest

from act_gym.engines.webshop.goals import Goal
from act_gym.engines.webshop.product import Product
from act_gym.engines.webshop.reward import COLOURS, attribute_found, colour_of, option_chosen, score

SOFA = Product(
    asin="SOFA",
    title="Oak Sofa Bed",
    category="garden",
    query="sofas",
    product_category="Home › Furniture › Sofas",
    description="Folds out.",
    bullet_points=("Solid WOOD frame", "Machine wash covers"),
    attributes=("memory foam",),
    options={"color": ("dark grey", "red"), "size": ("queen", "king")},
    nouns=("oak", "sofa", "bed"),
)
LAMP = Product(
    asin="LAMP",
    title="Brass Lamp",
    category="garden",
    query="lamps",
    product_category="Tools › Lights",
    description="",
    bullet_points=(),
    attributes=(),
    nouns=("brass", "lamp"),
)


def goal(product=SOFA, **changes):
    values = {
        "index": 0,
        "product": product,
        "position": 0,
        "instruction": "Find me a sofa",
        "attributes": ("memory foam", "solid wood"),
        "options": {"color": "dark grey", "size": "queen"},
        "price_upper": 100.0,
    }
    return Goal(**{**values, **changes})


def test_everything_that_was_wanted_is_worth_one():
    found = score(goal(), SOFA, {"color": "dark grey", "size": "queen"}, 100.0)
    assert found.reward == 1.0
    assert found.parts == {
        "r_type": 1.0,
        "r_att": 1.0,
        "w_att": 2 / 5,
        "query_match": True,
        "category_match": True,
        "title_score": 1.0,
        "r_option": 1.0,
        "w_option": 2 / 5,
        "r_price": True,
        "w_price": 1 / 5,
    }


def test_each_thing_that_is_missing_costs_its_share():
    assert score(goal(), SOFA, {"color": "red", "size": "queen"}, 100.0).reward == 4 / 5
    assert score(goal(), SOFA, {}, 100.01).reward == 2 / 5
    assert score(goal(attributes=("memory foam", "solid wood", "brass")), SOFA, {}, 1.0).reward == 3 / 6


def test_without_wanted_options_there_is_no_reward_for_them():
    found = score(goal(options={}), SOFA, {"color": "red"}, 1.0)
    assert found.reward == 1.0
    assert {"r_option", "w_option"}.isdisjoint(found.parts)


@pytest.mark.parametrize(
    ("changes", "r_type"),
    [
        ({}, 0.0),  # no noun in common
        ({"nouns": ("oak",)}, 1.0),  # one of three
        ({"query": "sofas"}, 0.0),  # the query does not help where no noun is shared
        ({"nouns": ("oak",), "query": "sofas"}, 1.0),
    ],
)
def test_the_type_goes_by_nouns_first(changes, r_type):
    assert score(goal(options={}), replace(LAMP, **changes), {}, 1.0).parts["r_type"] == r_type


@pytest.mark.parametrize(
    ("wanted", "bought", "title_score", "r_type"),
    [
        (("a", "b", "c", "d", "e"), ("a",), 0.2, 0.5),  # 0.2 is not more than 0.2
        (tuple("abcdefghijk"), ("a",), 1 / 11, 0.1),
        (("tea", "tea", "bag"), ("tea", "bag"), 2 / 3, 1.0),  # repeated nouns count where they are wanted
        ((), ("a",), 0.2, 0.5),  # a title without nouns
    ],
)
def test_the_share_of_nouns_decides_without_a_common_query_or_path(wanted, bought, title_score, r_type):
    found = score(goal(replace(SOFA, nouns=wanted), options={}), replace(LAMP, nouns=bought), {}, 1.0).parts
    assert (found["title_score"], found["r_type"]) == (title_score, r_type)


def test_two_common_departments_are_a_common_path():
    nearly = replace(LAMP, nouns=("x", "oak", "y", "z", "v"), product_category="Furniture › Home › Lamps")
    wanted = goal(replace(SOFA, nouns=("oak", "b", "c", "d", "e")), options={})
    assert score(wanted, nearly, {}, 1.0).parts["category_match"] is True
    assert score(wanted, nearly, {}, 1.0).reward == pytest.approx(1 / 3)  # the price alone
    assert score(wanted, replace(nearly, product_category="Home"), {}, 1.0).reward == pytest.approx(1 / 6)


@pytest.mark.parametrize("wanted", ["memory foam", "memory foams", "solid wood", "folds out", "oak sofa"])
def test_an_attribute_is_found_among_the_products_own_or_in_its_texts(wanted):
    assert attribute_found(wanted, SOFA)


def test_an_attribute_is_not_found_in_parts():
    assert not attribute_found("oak wood", SOFA)


@pytest.mark.parametrize(
    ("wanted", "chosen", "found"),
    [
        (("size", "large"), "large", True),
        (("size", "large"), "x-large", False),
        (("color", "black"), "jet black", True),  # both are black
        (("color", "heather grey"), "heather grey", True),  # the pair has the word grey
        (("color", "heather grey"), "heather", True),  # and heather, another colour
        (("color", "heather grey"), "light gray", False),
        (("fit type", "standard"), "standard", False),  # there is a tan in standard, and no tan in the pair
        (("color", "228black"), "228black", False),
        (("color", "red"), "tailored", True),  # and a red in tailored
        ("standard", "standard", True),  # people's options are compared as values
        ("heather grey", "grey", True),
        (("material", "a\xa0b"), "a\xa0b", False),  # printing the pair spells the space out
    ],
)
def test_options_are_compared_as_webshop_does(wanted, chosen, found):
    assert option_chosen(wanted, [chosen]) is found


def test_one_chosen_value_may_satisfy_two_wanted_ones():
    assert score(goal(options=("grey", "dark grey")), SOFA, {"color": "dark grey"}, 1.0).parts["r_option"] == 0.5
    assert score(goal(options=("grey", "light grey")), SOFA, {"a": "grey", "b": "light"}, 1.0).parts["r_option"] == 1.0


def test_the_first_colour_of_the_list_wins():
    assert len(COLOURS) == len(set(COLOURS)) == 102
    assert colour_of("navy grey") == "grey"
    assert colour_of("large") == "large"
    assert colour_of("standard") == "tan"
