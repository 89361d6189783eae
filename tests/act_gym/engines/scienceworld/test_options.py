"""Simplifications, free texts, patterns of commands, step limits and scores, on the real simulator."""

import re

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

import act_gym
from act_gym.engines.scienceworld import JvmEngine
from act_gym.engines.scienceworld.engine import SIMPLIFICATIONS
from act_gym.errors import UsageError
from act_gym.rollout import play
from agents.baselines import RandomAgent

TASKS = {task.id.removeprefix("scienceworld/"): task for task in act_gym.tasks("act/ScienceWorld")}
STOVE = TASKS["boil/0"]
BEES = TASKS["find-plant/3"]  # where the player passes the bees outside, who draw where to fly


@pytest.fixture
def make():
    made = []

    def build(**options):
        made.append(JvmEngine(**options))
        return made[-1]

    yield build
    for engine in made:
        engine.close()


def verbs(commands):
    return {command.split()[0] for command in commands}


def test_each_simplification_is_explained_and_is_one_of_the_simulators(make):
    engine = make()
    engine.reset(STOVE)
    java = engine._world._world._interface
    assert set(java.getPossibleSimplifications().split(", ")) == set(SIMPLIFICATIONS) - {"easy"}
    assert all(len(says) > 20 for says in SIMPLIFICATIONS.values())


def test_open_doors_and_open_containers(make):
    plain, doors, containers = (make(simplifications=names) for names in ("", "openDoors", ["openContainers"]))
    shown = [engine.reset(STOVE).observation for engine in (plain, doors, containers)]
    assert ["(that is open)" in text for text in shown] == [False, True, False]
    for engine in (plain, containers):
        engine.step("open door to kitchen")
    kitchens = [(engine.step("go to kitchen"), engine.observe("look"))[1] for engine in (plain, doors, containers)]
    assert ["The cupboard door is open" in text for text in kitchens] == [False, False, True]


def test_no_electrical_action_and_teleport_change_what_can_be_said(make):
    plain, wireless, teleport = (make(simplifications=name) for name in ("", "noElectricalAction", "teleportAction"))
    said = [(engine.reset(STOVE), verbs(engine.admissible_commands()))[1] for engine in (plain, wireless, teleport)]
    assert ["connect" in known for known in said] == [True, False, True]
    assert ["teleport" in known for known in said] == [False, False, True]
    assert teleport.step("teleport to kitchen").observation == "You teleport to the kitchen."


def test_self_watering_keeps_the_soil_wet(make):
    dry, wet = (make(simplifications=names) for names in ("teleportAction", "selfWateringFlowerPots,teleportAction"))
    shown = []
    for engine in (dry, wet):
        engine.reset(TASKS["grow-plant/0"])
        engine.step("teleport to greenhouse")
        engine.step("wait")
        shown.append(engine.step("look around").observation)
    assert ["water" in re.findall(r"flower pot[^\n]*", text)[0] for text in shown] == [False, True]


def test_easy_is_the_simulators_choice_and_depends_on_the_task(make):
    engine = make(simplifications="easy")
    engine.reset(STOVE)
    java = engine._world._world._interface
    assert java.getSimplificationsUsed() == "noElectricalAction, openDoors, selfWateringFlowerPots, teleportAction"
    engine.reset(TASKS["power-component/0"])
    assert java.getSimplificationsUsed() == "openDoors, selfWateringFlowerPots, teleportAction"


@pytest.mark.parametrize("name", ["power-component/0", "test-conductivity/0"])
def test_tasks_that_need_wires_are_refused_without(make, name):
    engine = make(simplifications="noElectricalAction")
    with pytest.raises(UsageError, match=r"needs wires to be connected; noElectricalAction forbids it\. Try easy"):
        engine.reset(TASKS[name])
    assert engine.reset(STOVE).observation


def test_free_looks_are_what_the_commands_would_show_and_leave_no_trace(make):
    engine = make()
    seen = []
    for looking in (False, True):
        states = [engine.reset(BEES)]
        for command in ("open door to greenhouse", "go to greenhouse", "open door to outside", *("wait1",) * 12):
            states.append(engine.step(command))
            if looking:
                world = engine._world._world
                before = state_of(world)
                look, inventory = engine.observe("look"), engine.observe("inventory")
                assert state_of(world) == before
        seen.append(states)
    assert seen[0] == seen[1]
    assert look.strip() == engine.step("look around").observation
    assert inventory.split() == engine.step("inventory").observation.split()


def state_of(world):
    """The random generator's state, the object counter and the number of moves, which is left as it was."""
    shared = world.jvm.globals
    with world.jvm.calling("a test"):
        world._enter()
        shared.leave()
        values = world._values
        world._enter()
        return values, world._interface.getNumMoves()


