"""The older commands, on both engines, beside the game as it says them itself."""

import json

import gymnasium as gym
import pytest

import act_gym
from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.errors import UsageError

ENGINES = ("native", "textworld")


@pytest.fixture(scope="module")
def games(alfworld_data, tmp_path_factory):
    """A small game as it is, `new`, and the same game with the older grammar in its own file, `old`."""
    bathrooms = (task for task in act_gym.tasks("act/ALFWorld-seen") if "-401/" in task.id)
    task = next(task for task in bathrooms if task.task_type == "pick_and_place_simple")
    text = (alfworld_data / task.payload["game"] / GAME_FILE).read_text()
    folder = tmp_path_factory.mktemp("games")
    (folder / "new.tw-pddl").write_text(text)
    game = json.loads(text)
    for new, old in (
        ("move {o} to {r}", "put {o} in/on {r}"),
        ("You move the {o.name} to the {r.name}.", "You put the {o.name} in/on the {r.name}."),
        ("move (object) to (receptacle):", "put (object) in/on (receptacle):"),
    ):
        assert new in game["grammar"]
        game["grammar"] = game["grammar"].replace(new, old)
    (folder / "old.tw-pddl").write_text(json.dumps(game))
    return folder


def make(games, engine, **options):
    return gym.make("act/ALFWorld", games=str(games), engine=engine, **options)


def played(env, task_id, commands):
    """What an episode shows, turn by turn, without the name of its task."""
    observation, info = env.reset(options={"task_id": task_id})
    shown = [(observation, info)]
    for command in commands:
        observation, *_, info = env.step(command)
        shown.append((observation, info))
    return [(observation, {**info, "task_id": ""}) for observation, info in shown]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_game_in_older_words_is_byte_for_byte_the_game_whose_file_says_them(games, engine):
    legacy, plain = make(games, engine, legacy_commands=True), make(games, engine)
    legacy.reset(options={"task_id": "alfworld/new"})
    solution = legacy.unwrapped.expert_commands()
    put = solution[-1]
    assert put.startswith("put ")
    assert " in/on " in put
    odd = ("help", "", put, "put", "move", "  inventory ", "Put x in/on y")
    commands = (*odd, *solution[:-1], "help", "look", f" {put}\n")
    shown = played(legacy, "alfworld/new", commands)
    assert shown == played(plain, "alfworld/old", commands)
    assert shown[-1][1]["success"]
    assert "put (object) in/on (receptacle):" in shown[1][0]
    assert "You put the" in shown[-1][0]
    assert any(put in info["admissible_commands"] for _, info in shown)
    legacy.close()
    plain.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_game_that_says_put_itself_is_left_alone(games, engine):
    legacy, plain = make(games, engine, legacy_commands=True), make(games, engine)
    plain.reset(options={"task_id": "alfworld/new"})
    commands = [
        command.replace("move ", "put ").replace(" to ", " in/on ") if command.startswith("move") else command
        for command in plain.unwrapped.expert_commands()
    ]
    assert played(legacy, "alfworld/old", ["help", *commands]) == played(plain, "alfworld/old", ["help", *commands])
    legacy.close()
    plain.close()


def test_the_newer_wording_is_as_unknown_as_it_was(games):
    env = make(games, "native", legacy_commands=True)
    env.reset(options={"task_id": "alfworld/new"})
    *way, put = env.unwrapped.expert_commands()
    for command in way:
        env.step(command)
    assert put in env.step("look")[4]["admissible_commands"]
    observation, *_, info = env.step(put.replace("put ", "move ").replace(" in/on ", " to "))
    assert (observation, info["action_valid"]) == ("Nothing happens.", False)
    assert env.step(put)[2]
    env.close()


def test_a_record_says_that_the_words_are_the_older_ones(games):
    env = make(games, "native", legacy_commands=True)
    assert env.unwrapped.engine.versions["legacy_commands"] == "true"
    env.close()


def test_going_back_works_in_older_words_where_the_engine_can(games):
    env = make(games, "native", legacy_commands=True)
    env.reset(options={"task_id": "alfworld/new"})
    *way, put = env.unwrapped.expert_commands()
    for command in way:
        observation, *_, info = env.step(command)
    moment = env.unwrapped.snapshot()
    assert env.step(put)[4]["success"]
    assert env.unwrapped.restore(moment) == (observation, info)
    assert put in info["admissible_commands"]
    assert env.step(put)[4]["success"]
    env.close()
    other = make(games, "textworld", legacy_commands=True)
    other.reset(seed=0)
    with pytest.raises(UsageError, match="TextWorldEngine cannot go back"):
        other.unwrapped.snapshot()
    other.close()
