"""The Java process of ScienceWorld: it starts, is shared, forked and closed, and never stays behind."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
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


def java_of(engine):
    return engine._world.jvm


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def children():
    """Processes, zombies included, that this one has started and not waited for."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = path.read_text(encoding="utf-8").split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if int(fields.split()[1]) == os.getpid():
            found[int(path.parent.name)] = name
    return found


def patiently(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def test_engines_share_a_process_that_only_they_can_use(engines):
    for engine in engines:
        engine.reset(TASK)
    assert java_of(engines[0]) is java_of(engines[1])
    port = java_of(engines[0])._gateway.gateway_parameters.port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stranger:
        stranger.sendall(b"r\nu\nSystem\nrj\ne\n")  # a question without the secret
        assert not stranger.recv(100).startswith(b"!y")
    listening = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{java_of(engines[0]).pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].partition(":")[2], 16) == port
    ]
    assert listening
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert {address.partition(":")[0] for address in listening} <= loopback
    assert engines[0].step("look around").observation


def test_engines_that_are_dropped_without_closing_leave_no_world_behind():
    for _ in range(9):  # five would not fit
        JvmEngine(memory="64m").reset(TASK)


@pytest.mark.parametrize("memory", ["9999999g", "1k"])
def test_a_process_that_cannot_start_says_why(memory):
    engine = JvmEngine(memory=memory)
    before = children()
    with pytest.raises(EngineError, match=r"Could not reserve enough space|Invalid maximum heap size|Too small max"):
        engine.reset(TASK)
    assert children() == before


def test_closing_an_engine_waits_for_no_answer(engines):
    for engine in engines:
        engine.reset(TASK)
    os.kill(java_of(engines[0]).pid, signal.SIGSTOP)
    jvm = java_of(engines[0])
    started = time.monotonic()
    engines[0].close()
    assert time.monotonic() - started < 5
    jvm.close()
    assert not is_running(jvm.pid)


def test_a_process_is_ended_in_the_middle_of_a_call(engines):
    engines[0].reset(TASK)
    jvm = java_of(engines[0])
    caught = []

    def sleep():
        try:
            with jvm.calling("a nap", 60):
                jvm.classes.java.lang.Thread.sleep(60_000)
        except EngineError as error:
            caught.append(str(error))

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    time.sleep(0.3)
    started = time.monotonic()
    jvm.close()
    sleeper.join()
    assert time.monotonic() - started < 20
    assert caught == ["ScienceWorld's Java has been closed."]


def test_a_process_that_died_unnoticed_leaves_no_zombie(engines):
    for engine in engines:
        engine.reset(TASK)
    jvm = java_of(engines[0])
    os.kill(jvm.pid, signal.SIGKILL)
    os.waitid(os.P_PID, jvm.pid, os.WEXITED | os.WNOWAIT)  # dead, and a zombie
    assert jvm.pid in children()
    engines[0].close()
    assert jvm.pid not in children()
    assert not jvm._folder.exists()
    assert engines[1].step("look around").observation


def step_in_a_child(engine, answers):
    answers.put([engine.step("look around"), java_of(engine).pid, engine.reset(TASK)])


def start_a_child(target, *args):
    child = multiprocessing.get_context("fork").Process(target=target, args=args)
    child.start()
    return child


def assert_it_ended(child):
    child.join(60)
    assert child.exitcode == 0
    child.close()


def test_a_forked_child_plays_on_in_a_process_of_its_own(engines):
    engine = engines[0]
    first = engine.reset(TASK)
    assert engine.step("open door to kitchen").observation == "The door is now open."
    answers = multiprocessing.get_context("fork").SimpleQueue()
    child = start_a_child(step_in_a_child, engine, answers)
    seen, pid, again = answers.get()
    assert_it_ended(child)
    assert pid != java_of(engine).pid
    assert seen.observation != first.observation  # the door is open there too
    assert seen == engine.step("look around")
    assert again == first
    assert patiently(lambda: not is_running(pid))


def test_what_a_forked_child_closes_is_its_own(engines):
    engine = engines[0]
    engine.reset(TASK)
    assert_it_ended(start_a_child(engine.close))
    assert engine.step("open door to kitchen").observation == "The door is now open."


def test_a_child_forked_in_the_middle_of_a_call_does_not_read_its_answer(engines):
    """The parent's thread is in Java while the child is born; both get their own answers."""
    engine, other = engines
    other.reset(TASK)
    engine.reset(TASK)
    stop = threading.Event()
    seen = set()

    def walk():
        while not stop.is_set():
            seen.add(other.step("inventory").observation)

    walker = threading.Thread(target=walk)
    walker.start()
    answers = multiprocessing.get_context("fork").SimpleQueue()
    try:
        born = [start_a_child(step_in_a_child, engine, answers) for _ in range(3)]
        in_child = [answers.get()[0] for _ in born]
        for child in born:
            assert_it_ended(child)
    finally:
        stop.set()
        walker.join()
    assert in_child == [engine.step("look around")] * 3
    assert seen == {other.step("inventory").observation}


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_play_beside_a_running_episode(engines, context):
    first = engines[0].reset(TASK)
    before = children()
    envs = AsyncVectorEnv([lambda: gym.make("act_gym:act/ScienceWorld-seen")] * 2, context=context)
    try:
        observations, infos = envs.reset(seed=[1, 1])
        assert observations[0] == observations[1]
        assert infos["task_id"][0] == infos["task_id"][1]
        observations, *_ = envs.step(["look around", "inventory"])
        assert observations[0] != observations[1]
    finally:
        envs.close()
    assert {pid for pid, name in children().items() if name == "java"} == {
        pid for pid, name in before.items() if name == "java"
    }
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
import os, signal, sys, threading, time, act_gym
from act_gym.engines.scienceworld import JvmEngine
engine = JvmEngine()
engine.reset(act_gym.tasks("act/ScienceWorld")[0])
jvm = engine._world.jvm
print(jvm.pid, jvm._folder, flush=True)
exec(sys.argv[1])
"""

IN_A_CALL = """
def nap():
    try:
        with jvm.calling("a nap", 100):
            jvm.classes.java.lang.Thread.sleep(100_000)
    except act_gym.EngineError:
        pass
threading.Thread(target=nap, daemon=True).start()
time.sleep(0.5)
"""

LEAVING = {
    "end": ("pass", 0),
    "exception": ("raise SystemExit(3)", 3),
    "killed": ("os.kill(os.getpid(), 9)", -9),
    "at once": ("os._exit(4)", 4),
    "in a call": (IN_A_CALL, 0),
    "killed in a call": (IN_A_CALL + "os.kill(os.getpid(), 9)", -9),
    "wedged": ("os.kill(jvm.pid, signal.SIGSTOP)", 0),
}


@pytest.mark.parametrize("leaving", LEAVING)
def test_java_ends_with_its_python_and_sweeps_up(leaving):
    program, status = LEAVING[leaving]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PLAY_AND_LEAVE, program], capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.returncode) == ("", status)
    assert time.monotonic() - started < 90  # nobody waited for the nap
    pid, folder = done.stdout.split()
    assert patiently(lambda: not is_running(int(pid)) and not Path(folder).exists())
