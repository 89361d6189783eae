"""What a catalogue may be called."""

from pathlib import Path

import gymnasium as gym
import pytest

from act_gym.engines.webshop.shop_names import name_of
from act_gym.errors import UsageError


@pytest.mark.parametrize(("given", "name"), [("1000", "1000"), (1000, "1000"), (Path("shops/mine"), "shops/mine")])
def test_names_numbers_and_paths(given, name):
    assert name_of(given) == name


@pytest.mark.parametrize("given", [None, True, 1.5, ["1000"]])
def test_anything_else_is_refused_with_an_example(given):
    with pytest.raises(UsageError, match=r"e\.g\. 1000; got"):
        gym.make("act_gym:act/WebShop", catalogue=given)
