"""The ScienceWorld engine as a player meets it: what it shows, what it accepts, whom it disturbs."""

import json
import os
import subprocess
import sys

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import example, given, settings
from hypothesis import strategies as st

import act_gym
from act_gym.engines.scienceworld import JvmEngine, gold
from act_gym.engines.scienceworld.jvm_globals import state_before
from act_gym.errors import EngineError, MissingDependencyError, UnknownNameError, UsageError

TASKS = {task.id.removeprefix("scienceworld/"): task for task in act_gym.tasks("act/ScienceWorld")}

# Sensitive to who else moves: without shielding, the solution ends with 42 points instead of 100.
SENSITIVE = TASKS["chemistry-mix/24"]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("ACT_GYM_DATA", str(folder))
        patch.setattr(gold, "_kept", {})
        yield folder


@pytest.fixture(scope="module")
def engine():
    made = JvmEngine()
    yield made
    made.close()


@pytest.fixture
def other():
    made = JvmEngine()
    yield made
    made.close()


def played(engine, task, commands):
    return [engine.reset(task), *(engine.step(command) for command in commands)]


def test_a_reset_shows_the_room_and_the_goal(engine):
    state = engine.reset(TASKS["boil/0"])
    assert state.observation.startswith("This room is called the hallway.")
    assert engine.goal.startswith("Your task is to boil water.")
    assert (state.score, state.raw_score, state.success, state.terminated, state.action_valid) == (
        0,
        0,
        False,
        False,
        True,
    )


def test_versions_name_all_that_shapes_an_episode(engine):
    assert engine.versions["scienceworld"] == "1.2.3"
    assert engine.versions["simplifications"] == ""
    assert engine.versions["java"]


@pytest.mark.parametrize(
    "name",
    ["find-living-thing/225", "use-thermometer/405", "chemistry-mix-paint-tertiary-color/27", "power-component/15"],
)
def test_the_solution_scores_100_and_ends_the_episode(engine, name):
    engine.reset(TASKS[name])
    states = [engine.step(command) for command in engine.expert_commands()]
    last = next(state for state in states if state.terminated)
    assert (last.success, last.score, last.raw_score) == (True, 1.0, 100)
    assert not any(state.success for state in states[: states.index(last)])


def test_focusing_on_the_wrong_thing_spoils_the_task(engine):
    engine.reset(TASKS["boil/0"])
    state = engine.step("focus on agent")
    assert (state.raw_score, state.score, state.success, state.terminated) == (-100, 0.0, False, True)


def test_the_next_episode_knows_nothing_of_the_last(engine):
    first = engine.reset(TASKS["boil/0"])
    engine.step("focus on agent")
    assert engine.reset(TASKS["boil/0"]) == first
    assert engine.step("help").raw_score == 0


def test_running_out_of_turns_is_no_success():
    env = gym.make("act/ScienceWorld", max_episode_steps=2)
    try:
        _, info = env.reset(options={"task_id": "scienceworld/chemistry-mix-paint-secondary-color/27"})
        assert info["raw_score"] == 20  # for being where the task begins
        env.step("look around")
        _, reward, terminated, truncated, info = env.step("look around")
        assert (reward, terminated, truncated) == (0, False, True)
        assert (info["success"], info["score"]) == (False, 0.2)
    finally:
        env.close()


@pytest.mark.parametrize(
    "command", ["look around", "inventory", "task", "help", "objects", "wait1", "  LOOK\t Around\n"]
)
def test_a_command_that_is_understood_is_valid(engine, command):
    engine.reset(TASKS["boil/0"])
    state = engine.step(command)
    assert state.action_valid
    assert state.observation


def test_a_command_that_is_understood_and_refused_is_valid_too(engine):
    engine.reset(TASKS["boil/0"])
    state = engine.step("go to kitchen")
    assert state.observation == "The door is not open."
    assert state.action_valid


@pytest.mark.parametrize("command", ["", "dance", "open", "go to the moon", "🜁"])
def test_a_command_that_is_not_understood_is_not_valid(engine, command):
    engine.reset(TASKS["boil/0"])
    state = engine.step(command)
    assert state.observation == "No known action matches that input."
    assert not state.action_valid


