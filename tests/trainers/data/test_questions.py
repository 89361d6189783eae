"""The reward, against values derived by hand from the paper's three numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.errors import UsageError
from act_gym.types import ActionPair, ExpertStep, Task
from agents.prompts import format_reply, normalise
from trainers.data.questions import KINDS, Reward, acting_questions, judge, judging_questions, normalised

VALID = normalised(["go to hallway", "Look around."])


@pytest.mark.parametrize(
    ("reply", "kind", "earned"),
    [
        ("<action>go to kitchen</action>", "expert", 1.0),
        ("<action> Go to  KITCHEN. </action>", "expert", 1.0),
        ("Sure! <action>go to kitchen</action> is better.", "expert", 1.0),
        ("<think>the hallway? <action>go to hallway</action></think><action>go to kitchen</action>", "expert", 1.0),
        ("<action>go to hallway</action>", "valid", 0.1),
        ("<action>look around</action>", "valid", 0.1),
        ("<action>fly to the moon</action>", "other", 0.0),
        ("<action>Action 1</action>", "other", 0.0),
        ("go to kitchen", "malformed", -0.5),
        ("", "malformed", -0.5),
        ("<action></action>", "malformed", -0.5),
        ("<action>go to kitchen", "malformed", -0.5),
        ("<action>go to kitchen</action><action>go to hallway</action>", "malformed", -0.5),
    ],
)
def test_a_reply_earns_what_the_paper_says(reply: str, kind: str, earned: float) -> None:
    assert judge(reply, "go to kitchen", VALID) == kind
    assert Reward().of(kind) == earned  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "named", "counted"),
    [
        ("Action 1", "go to kitchen", "expert"),
        ("action 2.", "go to hallway", "valid"),
        ("Action 1: go to kitchen", "go to kitchen", "expert"),
        ("ACTION 2 : Go to hallway.", "go to hallway", "valid"),
        ("Action 1: go to hallway", "", "numbered"),
        ("Action 3", None, "other"),
        ("go to kitchen", None, "expert"),
        ("look around", None, "valid"),
    ],
)
def test_answers_by_number_are_counted_apart(answer: str, named: str | None, counted: str) -> None:
    task = Task(id="lamp", benchmark="ALFWorld", split="train", task_type="lamp")
    step = ExpertStep(
        id="lamp#0",
        task=task,
        turn=0,
        goal="find the lamp",
        history=(),
        observation="A hall.",
        expert_action="go to kitchen",
        admissible_commands=("look around",),
    )
    pair = ActionPair(step=step, alternative="go to hallway", proposer="hand", expert_first=True)
    reply = f"<action>{answer}</action>"
    (neither,), (action,) = judging_questions([pair]), judging_questions([pair], numbered="action")
    assert neither.by_number(reply) == named
    assert action.kind(reply) == counted
    assert neither.kind(reply) == (counted if named is None else "numbered")
    assert Reward().of("numbered") == 0.0
    (swapped,) = judging_questions([replace(pair, expert_first=False)], numbered="action")
    assert swapped.kind("<action>Action 1</action>") == "valid"
    (acting,) = acting_questions([step])
    assert acting.kind("<action>Action 1</action>") == "other"


def test_the_expert_action_counts_as_the_experts_even_if_it_is_listed_as_valid() -> None:
    assert judge("<action>look around</action>", "look around", VALID) == "expert"


def test_each_term_can_be_switched_off() -> None:
    only_right = Reward(valid=0.0, malformed=0.0)
    assert [only_right.of(kind) for kind in KINDS] == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_a_reward_that_does_not_favour_the_expert_is_refused() -> None:
    with pytest.raises(UsageError, match="must earn more"):
        Reward(expert=0.1, valid=0.1)


@given(st.text(), st.text(min_size=1), st.lists(st.text(), max_size=4))
def test_every_reply_is_of_exactly_one_kind_and_the_reasoning_does_not_matter(
    reply: str, expert: str, others: list[str]
) -> None:
    valid = normalised(others)
    kind = judge(reply, expert, valid)
    assert kind in KINDS
    if "<think>" not in reply and "</think>" not in reply:
        assert judge(f"<think>I wonder</think>{reply}", expert, valid) == kind


@given(st.from_regex(r"[A-Za-z][A-Za-z ]{0,20}[a-z]", fullmatch=True))
def test_naming_the_expert_action_in_the_format_is_always_right(action: str) -> None:
    assert judge(format_reply(action), action, frozenset()) == "expert"
    assert judge(format_reply(action), "something else entirely", {normalise(action)}) == "valid"
