"""The planner on games of every type, from their start and from where nobody meant to be."""

import json
import re
import sys
from os import environ
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.game import compile_game
from act_gym.engines.alfworld.generate import generate
from act_gym.engines.alfworld.native import NativeEngine
from act_gym.engines.alfworld.planner import is_dead_end, plan
from act_gym.engines.alfworld.store import find_game
from act_gym.errors import DeadEndError
from act_gym.splits.alfworld import TASK_TYPES, tasks
from act_gym.types import Task

GENERATED = tasks("generated-unseen")


def game_of(task, data=Path("nowhere")):
    return find_game(task.payload, data)


def played(game, here, commands):
    for command in commands:
        assert not here.won
        assert command in game.commands(here)
        here = game.after(here, game.bindings(here)[command])
    return here


def wandered(game, seed, steps):
    """Return a state after random commands, or the last one before they would win."""
    generator = np.random.default_rng(seed)
    here = game.start
    for _ in range(steps):
        commands = game.commands(here)
        after = game.after(here, game.bindings(here)[commands[generator.integers(len(commands))]])
        here = here if after.won else after
    return here


def edited(content, facts):
    """Return a game without the facts that a pattern matches."""
    problem, number = re.subn(facts, "", content["pddl_problem"])
    assert number
    return {**content, "pddl_problem": problem}


def loaded(content, folder):
    """Return an engine that plays a game file with this content, and its task."""
    path = folder / "train" / "tea" / "trial" / GAME_FILE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    task = Task(id="tea", benchmark="ALFWorld", split="train", task_type="x", payload={"game": "train/tea/trial"})
    engine = NativeEngine(data=str(folder))
    engine.reset(task)
    return engine, task


def shortest_win(game, here, ignored):
    """Return the length of the shortest way to win, found by trying everything."""

    def key(position):
        return tuple((name, facts) for name, facts in game.fluents(position).items() if name not in ignored)

    seen, layer, length = {key(here)}, [here], 0
    while layer and not any(position.won for position in layer):
        following = []
        for position in layer:
            for binding in game.bindings(position).values():
                after = game.after(position, binding)
                if key(after) not in seen:
                    seen.add(key(after))
                    following.append(after)
        layer, length = following, length + 1
    return length if layer else None


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_a_plan_from_the_start_is_no_longer_than_the_walkthrough(task_type):
    for task in [task for task in GENERATED if task.task_type == task_type][:3]:
        game = game_of(task)
        commands = plan(game, game.start)
        assert played(game, game.start, commands).won
        assert len(commands) <= len(game.walkthrough)


@pytest.mark.parametrize("task_type", TASK_TYPES)
@pytest.mark.parametrize("split", ["seen", "unseen"])
def test_real_games_are_won_from_the_start_and_after_random_commands(alfworld_data, split, task_type):
    for task in [task for task in tasks(split) if task.task_type == task_type][:2]:
        game = game_of(task, alfworld_data)
        commands = plan(game, game.start)
        assert played(game, game.start, commands).won
        assert len(commands) == len(game.walkthrough)
        for seed in range(3):
            here = wandered(game, seed, 20)
            commands = plan(game, here)
            assert is_dead_end(game, here) if commands is None else played(game, here, commands).won


@settings(max_examples=40)
@given(st.sampled_from(GENERATED), st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_from_any_state_a_plan_wins_unless_that_is_proved_impossible(task, seed, steps):
    game = game_of(task)
    here = wandered(game, seed, steps)
    commands = plan(game, here)
    assert is_dead_end(game, here) if commands is None else played(game, here, commands).won


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])  # the game never changes
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(0, 15))
def test_in_a_small_game_no_way_to_win_is_shorter(small_game, seed, steps):
    game = compile_game(small_game)
    here = wandered(game, seed, steps)
    commands = plan(game, here)
    best = shortest_win(game, here, ignored={"seen"})
    assert (None if commands is None else len(commands)) == best
    assert is_dead_end(game, here) == (best is None)


def test_what_is_in_its_place_is_not_taken_away_where_it_is_in_another_one_too(small_game):
    problem = small_game["pddl_problem"].replace(
        "(in Glass_bar_2 Cupboard_bar_2)", "(in Glass_bar_2 Cupboard_bar_2) (in Glass_bar_2 Table_bar__plus_01_dot_5)"
    )
    problem = problem[: problem.index("(:goal")] + (
        "(:goal (exists (?t - thing ?a - agent)"
        " (and (holds ?a ?t) (isKind ?t Glass) (in ?t Table_bar__plus_01_dot_5)))))"
    )
    game = compile_game({**small_game, "pddl_problem": problem})
    here = played(game, game.start, ["go to table 1"])
    commands = plan(game, here)
    assert len(commands) == shortest_win(game, here, ignored={"seen"}) == 2


