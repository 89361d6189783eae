from dataclasses import replace

import pytest

from act_gym.engines.alfworld.generate import generate
from act_gym.errors import EngineError, MissingDataError, UsageError
from act_gym.splits.alfworld_generated import tasks
from act_gym.types import Task
from benchmarks.checks.generated import Figures, figures_of, main, tables

TASK = tasks("generated-train")[0]
ONE = Figures(
    task_type="pick_and_place_simple",
    room="kitchen",
    receptacles=10,
    openable=4,
    places=8,
    empty=0.5,
    objects=20,
    objects_within_reach=15,
    turns=4,
    commands=12.0,
)

DOMAIN = """
(define (domain small) (:requirements :adl :typing) (:types agent location receptacle object)
 (:predicates (at ?a - agent ?l - location) (receptacleAtLocation ?r - receptacle ?l - location)
  (inReceptacle ?o - object ?r - receptacle) (pickupable ?o - object) (objectType ?o - object ?t - object))
 (:action go :parameters (?a - agent ?from - location ?to - location ?r - receptacle)
  :precondition (and (at ?a ?from) (receptacleAtLocation ?r ?to))
  :effect (and (not (at ?a ?from)) (at ?a ?to))))
"""
GRAMMAR = 'grammar :: """{"intro": [{"rhs": "Hi."}], "said": [{"rhs": "You go."}]}""";\n'
ACTION = 'action go { template :: "go to {r}"; feedback :: "#said#"; }\n'
PROBLEM = """
(define (problem one) (:domain small)
 (:objects me - agent here there - location Box_bar_1 Box_bar_2 - receptacle Pen_bar_1 Hook_bar_1 kind - object)
 (:init (at me here) (receptacleAtLocation Box_bar_1 there) (receptacleAtLocation Box_bar_2 there)
  (inReceptacle Pen_bar_1 Box_bar_1) (pickupable Pen_bar_1) (objectType Pen_bar_1 kind) (objectType Hook_bar_1 kind))
 (:goal (exists (?a - agent) (at ?a there))))
"""


def game(walkthrough):
    return {
        "pddl_domain": DOMAIN,
        "grammar": GRAMMAR + ACTION,
        "pddl_problem": PROBLEM,
        "walkthrough": walkthrough,
    }


def test_the_figures_of_a_small_game_are_those_counted_by_hand():
    task = Task(id="a/b/c", benchmark="ALFWorld", split="train", task_type="go")
    assert figures_of(game(["go to box 2"]), task, 7) == Figures(
        task_type="go",
        room="kitchen",
        receptacles=2,
        openable=0,
        places=1,
        empty=0.5,
        objects=2,
        objects_within_reach=1,
        turns=1,
        commands=2.0,
    )


@pytest.mark.parametrize(("walkthrough", "said"), [(["go to box 3"], "not admissible"), ([], "does not solve it")])
def test_a_walkthrough_that_does_not_solve_its_game_is_an_error(walkthrough, said):
    with pytest.raises(EngineError, match=said):
        figures_of(game(walkthrough), TASK, 405)


def test_the_tables_hold_real_and_generated_means():
    other = replace(ONE, receptacles=20, turns=6)
    lines = list(tables([ONE, other], [ONE]))
    assert "2 real and 1 generated games" in lines[0]
    assert "| pick_and_place_simple | 100.0 / 100.0 | 5.0 / 4.0 |" in lines
    assert "| | kitchen |" in lines
    assert "| receptacles | 15.0 / 10.0 |" in lines
    assert "| receptacles that are empty, % | 50.0 / 50.0 |" in lines


def test_a_kind_that_one_side_lacks_is_no_number():
    assert any("nan" in line for line in tables([ONE], [replace(ONE, room="bathroom", task_type="other")]))


def test_a_generated_game_has_the_figures_of_its_text():
    content = generate("train", 0)
    found = figures_of(content, TASK, 405)
    problem = content["pddl_problem"].partition("(:goal")[0]
    assert found.receptacles == problem.count("(receptacleType")
    assert found.objects == problem.count("(objectAtLocation")
    assert found.openable == problem.count("(openable ")
    assert found.turns == len(content["walkthrough"])
    assert found.room == "bathroom"


def test_the_program_compares_the_real_games(alfworld_data, capsys):
    assert main(["--games", "12"]) == 0
    assert capsys.readouterr().out.startswith("12 real and 12 generated games")


def test_games_that_are_not_there_and_a_negative_number_are_refused(tmp_path):
    with pytest.raises(MissingDataError, match="act-gym download alfworld"):
        main(["--games", "1", "--data", str(tmp_path)])
    with pytest.raises(UsageError, match="expected 0 for all"):
        main(["--games", "-1"])
