"""Names in an expert's action that nothing has shown so far."""

from __future__ import annotations

from dataclasses import replace

from act_gym.types import ExpertStep, Task, Turn
from trainers.datasheet import hidden_knowledge, hidden_names

TASK = Task(id="scienceworld/boil/0", benchmark="ScienceWorld", split="train", task_type="boil")
STEP = ExpertStep(
    id="scienceworld/boil/0#1",
    task=TASK,
    turn=1,
    goal="Your task is to boil water.",
    history=(Turn(observation="This room is called the kitchen. You see a sink.", action="wait"),),
    observation="The cupboard is now open.",
    expert_action="pick up metal pot",
)


def test_a_name_that_nothing_has_shown_is_hidden() -> None:
    assert hidden_names(STEP) == ("metal", "pot")
    assert hidden_names(replace(STEP, expert_action="pour water into sink")) == ()
    assert hidden_names(replace(STEP, expert_action="go to foundry")) == ("foundry",)


def test_room_and_inventory_show_names_too() -> None:
    seen = replace(STEP, observed={"look": "In the cupboard is: a Metal pot."})
    assert hidden_names(seen) == ()
    assert hidden_names(seen, free_texts=False) == ("metal", "pot")
    before = replace(STEP, history=(replace(STEP.history[0], observed={"inventory": "a metal pot"}),))
    assert hidden_names(before) == ()


def test_shares_are_of_the_states_of_scienceworld() -> None:
    seen = replace(STEP, observed={"look": "a metal pot"})
    other = replace(STEP, task=replace(TASK, benchmark="ALFWorld"))
    known = replace(STEP, expert_action="look around", task=replace(TASK, task_type="melt"))
    found = hidden_knowledge([STEP, seen, other, known, known])
    assert (found["states"], found["share"], found["share_by_observations"]) == (4, 0.25, 0.5)
    assert found["by_type"] == {"boil": [1, 2], "melt": [0, 2]}
    assert hidden_knowledge([other]) == {}
