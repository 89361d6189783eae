from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated

import pytest

from act_gym.config import Bound, Finite, Positive, Seed, check_bounds, parse
from act_gym.errors import UsageError


@dataclass(frozen=True)
class Inner:
    """Settings inside settings."""

    depth: Positive = 1
    """How deep."""


@dataclass(frozen=True)
class Settings:
    """A program."""

    steps: Positive = 3
    """How many steps."""
    rate: Annotated[float, Bound(above=0, most=1)] = 0.1
    """How fast."""
    reward: Finite = 0.0
    """Any number."""
    seeds: tuple[Seed, ...] = (0,)
    """Of every draw."""
    inner: Inner = field(default_factory=Inner)
    """More."""


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--steps", "0"], "--steps is 0; expected a number of at least 1."),
        (["--rate", "0"], "--rate is 0.0; expected a number above 0 and at most 1."),
        (["--rate", "nan"], "--rate is nan; expected a number above 0 and at most 1."),
        (["--reward", "inf"], "--reward is inf; expected a finite number."),
        (["--seeds", "1", "-1"], "--seeds is -1; expected a number of at least 0 and at most 4294967295."),
        (["--inner.depth", "-2"], "--inner.depth is -2; expected a number of at least 1."),
    ],
)
def test_a_number_outside_its_bounds_is_named(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(Settings, argv, program="act-gym test")
    assert str(caught.value) == message


def test_a_recipe_is_bounded_as_the_command_line_is(tmp_path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("inner: {depth: 0}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"--inner\.depth is 0"):
        parse(Settings, ["--recipe", str(recipe)], program="act-gym test")


def test_the_ends_of_a_bound_belong_to_it_or_not() -> None:
    closed, opened = Bound(least=0, most=1), Bound(above=0, below=1)
    assert [closed.holds(value) for value in (-0.1, 0, 1, 1.1, math.nan, math.inf)] == [False, True, True, *[False] * 3]
    assert [opened.holds(value) for value in (0, 0.5, 1)] == [False, True, False]


def test_settings_inside_their_bounds_pass() -> None:
    check_bounds(Settings(steps=1, rate=1.0, reward=-5.0, seeds=(0, 2**32 - 1)))