def test_info_shows_free_looks_from_reset_and_step():
    env = gym.make("act/ScienceWorld-test", observe=("look", "inventory"))
    try:
        first, info = env.reset(options={"task_id": "scienceworld/boil/21"})
        assert info["look"].strip() == first
        assert info["inventory"].startswith("In your inventory, you see:")
        *_, after = env.step("open door to kitchen")
        assert list(after) == list(info)
        assert after["look"] != info["look"]
    finally:
        env.close()


def test_patterns_and_objects_make_up_the_commands(make):
    engine = make()
    engine.reset(STOVE)
    patterns, objects, commands = engine.action_templates(), engine.objects(), engine.admissible_commands()
    assert "open OBJ" in patterns
    assert "agent" in objects
    assert len(patterns) + len(objects) < len(commands) / 4
    assert list(patterns) == sorted(set(patterns))
    assert list(objects) == sorted(set(objects))
    shapes = [re.compile(pattern.replace("OBJ", ".+")) for pattern in patterns]
    assert all(any(shape.fullmatch(command) for shape in shapes) for command in commands)
    for name in objects:
        engine.reset(STOVE)
        assert engine.step(f"look at {name}").action_valid, name
    engine.step("open door")
    assert engine.action_templates() == engine.admissible_commands() == tuple("012345")


def test_gymnasiums_own_checker_finds_nothing_with_every_option():
    env = gym.make(
        "act/ScienceWorld-seen",
        observe=("look", "inventory"),
        admissible_commands="templates",
        step_limit="eto",
        max_episode_steps=-1,
    ).unwrapped
    try:
        check_env(env)  # its warnings are errors here
    finally:
        env.close()


def test_a_published_limit_cuts_each_type_of_task_at_its_own_length():
    env = gym.make("act/ScienceWorld-test", step_limit="eto", max_episode_steps=-1, admissible_commands=False)
    try:
        for name, limit in (("lifespan-longest-lived/93", 10), ("find-plant/225", 15)):
            env.reset(options={"task_id": f"scienceworld/{name}"})
            cuts = [env.step("look around")[3] for _ in range(limit)]
            assert cuts == [False] * (limit - 1) + [True]
    finally:
        env.close()


def test_success_is_a_raw_score_of_100_and_neither_more_points_nor_running_out_of_time():
    env = gym.make("act/ScienceWorld-test", admissible_commands=False, max_episode_steps=-1)
    task_id = "scienceworld/chemistry-mix-paint-secondary-color/27"
    try:
        env.reset(options={"task_id": task_id})
        solution = env.unwrapped.expert_commands()
        needed = next(turn for turn, command in enumerate(solution, start=1) if env.step(command)[2])
    finally:
        env.close()
    env = gym.make("act/ScienceWorld-test", admissible_commands=False, max_episode_steps=needed - 1)
    try:
        env.reset(options={"task_id": task_id})
        for command in solution[: needed - 1]:
            *_, terminated, truncated, info = env.step(command)
        assert (terminated, truncated) == (False, True)
        assert 0 < info["raw_score"] < 100
        assert (info["success"], info["score"]) == (False, info["raw_score"] / 100)
        *_, terminated, _, info = env.step(solution[needed - 1])
        assert (terminated, info["success"], info["raw_score"], info["score"]) == (True, True, 100, 1.0)
    finally:
        env.close()


def test_the_time_out_of_a_rollout_with_points_is_no_success():
    idle = act_gym.function_agent("idle", lambda _: "look around")
    tasks = [TASKS["chemistry-mix-paint-secondary-color/27"]]
    (episode,) = act_gym.play("act/ScienceWorld-test", idle, tasks, env_options={"max_episode_steps": 2})
    assert (episode.stop, episode.success, episode.score) == ("truncated", False, 0.2)


def test_a_wrong_focus_ends_with_nothing_and_keeps_its_minus_100():
    env = gym.make("act/ScienceWorld", admissible_commands=False)
    try:
        env.reset(options={"task_id": "scienceworld/chemistry-mix-paint-secondary-color/27"})
        _, reward, terminated, truncated, info = env.step("focus on agent")
        assert (reward, terminated, truncated) == (-0.2, True, False)
        assert (info["raw_score"], info["score"], info["success"]) == (-100, 0.0, False)
    finally:
        env.close()


def test_a_rollout_records_room_and_inventory_and_changes_nothing():
    recorded, plain = (
        next(play("act/ScienceWorld-train", RandomAgent(), [BEES], env_options={"max_episode_steps": 4, **options}))
        for options in ({}, {"observe": ()})
    )
    assert recorded.turns[0].observed["look"].strip() == recorded.turns[0].observation
    assert all(turn.observed["inventory"].startswith("In your inventory") for turn in recorded.turns)
    assert not any(turn.observed for turn in plain.turns)
    assert [turn.observation for turn in recorded.turns] == [turn.observation for turn in plain.turns]
    assert [turn.action for turn in recorded.turns] == [turn.action for turn in plain.turns]
