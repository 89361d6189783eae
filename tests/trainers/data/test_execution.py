"""Carrying alternatives out beside the expert's actions, in the real simulators."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from act_gym.benchmarks import benchmark, tasks
from act_gym.errors import EngineError
from act_gym.types import ExpertStep, Transition, Turn
from trainers.data.execution import Attempt, Stop, Walk, execute, grouped, walk


def first_way(env_id: str, attempts: dict[int, tuple[Attempt, ...]], task_type: str = "") -> Walk:
    """The expert's way through a task, with something to try at some of its states."""
    task = next(task for task in tasks(env_id) if task_type in task.task_type)
    engine = benchmark(task.benchmark).make_engine()
    state = engine.reset(task)
    actions, stops = engine.expert_commands(), []
    for turn, action in enumerate(actions):
        if turn in attempts:
            step = ExpertStep(
                id=f"{task.id}#{turn}",
                task=task,
                turn=turn,
                goal=engine.goal,
                history=tuple(Turn(observation="", action=before) for before in actions[:turn]),
                observation=state.observation,
                expert_action=action,
            )
            stops.append(Stop(step, attempts[turn]))
        state = engine.step(action)
    engine.close()
    return Walk(task, actions, tuple(stops))


def played(way: Walk) -> list[Transition]:
    engine = benchmark(way.task.benchmark).make_engine()
    records = list(walk(engine, way))
    engine.close()
    return records


def test_alfworlds_next_state_is_compared_fact_by_fact(alfworld_data: Path) -> None:
    bare = first_way("act/ALFWorld-train", {})
    tried = (Attempt("dance", "m"), Attempt("inventory", "m"), Attempt(bare.actions[1], "random"))
    way = first_way("act/ALFWorld-train", {1: tried, 2: (Attempt("go to bed 1", "random"),)})
    expert, dance, inventory, same, second, bed = played(way)
    assert (expert.is_expert, expert.source, expert.same_as_expert) == (True, "expert", True)
    assert (dance.next_observation, dance.action_valid, dance.same_as_expert) == ("Nothing happens.", False, False)
    assert inventory.action_valid
    assert not inventory.same_as_expert
    # What leads to the expert's state is recognised although nobody said that it is the same action.
    assert (same.is_expert, same.same_as_expert) == (False, True)
    assert same.next_observation == expert.next_observation
    # After the alternatives the expert's way goes on where it was.
    assert second.step.expert_action == way.actions[2]
    assert second.action_valid
    assert not bed.same_as_expert


def test_what_is_shown_must_be_what_the_decision_was_made_of(alfworld_data: Path) -> None:
    way = first_way("act/ALFWorld-train", {2: (Attempt("look", "m"),)})
    other = Walk(way.task, ("inventory", *way.actions[1:]), way.stops)
    assert len(played(way)) == 2
    with pytest.raises(EngineError, match="--env-options"):
        played(other)
    ((_, records, error),) = execute([other], env_options={})
    assert records == []
    assert "was made of" in error


def test_several_processes_find_what_one_finds_and_in_the_same_order(alfworld_data: Path) -> None:
    ways = [
        first_way("act/ALFWorld-train", {0: (Attempt("look", "m"),), 3: (Attempt("inventory", "m"),)}, kind)
        for kind in ("clean", "heat", "cool")
    ]
    alone = list(execute(ways, env_options={}))
    together = list(execute(ways, env_options={}, workers=2))
    assert [records for _, records, _ in alone] == [records for _, records, _ in together]
    assert [len(records) for _, records, _ in alone] == [4, 4, 4]


@pytest.mark.slow
def test_scienceworld_goes_back_by_the_way_to_the_state() -> None:
    tried = (Attempt("look around", "m"), Attempt("blah", "m"), Attempt("inventory", "random"))
    way = first_way("act/ScienceWorld-train-seen", {0: tried, 2: tried}, "find-plant")
    records = played(way)
    assert [record.is_expert for record in records] == [True, False, False, False] * 2
    assert [record.action_valid for record in records] == [True, True, False, True] * 2
    assert len({record.next_observation for record in records[:4]}) == 4
    assert [record.same_as_expert for record in records[:4]] == [True, False, False, False]
    # There the expert only looks around, and whatever changes nothing leads to the same state.
    assert records[4].action == way.actions[2] == "look around"
    assert records[5].next_observation == records[4].next_observation
    assert all(record.same_as_expert for record in records[4:])


def test_webshops_next_state_is_the_page_with_what_was_chosen() -> None:
    way = first_way("act/WebShop-generated-train", {0: (Attempt("click[buy now]", "m"), Attempt("search[zzz]", "m"))})
    records = played(way)
    assert [record.same_as_expert for record in records] == [True, False, False]
    assert [record.action_valid for record in records] == [True, False, True]


def test_a_label_that_was_not_played_is_tried_and_the_played_way_goes_on(alfworld_data: Path) -> None:
    way = first_way("act/ALFWorld-train", {0: (), 1: (), 2: ()})
    steps = [stop.step for stop in way.stops]
    detour = (Turn(observation=steps[0].observation, action="inventory"),)
    later = [replace(step, turn=step.turn + 1, history=(*detour, *step.history)) for step in steps]
    (walked,) = grouped(Stop(step, ()) for step in (steps[0], *later[:1]))
    assert walked.actions == ("inventory",)
    engine = benchmark("ALFWorld").make_engine()
    engine.reset(way.task)
    shown = engine.step("inventory").observation
    first, second = walk(
        engine, replace(walked, stops=(walked.stops[0], Stop(replace(later[0], observation=shown), ())))
    )
    engine.close()
    assert first.action == second.action == way.actions[0]
    assert first.next_observation == second.next_observation


def test_states_of_two_episodes_of_a_task_are_walked_apart(alfworld_data: Path) -> None:
    way = first_way("act/ALFWorld-train", {0: (), 1: (), 2: ()})
    first, second, third = (stop.step for stop in way.stops)
    other = replace(third, history=(*third.history[:1], Turn(observation="", action="look")))
    found = grouped(Stop(step, ()) for step in (first, second, third, first, second, other))
    assert [[stop.step for stop in one.stops] for one in found] == [[first, second, third], [first, second, other]]
