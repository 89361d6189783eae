"""ScienceWorld's commands are listed when somebody looks, and are those of their own state however late that is."""

import copy
import gc
import pickle
import sys
import weakref

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv

import act_gym
from act_gym.engine import LazyTuple
from act_gym.engines.scienceworld import JvmEngine
from act_gym.errors import EngineError

TASKS = {task.id.removeprefix("scienceworld/"): task for task in act_gym.tasks("act/ScienceWorld")}
WALK = ("open door to kitchen", "go to kitchen", "open cupboard", "wait1", "pick up thermometer")


@pytest.fixture
def engine():
    made = JvmEngine()
    yield made
    made.close()


def walked(engine, task, *, look):
    """The commands of each state of a walk, looked at on the way or not at all."""
    engine.reset(task)
    lists = [engine.admissible_commands()]
    for command in WALK:
        if look:
            len(lists[-1])
        engine.step(command)
        lists.append(engine.admissible_commands())
    return lists


@pytest.fixture(scope="module")
def expected():
    """What each state of the walk accepts, looked at in the state itself."""
    made = JvmEngine()
    lists = [tuple(commands) for commands in walked(made, TASKS["boil/0"], look=True)]
    made.close()
    assert len(set(lists)) == len(lists) - 1  # waiting changed nothing
    return lists


def test_nobody_is_asked_before_somebody_looks(engine, expected):
    lists = walked(engine, TASKS["boil/0"], look=False)
    assert not any(commands.derived for commands in lists)
    assert lists[-1] == expected[-1]
    assert [commands.derived for commands in lists] == [False] * len(WALK) + [True]


@pytest.mark.parametrize("order", [1, -1], ids=["forwards", "backwards"])
def test_a_list_is_its_own_states_after_the_episode_has_moved_on(engine, expected, order):
    lists = walked(engine, TASKS["boil/0"], look=False)
    before = engine.step("look around")
    for commands, known in list(zip(lists, expected, strict=True))[::order]:
        assert commands == known
    assert engine.step("look around") == before  # the episode has not noticed


def test_a_list_is_its_own_states_after_another_task_was_loaded(engine, expected):
    lists = walked(engine, TASKS["boil/0"], look=False)
    engine.reset(TASKS["find-plant/3"])
    after = engine.step("look around")
    assert lists[2] == expected[2]
    assert lists[-1] == expected[-1]
    assert engine.step("look around") == after


def test_a_list_is_its_own_states_after_going_back(engine, expected):
    engine.reset(TASKS["boil/0"])
    for command in WALK[:2]:
        engine.step(command)
    kept = engine.admissible_commands()
    moment = engine.snapshot()
    for command in WALK[2:]:
        engine.step(command)
    later = engine.admissible_commands()
    engine.restore(moment)
    assert engine.admissible_commands() == expected[2]
    assert (kept, later) == (expected[2], expected[-1])


def test_after_the_engine_was_closed_a_look_is_an_error_and_a_list_that_was_looked_at_is_not(engine):
    engine.reset(TASKS["boil/0"])
    seen, unseen = engine.admissible_commands(), engine.admissible_commands()
    assert len(seen) > 100
    engine.close()
    assert len(seen) > 100
    with pytest.raises(EngineError, match=r"never looked at, and their environment has been closed.*tuple\(info"):
        len(unseen)


def test_unread_lists_do_not_keep_an_engine_alive():
    made = JvmEngine()
    made.reset(TASKS["boil/0"])
    commands = made.admissible_commands()
    held = [weakref.ref(part) for part in (made, made._world, made._moments)]
    gc.collect()
    gc.disable()
    try:
        del made
        assert [part() for part in held] == [None] * 3  # without the collector: there is no circle of references
    finally:
        gc.enable()
    with pytest.raises(EngineError, match="has been closed"):
        len(commands)


def test_ten_thousand_unread_lists_take_few_megabytes(engine):
    engine.reset(TASKS["boil/0"])
    engine.step("look around")
    lists = [engine.admissible_commands() for _ in range(10_000)]
    each = sum(map(sys.getsizeof, (lists[0], lists[0]._derive, lists[0]._derive.place)))
    assert each < 400
    assert lists[0]._derive.place.moves is lists[-1]._derive.place.moves


def test_info_carries_an_unread_list_through_gymnasium_and_a_vector_of_environments():
    envs = gym.make_vec("act/ScienceWorld-test", num_envs=2, vectorization_mode="sync")
    try:
        _, infos = envs.reset(seed=3)
        for _ in range(2):
            listed = infos["admissible_commands"]
            assert all(isinstance(commands, LazyTuple) and not commands.derived for commands in listed)
            _, _, _, _, infos = envs.step(("look around", "inventory"))
        assert [len(commands) > 50 for commands in infos["admissible_commands"]] == [True, True]
    finally:
        envs.close()


def test_another_process_sends_plain_tuples():
    envs = AsyncVectorEnv([lambda: gym.make("act/ScienceWorld-test")])
    try:
        _, infos = envs.reset(options={"task_id": "scienceworld/boil/21"})
        there = infos["admissible_commands"][0]
    finally:
        envs.close()
    env = gym.make("act/ScienceWorld-test")
    _, info = env.reset(options={"task_id": "scienceworld/boil/21"})
    assert type(there) is tuple
    assert info["admissible_commands"] == there
    assert type(copy.deepcopy(info)["admissible_commands"]) is tuple
    assert pickle.loads(pickle.dumps(info))["admissible_commands"] == there
    assert np.random.default_rng(0).choice(info["admissible_commands"]) in there
    env.close()


def test_a_rollout_lists_what_its_agent_looks_at_and_keeps_all_of_it_only_if_wanted(monkeypatch):
    asked = []
    real = JvmEngine.admissible_commands

    def noted(self):
        commands = real(self)
        asked.append(commands)
        return commands

    monkeypatch.setattr(JvmEngine, "admissible_commands", noted)
    blind = act_gym.function_agent("blind", lambda _: "look around")
    seeing = act_gym.function_agent("seeing", lambda view: view.admissible_commands[0])
    tasks = [TASKS["boil/21"]]
    options = {"max_episode_steps": 2}
    for agent, keep, looked in ((blind, False, 0), (seeing, False, 2), (blind, True, 2)):
        asked.clear()
        (episode,) = act_gym.play("act/ScienceWorld-test", agent, tasks, env_options=options, keep_commands=keep)
        assert [len(turn.admissible_commands) > 100 for turn in episode.turns] == [keep, keep]
        assert sum(commands.derived for commands in asked) == looked
