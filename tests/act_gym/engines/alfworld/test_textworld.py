import json
import sys
from pathlib import Path

import gymnasium as gym
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.textworld import TextWorldEngine
from act_gym.errors import CorruptDataError, EngineError, MissingDataError
from act_gym.splits.alfworld import TASK_TYPES, tasks
from act_gym.types import Task


def available(data, split="seen"):
    return [task for task in tasks(split) if (data / task.payload["game"] / GAME_FILE).is_file()]


@pytest.fixture(scope="module")
def engine(alfworld_data):
    made = TextWorldEngine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def task(alfworld_data):
    return available(alfworld_data)[0]


@pytest.fixture(scope="module")
def running(engine, task):
    """One game for the tests that leave it where it is."""
    engine.reset(task)
    return engine


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_the_walkthrough_of_every_type_wins_and_is_admissible_throughout(engine, alfworld_data, task_type):
    # The shortest one of the type keeps this quick.
    games = [task for task in available(alfworld_data) if task.task_type == task_type]
    game = min(games, key=lambda task: (alfworld_data / task.payload["game"] / GAME_FILE).stat().st_size)
    state = engine.reset(game)
    assert state.observation.startswith("-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room.")
    assert state.observation.endswith(f"Your task is to: {engine.goal}")
    assert (state.score, state.raw_score, state.success, state.terminated) == (0.0, 0.0, False, False)
    commands = engine.expert_commands()
    for command in commands:
        assert not state.terminated
        assert command in engine.admissible_commands()
        state = engine.step(command)
        assert state.action_valid
        assert state.observation != "Nothing happens."
    assert (state.score, state.raw_score, state.success, state.terminated) == (1.0, 1.0, True, True)
    assert engine.expert_commands() == commands


def test_the_same_task_twice_gives_the_same_bytes_and_leaves_the_process_alone(engine, task):
    def open_files():
        return len(list(Path("/dev/fd").iterdir()))

    argv, out, files = list(sys.argv), sys.stdout, open_files()

    def trace():
        states = [engine.reset(task)]
        commands = [engine.admissible_commands()]
        for command in ("look", "inventory", "help", commands[0][0]):
            states.append(engine.step(command))
            commands.append(engine.admissible_commands())
        return states, commands

    assert trace() == trace()
    assert (sys.argv, sys.stdout, open_files()) == (argv, out, files)


def test_a_second_engine_takes_over_the_library_of_a_closed_one(alfworld_data, task):
    if sys.platform != "linux":
        pytest.skip("counts the libraries in /proc")

    def libraries():
        lines = Path("/proc/self/maps").read_text().splitlines()
        return len({line.split()[-2] for line in lines if "libdownward" in line})

    first = TextWorldEngine()
    first.reset(task)
    first.close()
    first.close()
    before = libraries()
    second = TextWorldEngine()
    second.reset(task)
    assert libraries() == before
    second.close()


def test_what_is_not_admissible_is_exactly_what_upstream_answers_to_it(running):
    # Upstream is asked directly here; the engine answers without it.
    for command in ("", "bogus", "Look", "go  to desk 1", "look\nlook"):
        shown, _, done = running._env.step(command)
        mine = running.step(command)
        assert (shown.feedback, done) == (mine.observation, mine.terminated)
        assert not mine.action_valid
        assert tuple(shown["admissible_commands"]) == running.admissible_commands()


@settings(max_examples=100)
@given(st.text() | st.sampled_from(["{o.name}", "#intro#", "%s", "(:goal (won))", "\ud800", "x" * 1_000_000, "\0"]))
def test_any_string_is_a_harmless_action(running, text):
    before = running.admissible_commands()
    if text.strip() not in before:
        state = running.step(text)
        assert (state.observation, state.action_valid, state.terminated) == ("Nothing happens.", False, False)
    assert running.admissible_commands() == before


def test_commands_are_sorted_unique_and_white_space_around_them_is_ignored(running):
    commands = running.admissible_commands()
    assert list(commands) == sorted(set(commands))
    assert {"look", "inventory", "help"} <= set(commands)
    assert running.step("  inventory\n") == running.step("inventory")
    assert set(running.versions) == {"alfworld", "textworld", "fast-downward-textworld"}


def test_missing_games_name_the_place_and_the_command(tmp_path, task):
    engine = TextWorldEngine(data=str(tmp_path / "nowhere"))
    with pytest.raises(MissingDataError, match="act-gym download alfworld") as caught:
        engine.reset(task)
    assert str(tmp_path / "nowhere") in str(caught.value)
    partial = TextWorldEngine(data=str(tmp_path))
    with pytest.raises(MissingDataError, match=task.payload["game"]):
        partial.reset(task)
    with pytest.raises(EngineError, match="reset"):
        partial.step("look")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("{", "not JSON"), ("[]", "lacks"), ('{"grammar": "", "pddl_domain": 3}', "lacks pddl_domain, pddl_problem")],
)
def test_a_damaged_game_file_is_named_with_its_cure(tmp_path, content, complaint):
    path = tmp_path / "train" / "game" / "trial" / GAME_FILE
    path.parent.mkdir(parents=True)
    path.write_text(content)
    broken = Task(id="x", benchmark="ALFWorld", split="train", task_type="x", payload={"game": "train/game/trial"})
    with pytest.raises(CorruptDataError, match=complaint) as caught:
        TextWorldEngine(data=str(tmp_path)).reset(broken)
    assert str(path) in str(caught.value)
    assert "--force" in str(caught.value)


def test_an_engine_recovers_from_a_game_that_breaks_the_simulator(tmp_path, alfworld_data, task):
    game = json.loads((alfworld_data / task.payload["game"] / GAME_FILE).read_bytes())
    good, bad = tmp_path / "train/good/trial" / GAME_FILE, tmp_path / "train/bad/trial" / GAME_FILE
    del game["walkthrough"]
    for path, problem in ((good, game["pddl_problem"]), (bad, game["pddl_problem"][:2000])):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(game | {"pddl_problem": problem}))

    def named(name):
        return Task(
            id=name, benchmark="ALFWorld", split="train", task_type="x", payload={"game": f"train/{name}/trial"}
        )

    engine = TextWorldEngine(data=str(tmp_path))
    with pytest.raises(EngineError, match="train/bad/trial"):
        engine.reset(named("bad"))
    assert engine.reset(named("good")).observation
    with pytest.raises(EngineError, match="no walkthrough"):
        engine.expert_commands()
    engine.close()


@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
def test_vector_environments_show_what_single_ones_show(alfworld_data, vector):
    def make():
        return gym.make("act/ALFWorld-seen", engine="textworld", data=str(alfworld_data))

    made = vector([make, make])
    try:
        first, info = made.reset(seed=[7, 7])
        assert first[0] == first[1]
        assert info["task_id"][0] == info["task_id"][1]
        second, rewards, *_ = made.step(["inventory", "{bogus}"])
        assert list(second) == ["You are not carrying anything.", "Nothing happens."]
        assert list(rewards) == [0, 0]
    finally:
        made.close()
