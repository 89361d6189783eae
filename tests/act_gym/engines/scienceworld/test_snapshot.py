"""Going back in ScienceWorld: the way to a state is played again."""

import os
import pickle
import signal

import gymnasium as gym
import pytest

import act_gym
from act_gym.engines.scienceworld import JvmEngine
from act_gym.errors import EngineError, UsageError

TASKS = {task.id.removeprefix("scienceworld/"): task for task in act_gym.tasks("act/ScienceWorld")}
WALK = ("open door to kitchen", "go to kitchen", "open door", "0", "look around", "open cupboard")
AFTER = ("inventory", "look around", "wait1", "look around")


@pytest.fixture
def make():
    made = []

    def build(**options):
        made.append(JvmEngine(**options))
        return made[-1]

    yield build
    for engine in made:
        engine.close()


def walk(engine, commands):
    return [engine.step(command) for command in commands]


def steps_of(engine):
    """The simulator's own count of what it has been told since the task was loaded."""
    world = engine._world._world
    with world.jvm.calling("counting"):
        return int(world._interface.getActionHistory().size())


@pytest.mark.parametrize("asked_in_between", [False, True])
def test_from_a_restored_state_everything_is_as_it_was(make, asked_in_between):
    engine = make()
    engine.reset(TASKS["boil/0"])
    walk(engine, WALK)
    saved, goal = engine.snapshot(), engine.goal
    after, admissible = walk(engine, AFTER), tuple(engine.admissible_commands())
    for _ in range(2):
        if asked_in_between:
            engine.reset(TASKS["find-plant/0"])
            tuple(engine.admissible_commands())
        assert engine.restore(saved).observation == ""
        assert engine.goal == goal
        assert walk(engine, AFTER) == after
        assert tuple(engine.admissible_commands()) == admissible


def test_a_snapshot_can_be_restored_in_another_engine_and_another_process(make):
    engine, apart = make(), make(memory="901m")
    engine.reset(TASKS["chemistry-mix/24"])
    walk(engine, WALK)
    saved = pickle.loads(pickle.dumps(engine.snapshot()))
    after = walk(engine, AFTER)
    apart.restore(saved)
    assert walk(apart, AFTER) == after
    assert apart._world.jvm is not engine._world.jvm


def test_the_states_score_comes_back_with_it(make):
    engine = make()
    state = engine.reset(TASKS["chemistry-mix-paint-secondary-color/27"])
    assert state.raw_score == 20
    saved = engine.snapshot()
    spoilt = engine.step("focus on agent")
    assert spoilt.terminated
    ended = engine.snapshot()
    back = engine.restore(saved)
    assert (back.raw_score, back.score, back.terminated) == (20, 0.2, False)
    assert engine.restore(ended).raw_score == -100


def test_only_what_is_missing_is_played(make):
    engine = make()
    engine.reset(TASKS["boil/0"])
    walk(engine, WALK[:2])
    early = engine.snapshot()
    walk(engine, WALK[2:])
    late = engine.snapshot()
    world = engine._world._world
    count = steps_of(engine)
    engine.restore(late)  # where it is
    assert (engine._world._world, steps_of(engine)) == (world, count)
    engine.restore(early)
    assert steps_of(engine) == count - len(WALK[2:])
    engine.restore(late)
    assert steps_of(engine) == count
    walk(engine, AFTER)
    engine.restore(late)  # not on the way back: the task is loaded again
    assert steps_of(engine) == count


def test_going_back_survives_a_kill(make):
    engine = make()
    engine.reset(TASKS["boil/0"])
    walk(engine, WALK)
    saved = engine.snapshot()
    after = walk(engine, AFTER)
    os.kill(engine._world.jvm.pid, signal.SIGKILL)
    engine.restore(saved)
    os.kill(engine._world.jvm.pid, signal.SIGKILL)
    assert walk(engine, AFTER) == after


def test_a_way_that_shows_something_else_is_an_error(make):
    engine = make()
    engine.reset(TASKS["boil/0"])
    walk(engine, WALK)
    saved = engine.snapshot()
    engine._world._moves[-1] = ("open fridge", saved.trail.moves[-1][1])
    wrong = engine.snapshot()
    engine.reset(TASKS["boil/0"])
    with pytest.raises(EngineError, match="command 7 of 7, 'open fridge', did not show what it showed before"):
        engine.restore(wrong)
    with pytest.raises(EngineError, match="Reset the environment first"):
        engine.step("look around")
    engine.restore(saved)
    assert engine.step("look around").observation


def test_a_snapshot_belongs_to_its_simplifications(make):
    engine, easier = make(), make(simplifications="openDoors")
    with pytest.raises(EngineError, match="Reset the environment first"):
        engine.snapshot()
    engine.reset(TASKS["boil/0"])
    saved = engine.snapshot()
    easier.reset(TASKS["boil/0"])
    with pytest.raises(UsageError, match="simplifications '' cannot be restored with 'openDoors'"):
        easier.restore(saved)


def test_an_environment_goes_back_with_its_info():
    env = gym.make("act/ScienceWorld", max_episode_steps=-1, admissible_commands=False)
    try:
        env.reset(options={"task_id": "scienceworld/boil/0"})
        moment = env.step(WALK[0])
        saved = env.unwrapped.snapshot()
        following = env.step(WALK[1])
        env.reset(options={"task_id": "scienceworld/find-plant/0"})
        assert env.unwrapped.restore(saved) == (moment[0], moment[4])
        assert env.step(WALK[1]) == following
        with pytest.raises(UsageError, match="cannot plan"):
            env.unwrapped.plan()
    finally:
        env.close()