def test_a_state_that_is_won_needs_no_commands():
    game = game_of(GENERATED[0])
    won = played(game, game.start, game.walkthrough)
    assert plan(game, won) == ()
    assert not is_dead_end(game, won)


def test_a_game_without_the_tool_it_takes_is_a_dead_end():
    index = next(number for number, task in enumerate(GENERATED) if task.task_type.startswith("pick_heat"))
    content = generate("unseen", index)
    whole = compile_game(content)
    assert played(whole, whole.start, plan(whole, whole.start)).won
    without = compile_game(edited(content, r"\(receptacleType [^?]\S+ MicrowaveType\)"))
    assert plan(without, without.start) is None
    assert is_dead_end(without, without.start)


def test_what_fits_nowhere_fills_the_hands_for_ever():
    game = compile_game(edited(generate("unseen", 0), r"\(canContain \S+ \S+\)"))
    went, took = game.walkthrough[:2]
    assert plan(game, played(game, game.start, [went, took]))
    commands = [command for command in game.commands(game.start) if command.startswith("go to")]
    states = [played(game, game.start, [command]) for command in commands]
    kind = " ".join(took.split()[:2])
    for here in states:
        for other in [name for name in game.commands(here) if name.startswith("take ") and not name.startswith(kind)]:
            full = played(game, here, [other])
            assert plan(game, full) is None
            assert is_dead_end(game, full)
            return
    raise AssertionError("There was nothing else to take.")


def test_alternatives_that_are_left_out_prove_nothing(small_game):
    impossible = "(isKind Lamp_bar_1 Glass)"
    goals = {"many": impossible * 80 + "(warm Glass_bar_1)", "few": impossible * 9 + "(warm Glass_bar_1)"}
    problem = small_game["pddl_problem"]
    games = {
        name: compile_game({**small_game, "pddl_problem": f"{problem[: problem.index('(:goal')]}(:goal (or {goal})))"})
        for name, goal in goals.items()
    }
    assert plan(games["many"], games["many"].start) is None
    assert not is_dead_end(games["many"], games["many"].start)
    assert played(games["few"], games["few"].start, plan(games["few"], games["few"].start)).won


def test_a_budget_that_is_too_small_gives_nothing_and_proves_nothing():
    game = game_of(GENERATED[0])
    assert plan(game, game.start, budget=1) is None
    assert not is_dead_end(game, game.start)


def test_the_same_state_gives_the_same_plan_in_every_process():
    code = (
        "from pathlib import Path; from act_gym.engines.alfworld.store import find_game; "
        "from act_gym.engines.alfworld.planner import plan; from act_gym.splits.alfworld import tasks; "
        "games = [find_game(task.payload, Path('nowhere')) for task in tasks('generated-unseen')[:4]]; "
        "print([plan(game, game.start) for game in games])"
    )
    said = [
        run(
            [sys.executable, "-c", code], env={**environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert b"go to" in said[0]


def test_the_engine_keeps_to_a_plan_that_is_followed_and_makes_another_where_it_was_not():
    engine = NativeEngine(data="nowhere")
    engine.reset(next(task for task in GENERATED if task.task_type == "pick_two_obj_and_place"))
    first = engine.plan()
    engine.step(first[0])
    assert engine.plan() == first[1:]
    engine.step("sing")
    assert engine.plan() == first[1:]
    engine.step(next(command for command in engine.admissible_commands() if command.startswith("go to")))
    assert engine.plan() != first[1:]
    assert [engine.step(command).success for command in engine.plan()][-1]
    assert engine.plan() == ()


def test_going_back_and_starting_again_forget_the_plan():
    engine = NativeEngine(data="nowhere")
    engine.reset(GENERATED[0])
    start, first = engine.snapshot(), engine.plan()
    for again in (lambda: engine.restore(start), lambda: engine.reset(GENERATED[0])):
        engine.step(first[0])
        again()
        assert engine.plan() == first


def test_a_file_without_a_walkthrough_has_an_expert_all_the_same(small_game, tmp_path):
    engine, task = loaded(small_game, tmp_path)
    engine.step("look")
    commands = engine.expert_commands()
    engine.reset(task)
    assert [engine.step(command).success for command in commands][-1]


def test_a_dead_end_is_an_error_that_says_so(small_game, tmp_path):
    engine, _ = loaded(edited(small_game, r"\(isKind Glass\S+ Glass\)"), tmp_path)
    for ask in (engine.plan, engine.expert_commands):
        with pytest.raises(DeadEndError, match=r"can no longer be reached .* Start the task again"):
            ask()