def test_an_ambiguous_command_asks_for_a_number(engine):
    engine.reset(TASKS["boil/0"])
    asked = engine.step("open door")
    assert asked.observation.startswith("Ambiguous request: Please enter the number")
    assert not asked.action_valid
    numbers = engine.admissible_commands()
    assert numbers == tuple(sorted(numbers)) == tuple("012345")
    answered = engine.step(" 1 ")
    assert answered.observation == "The door is now open."
    assert answered.action_valid
    assert len(engine.admissible_commands()) > 100


def test_an_ambiguous_command_can_be_dropped(engine):
    engine.reset(TASKS["boil/0"])
    engine.step("open door")
    dropped = engine.step("look around")
    assert dropped.observation.startswith("Unknown action.")
    assert not dropped.action_valid
    assert engine.step("look around").action_valid


@settings(max_examples=40)
@given(command=st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("utf-8", "surrogateescape")))
@example(command="look\x00around\r\n\x1b[2J")
@example(command="\ud800 \\n \\ \u2028 e\ny")
@example(command="focus on " + "the a " * 200_000)
@example(command="x" * (1 << 20))
def test_any_string_is_a_legal_command(engine, command):
    engine.reset(TASKS["boil/0"])
    state = engine.step(command)
    assert state.observation
    assert not state.success
    assert engine.step("look around").observation  # the talk with Java goes on


def test_admissible_commands_are_sorted_unique_and_understood(engine):
    engine.reset(TASKS["boil/0"])
    commands = engine.admissible_commands()
    assert list(commands) == sorted(set(commands))
    assert len(commands) > 300
    for command in commands[:: len(commands) // 10]:
        engine.reset(TASKS["boil/0"])
        assert engine.step(command).action_valid, command


def test_asking_for_commands_gives_the_same_answer_and_changes_nothing(engine):
    engine.reset(SENSITIVE)
    solution = engine.expert_commands()
    alone = played(engine, SENSITIVE, solution)
    asked = [engine.reset(SENSITIVE)]
    for command in solution:
        assert engine.admissible_commands() == engine.admissible_commands()
        asked.append(engine.step(command))
    assert asked == alone


def test_an_episode_is_not_disturbed_by_others_in_the_same_process(engine, other):
    engine.reset(SENSITIVE)
    solution = engine.expert_commands()
    alone = played(engine, SENSITIVE, solution)
    assert alone[-1].raw_score == 100
    disturbed = [engine.reset(SENSITIVE)]
    for turn, command in enumerate(solution):
        if turn % 4 == 0:
            other.reset(TASKS[f"find-plant/{turn}"])
            other.expert_commands()
        other.step("wait1")
        other.admissible_commands()
        disturbed.append(engine.step(command))
    assert disturbed == alone


def test_a_process_of_its_own_shows_the_same(engine):
    apart = JvmEngine(memory="900m")
    try:
        engine.reset(SENSITIVE)
        solution = engine.expert_commands()
        assert played(engine, SENSITIVE, solution) == played(apart, SENSITIVE, solution)
        assert engine.admissible_commands() == apart.admissible_commands()
        assert engine._world.jvm.pid != apart._world.jvm.pid
    finally:
        apart.close()


UPSTREAM = """
import json, sys
from scienceworld import ScienceWorldEnv
env = ScienceWorldEnv("")
shown = []
for name, variation, commands in json.load(sys.stdin):
    env.load(name, variation, "", False)
    observation, info = env.reset()
    shown.append([observation, info["score"], False, env.get_task_description()])
    for command in commands:
        # The simulator's part of env.step, which lists thousands of commands besides.
        observation, score = env.server.step(command), int(round(100 * env.server.getScore()))
        shown.append([observation, score, env.server.getCompleted(), env.get_task_description()])
print(json.dumps(shown))
"""


def test_it_plays_as_the_packages_own_environment(engine, tmp_path):
    asked, ours = [], []
    for name in ("find-animal/225", "use-thermometer/405", "power-component/15"):
        task = TASKS[name]
        engine.reset(task)
        commands = ["dance", "open door", "0", *engine.expert_commands()]
        asked.append([task.payload["task"], task.payload["variation"], commands])
        ours += [[s.observation, s.raw_score, s.terminated, engine.goal] for s in played(engine, task, commands)]
    # The same order of objects as ours; the package itself leaves it to chance.
    options = {"JAVA_TOOL_OPTIONS": "-XX:+UnlockExperimentalVMOptions -XX:hashCode=2"}
    done = subprocess.run(
        [sys.executable, "-c", UPSTREAM],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, **options},
    )
    assert json.loads(done.stdout) == ours


