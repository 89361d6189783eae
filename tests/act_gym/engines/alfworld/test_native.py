"""The native engine beside upstream's, on a small game that has one of everything."""

import json
import random

import pytest

from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.native import NativeEngine
from act_gym.engines.alfworld.textworld import TextWorldEngine
from act_gym.errors import CorruptDataError, EngineError, UnsupportedGameError
from act_gym.types import Task


def task_of(game, folder, name="game"):
    path = folder / "train" / name / "trial" / GAME_FILE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(game))
    return Task(id=name, benchmark="ALFWorld", split="train", task_type="x", payload={"game": f"train/{name}/trial"})


@pytest.fixture
def play(tmp_path):
    """Loads a game file's content into a native engine and returns both."""

    def load(game, name="game"):
        engine = NativeEngine(data=str(tmp_path))
        return engine, engine.reset(task_of(game, tmp_path, name))

    return load


def upstream_facts(engine):
    env = engine._env
    while not hasattr(env, "_pddl_state"):
        env = env._wrapped_env
    names = env._entity_infos
    return frozenset(
        (fact.name, *(names[part.name].name for part in fact.arguments))
        for fact in env._pddl_state.facts
        if not fact.name.startswith("new-axiom@")  # what the planner makes of the goal, and no fact of the game
    )


def test_a_game_with_one_of_everything_is_played_as_upstream_plays_it(small_game, tmp_path):
    pytest.importorskip("textworld")
    task = task_of(small_game, tmp_path)
    native, upstream = NativeEngine(data=str(tmp_path)), TextWorldEngine(data=str(tmp_path))
    rng = random.Random(0)
    said, wins = set(), 0
    for _ in range(8):
        assert native.reset(task) == upstream.reset(task)
        assert native.goal == upstream.goal == "warm a glass and light the lamp."
        for _ in range(40):
            assert native.admissible_commands() == upstream.admissible_commands()
            assert native.facts() == upstream_facts(upstream)
            command = rng.choice([*native.admissible_commands(), "sing", "Look", " look "])
            state = native.step(command)
            assert state == upstream.step(command), command
            said.add(state.observation.split()[0])
            wins += state.success
    upstream.close()
    assert wins, "no walk won, so the goal was not compared"
    assert {"Click.", "You", "It", "Before", "Nothing", "Doors"} <= said


def test_the_first_state_and_the_wording_are_the_files_own(play, small_game):
    engine, state = play(small_game)
    assert state.observation.startswith("A parlour.\n\nAll around: the closed cupboard 2, the open cupboard 1,")
    assert state.observation.endswith("Your task is to: warm a glass and light the lamp.")
    assert "go to cupboard 2" in engine.admissible_commands()
    engine.step("go to cupboard 1")
    assert engine.step("take glass 1 from cupboard 1").observation == "You take glass 1 from cupboard 1."
    assert "put glass 1 in/on cupboard 1" in engine.admissible_commands()
    assert "go to cupboard 1" not in engine.admissible_commands()  # it stands where the agent stands


def test_a_snapshot_is_gone_back_to_as_often_as_one_likes(play, small_game):
    engine, _ = play(small_game)
    engine.step("go to cupboard 1")
    saved = engine.snapshot()
    commands = engine.admissible_commands()
    for command in ("take glass 1 from cupboard 1", "sweep", "close cupboard 1"):
        engine.step(command)
        assert engine.admissible_commands() != commands
        engine.restore(saved)
        assert engine.admissible_commands() == commands
    assert engine.step("sweep").action_valid


