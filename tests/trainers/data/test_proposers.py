"""Which actions are tried beside the expert's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.types import ExpertStep, Task
from agents.placeholders import is_admissible
from agents.prompts import normalise
from trainers.data.proposers import RANDOM, REPLACEMENT, Proposal, choose

TASK = Task(id="alfworld/lamp", benchmark="ALFWorld", split="train", task_type="lamp")
COMMANDS = tuple(sorted([f"open drawer {number}" for number in range(12)] + ["look", "take lamp 1 from desk 1"]))


def step(commands: tuple[str, ...] = COMMANDS) -> ExpertStep:
    return ExpertStep(
        id="alfworld/lamp#0",
        task=TASK,
        turn=0,
        goal="take the lamp",
        history=(),
        observation="A desk.",
        expert_action="take lamp 1 from desk 1",
        admissible_commands=commands,
    )


def test_what_is_not_admissible_is_replaced_by_random_admissible_commands() -> None:
    proposal = Proposal(("open drawer 3", "dance"), unreadable=1)
    chosen = choose(step(), proposal, "model:free", alternatives=3, explore=2, seed=0)
    assert [attempt.source for attempt in chosen.attempts] == ["model:free", *[REPLACEMENT] * 2, *[RANDOM] * 2]
    assert chosen.attempts[0].action == "open drawer 3"
    assert all(attempt.action in COMMANDS for attempt in chosen.attempts)
    assert (chosen.inadmissible, chosen.replaced) == (1, 2)


def test_what_was_the_experts_action_or_said_before_is_dropped_and_not_replaced() -> None:
    chosen = choose(step(), Proposal(("look",), matched=1, repeated=1), "m", alternatives=3, explore=0, seed=0)
    assert [attempt.action for attempt in chosen.attempts] == ["look"]


@given(st.integers(0, 2**31), st.integers(0, 6), st.integers(0, 20), st.booleans())
def test_nothing_is_tried_twice_and_never_the_experts_action(seed: int, asked: int, explore: int, said: bool) -> None:
    proposal = Proposal(("Open drawer 3.", "dance") if said else ())
    chosen = choose(step(), proposal, "m", alternatives=asked, explore=explore, seed=seed)
    actions = [normalise(attempt.action) for attempt in chosen.attempts]
    assert len(set(actions)) == len(actions)
    assert "take lamp 1 from desk 1" not in actions
    explored = sum(attempt.source == RANDOM for attempt in chosen.attempts)
    assert explored == min(explore, len(COMMANDS) - 1 - (len(actions) - explored))


def test_without_a_list_every_proposal_is_tried_and_none_is_drawn() -> None:
    chosen = choose(step(()), Proposal(("dance",), unreadable=2), "m", alternatives=3, explore=8, seed=0)
    assert [(attempt.action, attempt.source) for attempt in chosen.attempts] == [("dance", "m")]


@pytest.mark.parametrize(
    ("action", "fits"),
    [
        ("search[red shoes]", True),
        ("Search[red  shoes].", True),
        ("search[]", False),
        ("click[buy now]", True),
        ("click[b0]", False),
        ("search[x] click[buy now]", False),
    ],
)
def test_a_blank_in_a_command_fits_any_words(action: str, fits: bool) -> None:
    assert is_admissible(action, ("search[<query>]", "click[Buy Now]")) is fits
