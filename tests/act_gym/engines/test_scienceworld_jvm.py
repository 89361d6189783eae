"""The Java process of ScienceWorld: it starts, dies, hangs, is forked, and never stays behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import pytest
from gymnasium.vector import AsyncVectorEnv

import act_gym
from act_gym.engines.scienceworld import JvmEngine
from act_gym.errors import EngineError

TASK = act_gym.tasks("act/ScienceWorld")[0]
OTHER = act_gym.tasks("act/ScienceWorld-seen")[0]


@pytest.fixture
def engines():
    made = [JvmEngine(memory="800m"), JvmEngine(memory="800m")]
    yield made
    for engine in made:
        engine.close()


def process_of(engine):
    return engine._world.jvm.pid


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_killed_process_ends_its_episodes_and_the_next_reset_starts_another(engines):
    before = [engine.reset(TASK) for engine in engines]
    killed = process_of(engines[0])
    assert process_of(engines[1]) == killed  # they share it
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(EngineError, match=r"ended during a step \(exit status -9\)"):
        engines[0].step("look around")
    for ask in (lambda: engines[1].step("look around"), engines[1].admissible_commands):
        with pytest.raises(EngineError, match="Reset the environment to start another"):
            ask()
    assert [engine.reset(TASK) for engine in engines] == before
    assert process_of(engines[0]) == process_of(engines[1]) != killed
    assert not Path(f"/proc/{killed}").exists()  # waited for, so no zombie


def test_a_process_that_gives_no_answer_is_ended(engines):
    engines[0].reset(TASK)
    stopped = process_of(engines[0])
    engines[0]._world.jvm._gateway._gateway_client.connection.socket.settimeout(0.2)
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(EngineError, match=r"gave no answer to a step in .* s and was ended"):
        engines[0].step("look around")
    assert not is_running(stopped)
    assert engines[0].reset(TASK).observation


def test_too_little_memory_is_an_error_and_no_end():
    engine = JvmEngine(memory="16m")
    try:
        with pytest.raises(EngineError, match="OutOfMemoryError"):
            engine.reset(TASK)
    finally:
        engine.close()


def test_engines_that_are_dropped_without_closing_leave_no_world_behind():
    for _ in range(9):  # five would not fit
        JvmEngine(memory="64m").reset(TASK)


def test_a_process_that_cannot_start_says_why():
    with pytest.raises(EngineError, match=r"Could not reserve enough space|Invalid maximum heap size"):
        JvmEngine(memory="9999999g").reset(TASK)


def step_in_a_child(engine, answers):
    try:
        answers.put(engine.step("look around").observation)
    except EngineError as error:
        answers.put(str(error))
    answers.put(engine.reset(TASK).observation)
    answers.put(process_of(engine))


def test_a_forked_child_leaves_its_parents_process_alone(engines):
    engine = engines[0]
    first = engine.reset(TASK).observation
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=step_in_a_child, args=(engine, answers))
    child.start()
    assert "belongs to the process this one was forked from" in answers.get()
    assert answers.get() == first
    assert answers.get() != process_of(engine)
    child.join()
    child.close()
    assert engine.step("look around").observation == first


def test_forked_workers_play_beside_a_running_episode(engines):
    first = engines[0].reset(TASK)
    envs = AsyncVectorEnv([lambda: gym.make("act/ScienceWorld-seen")] * 2, context="fork")
    try:
        observations, infos = envs.reset(seed=[1, 1])
        assert observations[0] == observations[1]
        assert infos["task_id"][0] == infos["task_id"][1]
        observations, *_ = envs.step(["look around", "inventory"])
        assert observations[0] != observations[1]
    finally:
        envs.close()
    assert engines[0].step("look around").observation == first.observation


def test_nothing_is_left_in_the_working_folder(engines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = JvmEngine(memory="701m")  # a process of its own, started here
    try:
        engine.reset(OTHER)
        assert list(tmp_path.iterdir()) == []
    finally:
        engine.close()


PLAY_AND_LEAVE = """
import os, sys, act_gym
from act_gym.engines.scienceworld import JvmEngine
engine = JvmEngine()
engine.reset(act_gym.tasks("act/ScienceWorld")[0])
print(engine._world.jvm.pid, engine._world.jvm._folder, flush=True)
exec(sys.argv[1])
"""


@pytest.mark.parametrize("leaving", ["pass", "os.kill(os.getpid(), 9)"], ids=["end", "killed"])
def test_java_ends_with_its_python_and_sweeps_up(leaving):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PLAY_AND_LEAVE, leaving], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    pid, folder = done.stdout.split()
    patience = time.monotonic() + 30
    while (is_running(int(pid)) or Path(folder).exists()) and time.monotonic() < patience:
        time.sleep(0.05)
    assert not is_running(int(pid))
    assert not Path(folder).exists()
