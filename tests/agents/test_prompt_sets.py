"""Prompt sets: the one that is shipped, a user's own, and what is refused."""

from __future__ import annotations

import json
import shutil
import warnings
from importlib.resources import files
from pathlib import Path

import pytest

from act_gym.agent import AgentInput
from act_gym.errors import UnknownNameError, UsageError
from act_gym.types import Task, Turn
from agents.prompt_config import CONVERSATION, TRAINED_WITH, Question, warn_if_other
from agents.prompt_sets import find_prompts
from agents.reply_formats import FORMATS


@pytest.fixture
def own(tmp_path: Path) -> Path:
    shutil.copytree(str(files("agents") / "prompt_sets" / "default"), tmp_path / "mine")
    return tmp_path / "mine"


@pytest.mark.parametrize("name", ["ALFWorld", "ScienceWorld", "WebShop", "Cellar"])
@pytest.mark.parametrize("reply", FORMATS)
@pytest.mark.parametrize("reasoning", [False, True])
def test_an_opening_holds_everything(name: str, reply: str, reasoning: bool) -> None:
    text = find_prompts("default").opening(name, "dig here", "A $cellar ${x}.", reply, reasoning=reasoning)
    assert "dig here" in text
    assert "A $cellar ${x}." in text
    assert "command" in text
    assert text == text.strip()


def test_a_folder_of_ones_own_is_a_set(own: Path) -> None:
    (own / "alfworld.txt").write_text("Tidy up.")
    opening = find_prompts(str(own)).opening("ALFWorld", "g", "o", "tags")
    assert opening.startswith("Tidy up.")
    assert find_prompts(str(own)).digest != find_prompts("default").digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$environment $goal $reply", r"lacks \$observation"),
        ("$environment $goal $observation $reply $history", r"unknown place \$history"),
        ("$environment $goal $observation $reply costs $5", "not a template"),
    ],
)
def test_a_template_without_its_places_is_refused(own: Path, text: str, message: str) -> None:
    (own / "act.txt").write_text(text)
    with pytest.raises(UsageError, match=message):
        find_prompts(str(own))


def test_judging_has_a_template_with_both_actions(own: Path) -> None:
    plain, reasoned = (find_prompts("default").judge("go $1", "look", reasoning=on) for on in (False, True))
    assert plain.startswith("Action 1: go $1\nAction 2: look\n")
    assert ("<think>" in plain, "<think>" in reasoned) == (False, True)
    (own / "judge_reasoning.txt").unlink()
    assert find_prompts(str(own)).judge("a", "b", reasoning=True) == find_prompts(str(own)).judge("a", "b")


def test_a_judging_template_without_its_places_is_refused(own: Path) -> None:
    (own / "judge.txt").write_text("$first or not?")
    with pytest.raises(UsageError, match=r"judge\.txt of the prompt set .* lacks \$second"):
        find_prompts(str(own))


def test_a_set_without_judging_still_acts(tmp_path: Path, own: Path) -> None:
    for name in ("judge", "judge_reasoning"):
        (own / f"{name}.txt").unlink()
    assert find_prompts(str(own)).opening("ALFWorld", "g", "o", "tags")
    with pytest.raises(UsageError, match=r"no file judge\.txt"):
        find_prompts(str(own)).judge("a", "b")


def test_a_set_without_a_file_is_refused(own: Path) -> None:
    (own / "other.txt").unlink()
    with pytest.raises(UsageError, match=r"no file other\.txt"):
        find_prompts(str(own))


def test_an_unknown_set_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="default"):
        find_prompts("defualt")


HALL, KITCHEN = "This room is the hall.", "This room is the kitchen. You see:\n\ta sink"
OPENED = "This room is the kitchen. You see:\n\tan oven"
EMPTY, FORK = ("In your inventory, you see:\n\tnothing", "In your inventory, you see:\n\ta fork")


def house(name: str = "ScienceWorld") -> AgentInput:
    """Four states of a house: the room is new at the second, what is carried at the third, and an oven at the last."""
    shown = ((HALL, HALL, EMPTY), ("You move.", KITCHEN, EMPTY), ("You take it.", KITCHEN, FORK))
    history = tuple(
        Turn(observation=seen, action="wait", observed={"look": look, "inventory": carried})
        for seen, look, carried in shown
    )
    task = Task(id="x/y/0", benchmark=name, split="train", task_type="y")
    observed = {"look": f"{KITCHEN}\n\tan oven", "inventory": FORK}
    return AgentInput(task=task, goal="g", observation="Time passes.", history=history, observed=observed)


def test_a_conversation_shows_room_and_inventory_on_change() -> None:
    opening, *others = (m["content"] for m in CONVERSATION.conversation(house()) if m["role"] == "user")
    assert opening.count(HALL) == 1, "the observation shows the room already"
    assert EMPTY in opening
    assert others == [f"You move.\n\n{KITCHEN}", f"You take it.\n\n{FORK}", f"Time passes.\n\n{OPENED}"]


def test_a_window_shows_the_present_room_and_inventory() -> None:
    (message,) = Question(history="window").messages(house())
    assert f"Observation:\nTime passes.\n\n{KITCHEN}\n\tan oven\n\n{FORK}\n\n" in message["content"]
    assert EMPTY not in message["content"]


def test_texts_without_a_template_are_not_shown(own: Path) -> None:
    (own / "scienceworld_look.txt").unlink()
    (own / "scienceworld_inventory.txt").write_text("You carry $text")
    text = str(Question(history="conversation", prompts=str(own)).conversation(house()))
    assert "sink" not in text
    assert "You carry In your inventory" in text
    assert "fork" not in str(CONVERSATION.conversation(house("ALFWorld")))
    broken = own.rename(own.parent / "broken")
    (broken / "scienceworld_look.txt").write_text("$room")
    with pytest.raises(UsageError, match=r"scienceworld_look.txt .* lacks \$text"):
        find_prompts(str(broken))


def test_each_question_has_a_digest_of_its_own(own: Path) -> None:
    before = find_prompts("default")
    (own / "judge.txt").write_text("Action 1: $first\nAction 2: $second\nWhich?")
    after = find_prompts(str(own))
    assert (after.digest == before.digest, after.judge_digest == before.judge_digest) == (True, False)
    changed = own.rename(own.parent / "changed")
    (changed / "other.txt").write_text("A game.")
    assert find_prompts(str(changed)).digest != before.digest
    assert find_prompts(str(changed)).judge_digest == after.judge_digest


@pytest.mark.parametrize(("question", "judging"), [("prompts_sha256", False), ("judge_prompts_sha256", True)])
def test_other_texts_than_in_training_are_named(tmp_path: Path, question: str, judging: bool) -> None:
    (tmp_path / TRAINED_WITH).write_text(json.dumps({**CONVERSATION.facts(), question: "0" * 64}))
    with pytest.warns(UserWarning, match=f"trained with other prompts.* differ in {question}"):
        warn_if_other(str(tmp_path), CONVERSATION, judging=judging)


def test_a_changed_judging_text_is_no_matter_to_acting(tmp_path: Path) -> None:
    (tmp_path / TRAINED_WITH).write_text(json.dumps({**CONVERSATION.facts(), "judge_prompts_sha256": "0" * 64}))
    with warnings.catch_warnings(record=True) as caught:
        warn_if_other(str(tmp_path), CONVERSATION)
    assert caught == []