@pytest.mark.parametrize(
    ("part", "old", "new", "named"),
    [
        ("pddl_domain", "(:constants", "(:derived (x) (y)) (:constants", ":derived"),
        ("pddl_domain", "(when (lit ?t)", "(when (> (distance ?t ?t) 3)", "'>'"),
        ("pddl_domain", "(?a - agent ?from", "(?a - (either agent thing) ?from", "either"),
        ("pddl_domain", ":effect (open ?c))", ":duration 3 :effect (open ?c))", ":duration"),
        ("grammar", "{c.name or c.id}", "{__import__('os').system('true')}", "__import__"),
        ("grammar", "{c.name or c.id}", "{c.name.__class__}", "__class__"),
        ("grammar", '"rhs": "Nothing was taken."', '"rhs": "#gaps#"', "refers to itself"),
        ("grammar", "in(t:thing, c:container)}].", "in(t:ghost, c:container)}].", "ghost"),
        ("pddl_problem", "(cold Glass_bar_1)", "(standsAt Glass_bar_1 loc_bar_1)", "standsat"),
    ],
)
def test_what_is_not_played_is_named_and_the_other_engine_offered(play, small_game, part, old, new, named):
    assert old in small_game[part]
    with pytest.raises(UnsupportedGameError, match='engine="textworld"') as caught:
        play(small_game | {part: small_game[part].replace(old, new)})
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("part", "old", "new", "said"),
    [
        ("pddl_domain", "(define", "define", "domain"),
        ("pddl_domain", "(seen ?x - object)", "(seen ?x - object", "parentheses"),
        ("pddl_domain", "(:predicates", "(:functions", "predicates"),
        ("pddl_problem", "(:domain parlour)", "(:domain kitchen)", "kitchen"),
        ("pddl_problem", "(at agent1 loc_bar_0)", "(at agent1)", "2 arguments"),
        ("pddl_problem", "(at agent1 loc_bar_0)", "(at agent1 nowhere)", "nowhere"),
        ("pddl_problem", "agent1 - agent", "agent1 agent1 - agent", "twice"),
        ("pddl_problem", "tea", "té", "ASCII"),
        ("grammar", '"intro": [', '"intro": ', "grammar"),
    ],
)
def test_a_damaged_game_says_what_is_wrong(play, small_game, part, old, new, said):
    with pytest.raises(CorruptDataError, match=said):
        play(small_game | {part: small_game[part].replace(old, new, 1)})


def test_a_rule_that_is_missing_is_an_error_only_where_it_is_needed(play, small_game):
    engine, _ = play(small_game | {"grammar": small_game["grammar"].replace('"hands"', '"arms"')})
    assert engine.step("look").action_valid
    with pytest.raises(EngineError, match="#hands#"):
        engine.step("inventory")


def test_two_actions_that_read_the_same_are_refused_and_not_guessed(play, small_game):
    same = small_game["grammar"].replace('template :: "warm {t}"', 'template :: "examine {t}"')
    engine, _ = play(small_game | {"grammar": same})
    engine.step("go to table 1")
    engine.step("take lamp 1 from table 1")
    with pytest.raises(UnsupportedGameError, match="two different actions called 'examine lamp 1'"):
        engine.admissible_commands()


def test_games_that_would_take_for_ever_are_refused(play, small_game):
    rings = " ".join(
        f"(standsAt {c} loc_bar_{p})" for c in ("Cupboard_bar_1", "Table_bar__plus_01_dot_5") for p in (0, 1, 2)
    )
    problem = small_game["pddl_problem"].replace("(closable Cupboard_bar_1)", f"{rings} (closable Cupboard_bar_1)", 1)
    variables = " ".join(f"?t{i}" for i in range(12))
    domain = small_game["pddl_domain"].replace(
        "(:action look",
        f"(:action juggle :parameters ({variables} - thing) :precondition () :effect (seen ?t0)) (:action look",
    )
    grammar = small_game["grammar"] + '\naction juggle { template :: "juggle"; feedback :: "Hop."; }\n'
    with pytest.raises(UnsupportedGameError, match="combinations of objects"):
        play({"pddl_domain": domain, "grammar": grammar, "pddl_problem": problem})
    deep = "(and " * 100 + "(busy ?a)" + ")" * 100
    with pytest.raises(UnsupportedGameError, match="nested"):
        play(
            small_game
            | {"pddl_domain": small_game["pddl_domain"].replace("(not (busy ?a)) (imply", f"(not {deep}) (imply")},
            "deep",
        )


def test_lists_in_lists_in_lists_are_refused_before_they_are_written(play, small_game):
    levels = ", ".join(
        f'"level{n}": [{{ "rhs": "[{{#level{n + 1}# | standsat(c{n}:container, p{n}:place)}}]" }}]' for n in range(12)
    )
    grammar = small_game["grammar"].replace('"task": [ {', f'{levels}, "level12": [ {{ "rhs": "x" }} ], "task": [ {{')
    grammar = grammar.replace("warm a glass and light the lamp.", "warm a glass. #level0#")
    crowd = " ".join(f"Box_bar_{n}" for n in range(20))
    spots = " ".join(f"(standsAt Box_bar_{n} loc_bar_1)" for n in range(20))
    problem = small_game["pddl_problem"].replace("Cupboard_bar_1 Cup", f"{crowd} Cupboard_bar_1 Cup", 1)
    problem = problem.replace("(cold Glass_bar_1)", spots)
    with pytest.raises(UnsupportedGameError, match="combinations of objects"):
        play(small_game | {"grammar": grammar, "pddl_problem": problem})


def test_stepping_without_a_game_is_an_error():
    engine = NativeEngine()
    with pytest.raises(EngineError, match="reset"):
        engine.step("look")
    engine.close()
    engine.close()