def test_a_solution_is_kept_on_disk(engine, cache, monkeypatch):
    engine.reset(TASKS["find-plant/3"])
    worked_out = engine.expert_commands()
    (path,) = cache.glob("scienceworld/gold/1.2.3/find-plant/3.json")
    assert tuple(json.loads(path.read_text(encoding="utf-8"))) == worked_out
    monkeypatch.setattr(gold, "_kept", {})
    path.write_text('["open door"]', encoding="utf-8")
    assert engine.expert_commands() == ("open door",)
    monkeypatch.setattr(gold, "_kept", {})
    path.write_text('["open d', encoding="utf-8")
    assert engine.expert_commands() == worked_out


def test_simplifications_change_the_world_and_only_their_own(engine, other):
    easy = JvmEngine(simplifications="openDoors, teleportAction")
    try:
        assert easy.versions["simplifications"] == "openDoors,teleportAction"
        assert "(that is open)" in easy.reset(TASKS["boil/0"]).observation
        assert easy.step("teleport to kitchen").observation == "You teleport to the kitchen."
        assert "(that is open)" not in other.reset(TASKS["boil/0"]).observation
        assert not other.step("teleport to kitchen").action_valid
    finally:
        easy.close()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"simplifications": "openDoor"},
            UnknownNameError,
            "Did you mean openDoors",
        ),
        ({"simplifications": "easy,openDoors"}, UsageError, "easy stands alone"),
        ({"memory": "lots"}, UsageError, "memory is a number with k, m or g, e.g. 1g; got 'lots'"),
    ],
)
def test_options_are_checked_at_once(options, error, message):
    with pytest.raises(error, match=message):
        JvmEngine(**options)


@pytest.mark.parametrize("package", ["scienceworld", "py4j"])
def test_a_missing_package_names_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"scienceworld package is not installed.*\[scienceworld\]"):
        JvmEngine()


def test_a_task_the_simulator_does_not_have_is_an_error(engine):
    task = act_gym.Task(
        id="scienceworld/fly/0",
        benchmark="ScienceWorld",
        split="x",
        task_type="fly",
        payload={"task": "fly", "variation": 0},
    )
    with pytest.raises(EngineError, match="cannot load fly/0"):
        engine.reset(task)
    assert engine.reset(TASKS["boil/0"]).observation


def test_nothing_can_be_asked_before_a_reset_or_after_the_end():
    made = JvmEngine()
    for ask in (lambda: made.step("look"), made.admissible_commands, made.expert_commands):
        with pytest.raises(EngineError, match="Reset the environment first"):
            ask()
    made.reset(TASKS["boil/0"])
    made.close()
    made.close()
    with pytest.raises(EngineError, match="Reset the environment first"):
        made.step("look around")


def test_gymnasiums_own_checker_finds_nothing():
    env = gym.make("act/ScienceWorld-seen").unwrapped
    try:
        check_env(env)  # its warnings are errors here
    finally:
        env.close()


@given(state=st.integers(0, (1 << 48) - 1))
def test_the_random_state_is_read_back_from_one_draw(state):
    def draw(before):
        after = (before * 0x5DEECE66D + 0xB) % (1 << 48)
        bits = after >> 16
        return after, bits - (1 << 32) if bits >> 31 else bits

    middle, high = draw(state)
    _, low = draw(middle)
    drawn = (high << 32) + low
    drawn = (drawn + (1 << 63)) % (1 << 64) - (1 << 63)  # Java's long
    assert state_before(drawn) == state
