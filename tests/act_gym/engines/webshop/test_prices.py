import json
import random
from contextlib import closing
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from act_gym.engines.webshop.prices import Prices
from act_gym.errors import UsageError
from tests.act_gym.engines.webshop.conftest import SHIRT, TEA


def of_price(*prices, asin="B000000000"):
    return replace(TEA, asin=asin, prices=prices)


def test_a_range_gives_one_price_that_no_other_generator_can_change():
    random.seed(1)
    first = Prices().price(SHIRT)
    random.seed(2)
    np.random.seed(3)
    assert Prices().price(SHIRT) == first
    assert 10.5 <= first <= 31.0
    assert Prices().price(TEA) == 4.0


def test_prices_fill_their_range_evenly():
    drawn = [Prices().price(of_price(10.0, 20.0, asin=f"B{number:09}")) for number in range(2000)]
    counts, _ = np.histogram(drawn, bins=10, range=(10, 20))
    assert counts.sum() == 2000
    assert counts.min() > 140


def test_a_limit_is_the_larger_of_two_of_the_next_four_tens():
    limits = [Prices().upper(of_price(12.0, asin=f"B{number:09}"), 0, goal=0) for number in range(3000)]
    assert set(limits) == {30.0, 40.0, 50.0}
    shares = [limits.count(limit) / len(limits) for limit in (30.0, 40.0, 50.0)]
    assert shares == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.04)


@pytest.mark.parametrize(
    ("price", "limits"),
    [(0.5, {20.0, 30.0, 40.0}), (10.0, {30.0, 40.0, 50.0}), (975.0, {990.0}), (985.0, {Prices.NO_LIMIT})],
)
def test_a_limit_lies_above_the_price_as_long_as_there_are_two_tens(price, limits):
    found = {Prices().upper(of_price(price, asin=f"B{number:09}"), 0, goal=0) for number in range(60)}
    assert found == limits


def test_customers_of_one_product_draw_apart():
    assert len({Prices().upper(SHIRT, number, goal=0) for number in range(30)}) > 1


def test_what_is_given_is_not_drawn(tmp_path):
    table = {"products": {SHIRT.asin: 30.0}, "limits": {"7": 40}}
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(table))
    for prices in (Prices(table), Prices(str(file)), Prices({**table, "limits": {7: 40.0}})):
        assert prices.price(SHIRT) == 30.0
        assert prices.upper(SHIRT, 0, goal=7) == 40.0
        assert prices.upper(SHIRT, 0, goal=8) in {50.0, 60.0, 70.0}


@pytest.mark.parametrize("given", [{"product": {}}, {"limits": {"a": 1}}, {"products": 3}, [1]])
def test_other_prices_are_refused(given):
    with pytest.raises(UsageError, match="prices= holds dollars"):
        Prices(given)


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -1])
@pytest.mark.parametrize("kind", ["products", "limits"])
def test_amounts_that_cannot_be_are_refused(kind, amount):
    with pytest.raises(UsageError, match=f"prices= has {float(amount)} for 7 in {kind}; expected dollars, 0 or more"):
        Prices({kind: {"7": amount}})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"products": {"B000NOWHERE": 3}}, "the product B000NOWHERE, which this catalogue does not sell"),
        ({"limits": {"-1": 3}}, "a limit for goal -1; this catalogue has goals 0 to "),
        ({"limits": {10**9: 3}}, "a limit for goal 1000000000"),
    ],
    ids=["product", "negative goal", "goal"],
)
def test_prices_of_what_a_shop_lacks_are_refused(given, message):
    with closing(gym.make("act/WebShop-generated-seen", prices=given)) as env, pytest.raises(UsageError, match=message):
        env.reset(seed=0)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.json"):
        Prices(tmp_path / "none.json")
