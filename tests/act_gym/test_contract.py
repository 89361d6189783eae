"""One contract for every environment there is. A new benchmark passes it by being registered."""

import copy
import pickle
from functools import partial

import gymnasium as gym
import pytest
from gymnasium.vector import AsyncVectorEnv

import act_gym
from act_gym import TextEnv
from act_gym.benchmarks import BENCHMARKS, parse_id
from act_gym.errors import UsageError
from act_gym.paths import data_dir
from act_gym.testing import CONTRACT

WITHOUT_DATA = {"WebShop": {"catalogue": "generated"}}
"""Options with which a benchmark is played where its data is missing."""


def options_of(entry):
    missing = entry.data and not (data_dir() / entry.data).is_dir()
    return WITHOUT_DATA.get(entry.name, {}) if missing else {}


@pytest.fixture(params=act_gym.env_ids())
def env_id(request):
    entry, split = parse_id(request.param)
    if entry.data and split not in entry.generated_splits and entry.name not in WITHOUT_DATA:
        request.getfixturevalue(f"{entry.extra}_data")
    return request.param


@pytest.fixture
def options(env_id):
    return options_of(parse_id(env_id)[0])


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_an_environment_keeps_the_contract(check, env_id, options):
    check(env_id, **options)  # warnings of Gymnasium's checker are errors here


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_split_runs_in_a_process_of_its_own_and_says_the_same_there(name, request):
    if BENCHMARKS[name].data and name not in WITHOUT_DATA:
        request.getfixturevalue(f"{BENCHMARKS[name].extra}_data")
    options = options_of(BENCHMARKS[name])
    ids = [env_id for env_id in act_gym.env_ids() if parse_id(env_id)[0].name == name]
    actions = ("look around", "inventory")
    processes = AsyncVectorEnv([partial(gym.make, env_id, **options) for env_id in ids])  # shared memory is its default
    try:
        there = [processes.reset(options={"task_index": 0})[0]]
        there += [processes.step([action] * len(ids))[0] for action in actions]
    finally:
        processes.close()
    for position, env_id in enumerate(ids):
        env = gym.make(env_id, **options)
        here = [env.reset(options={"task_index": 0})[0], *(env.step(action)[0] for action in actions)]
        env.close()
        assert [texts[position] for texts in there] == here


def _next(env):
    """Return the fingerprint after the expert's first action."""
    env.step(env.unwrapped.engine.expert_commands()[0])
    return env.unwrapped.engine.fingerprint()


@pytest.mark.parametrize("benchmark_name", BENCHMARKS)
def test_an_environment_is_neither_copied_nor_pickled(benchmark_name):
    entry = BENCHMARKS[benchmark_name]
    env = gym.make(f"act/{benchmark_name}-{(entry.generated_splits or entry.splits)[0]}")
    for way in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(UsageError, match=r"snapshot\(\)"):
            way(env.unwrapped)
    with pytest.raises(UsageError, match=r"gymnasium\.make"):
        copy.deepcopy(env)  # with Gymnasium's wrappers
    first, _ = env.reset(options={"task_index": 0})
    again = gym.make(pickle.loads(pickle.dumps(env.spec)))
    assert again.reset(options={"task_index": 0})[0] == first
    snapshot, begun = env.unwrapped.snapshot(), env.unwrapped.engine.fingerprint()
    env.step("look")
    assert env.unwrapped.restore(copy.deepcopy({"here": snapshot})["here"])[0] == first
    assert env.unwrapped.engine.fingerprint() == begun
    assert _next(env) != begun
    env.close()
    again.close()


@pytest.mark.parametrize(
    "options",
    [
        {"task_id": "x" * 100_000},
        {"task_id": ["x" * 100_000]},
        {"task_id": act_gym.tasks("act/ALFWorld-generated-train")[0]},
        {"task_id": None},
        {"task_index": "x" * 100_000},
        {"x" * 100_000: 1},
        ["task_id"],
        "task_id",
    ],
    ids=lambda options: str(options)[:30],
)
def test_wrong_options_of_reset_are_one_short_message(options):
    with TextEnv("ALFWorld", "generated-train") as env, pytest.raises(UsageError) as error:
        env.reset(options=options)
    assert len(str(error.value)) < 400
