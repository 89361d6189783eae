"""How often Java is spoken to. Every message on the socket counts, and none is sent that nobody needs."""

import pytest

import act_gym
from act_gym.engines.scienceworld import JvmEngine, gold
from act_gym.env import TextEnv

TASKS = {task.id.removeprefix("scienceworld/"): task for task in act_gym.tasks("act/ScienceWorld")}
WALK = ("open door to kitchen", "go to kitchen", "open cupboard", "look around", "dance", "wait1")


class Ear:
    """Stands in for the socket to Java and notes what is sent."""

    def __init__(self, socket):
        self.socket = socket
        self.heard = []

    def sendall(self, data):
        self.heard.append(bytes(data))
        self.socket.sendall(data)

    def __getattr__(self, name):
        return getattr(self.socket, name)

    def take(self):
        """The methods called since the last time; `del` for an object that Java was told to forget."""
        heard, self.heard = self.heard, []
        return [word.split(b"\n")[2].decode() if word[:1] == b"c" else "del" for word in heard]


@pytest.fixture(scope="module")
def env():
    made = TextEnv("ScienceWorld", "test", memory="900m")  # a process of its own
    made.reset(options={"task_id": "scienceworld/boil/21"})
    yield made
    made.close()


@pytest.fixture
def ear(env):
    connection = env.engine._world.jvm._gateway._gateway_client.connection
    ear = connection.socket = Ear(connection.socket)
    yield ear
    connection.socket = ear.socket


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path))
    monkeypatch.setattr(gold, "_kept", {})


def start(env, name="boil/21"):
    return env.reset(options={"task_id": f"scienceworld/{name}"})


def test_a_step_is_two_calls(env, ear):
    start(env)
    ear.take()
    for command in WALK:
        env.step(command)
        assert ear.take() == ["step", "getScore"]


def test_a_reset_is_a_load_and_never_another_one_after_it(env, ear):
    for name in ("boil/21", "find-plant/225"):
        start(env, name)
        assert ear.take() == ["load", "getTaskDescription", "step", "getScore"]


def test_a_solution_is_worked_out_once_and_never_by_a_reset(env, ear):
    start(env)
    env.expert_commands()
    assert ear.take().count("load") == 2
    for _ in range(2):
        env.expert_commands()
        start(env)
    found = ear.take()
    assert found.count("load") == 2
    assert "getGoldActionSequence" not in found
    assert not any(word.startswith("reset") for word in found)


def test_commands_are_a_few_calls_when_somebody_looks_and_none_before(env, ear):
    _, info = start(env)
    ear.take()
    assert "admissible_commands" in info
    assert ear.take() == []
    assert len(info["admissible_commands"]) > 100
    found = ear.take()
    # The generator's state and the counter are put aside, then the list is fetched.
    assert found == ["nextLong", "count", "setSeed", "getValidActionObjectCombinations", "join"]
    assert info["admissible_commands"][0] in info["admissible_commands"]
    assert ear.take() == []
    env.step("look around")
    assert ear.take() == ["del", "setSeed", "count_$eq", "step", "getScore"]


def test_free_looks_are_a_call_each(ear, env):
    looking = TextEnv("ScienceWorld", "test", memory="900m", observe=("look", "inventory"))
    try:
        start(looking)
        ear.take()
        looking.step("look around")
        assert ear.take() == ["step", "getScore", "freeActionLook", "freeActionInventory"]
    finally:
        looking.close()


def test_a_step_sends_few_bytes(env, ear):
    start(env)
    ear.heard.clear()
    env.step("look around")
    assert sum(map(len, ear.heard)) < 200


def test_taking_turns_costs_four_more_calls(env, ear):
    engines = [JvmEngine(memory="900m") for _ in range(3)]
    try:
        for engine in engines:
            engine.reset(TASKS["boil/21"])
        ear.take()
        for engine in engines * 2:
            engine.step("wait1")
            # Another one's turn: its generator and counter are put back first.
            assert ear.take() == ["nextLong", "count", "setSeed", "count_$eq", "step", "getScore"]
    finally:
        for engine in engines:
            engine.close()
