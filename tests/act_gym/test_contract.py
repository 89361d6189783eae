"""One contract for every environment there is. A new benchmark passes it by being registered."""

import copy
import numbers
import pickle
from collections.abc import Sequence
from functools import partial

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv

import act_gym
from act_gym import TextEnv
from act_gym.benchmarks import BENCHMARKS, parse_id
from act_gym.engine import detailed
from act_gym.errors import UsageError
from act_gym.paths import data_dir
from act_gym.spaces import UnicodeText

INFO = {
    "task_id": str,
    "task_type": str,
    "split": str,
    "goal": str,
    "admissible_commands": Sequence,
    "score": numbers.Real,
    "raw_score": numbers.Real,
    "success": bool,
    "action_valid": bool,
    "turn": int,
}
ODD_ACTIONS = [
    "",
    " ",
    "\n",
    "look\nlook",
    "\x00\x1b[31m",
    "größer ½ 漢字 🜁",
    "\ud800",
    '"\\',
    "%s{0}<x>",
    "x" * 20_000,
]


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


@pytest.fixture
def env(env_id, options):
    made = gym.make(env_id, disable_env_checker=True, **options).unwrapped
    assert isinstance(made, TextEnv)
    yield made
    made.close()


def check_info(info, env):
    more = detailed(env.engine)
    assert list(info) == [*INFO, *(more.details() if more else ())]
    for key, kind in INFO.items():
        assert isinstance(info[key], kind), key
    assert info["task_id"] in {task.id for task in env.tasks}
    assert info["goal"].strip() == info["goal"] != ""
    assert 0 <= info["score"] <= 1
    assert all(isinstance(command, str) for command in info["admissible_commands"])
    assert list(info["admissible_commands"]) == sorted(set(info["admissible_commands"]))


def test_gymnasiums_own_checker_finds_nothing(env):
    check_env(env)  # its warnings are errors here


def test_reset_and_step_keep_the_contract(env, env_id):
    split = parse_id(env_id)[1]
    assert env.observation_space == env.action_space == UnicodeText()
    observation, info = env.reset(seed=1)
    assert len(observation.encode()) < env.observation_space.max_length
    assert isinstance(observation, str)
    assert observation.strip()
    check_info(info, env)
    assert (info["turn"], info["success"], info["action_valid"]) == (0, False, True)
    assert split in (None, info["split"])
    assert info["admissible_commands"]
    first = info["task_id"]
    for turn, action in enumerate(["look", info["admissible_commands"][0], *ODD_ACTIONS], start=1):
        before = info["score"]
        observation, reward, terminated, truncated, info = env.step(action)
        check_info(info, env)
        assert isinstance(observation, str)
        assert reward == pytest.approx(info["score"] - before)
        assert (info["turn"], info["task_id"], truncated) == (turn, first, False)
        assert terminated is False


def test_a_seed_gives_the_same_task_and_the_same_words(env):
    def played(seed):
        seen = [env.reset(seed=seed)]
        command = seen[0][1]["admissible_commands"][-1]
        return [*seen, env.step(command), env.step("look")]

    assert played(11) == played(11)


def test_a_task_can_be_chosen_by_index_and_by_id(env, env_id, options):
    last = env.tasks[-1]
    assert last == act_gym.tasks(env_id, **options)[-1]
    by_index = env.reset(options={"task_index": len(env.tasks) - 1})
    by_id = env.reset(options={"task_id": last.id})
    assert by_index == by_id
    assert by_id[1]["task_id"] == last.id


def test_two_run_side_by_side_in_a_vector_environment(env_id, options):
    chosen = act_gym.tasks(env_id, **options)[0].id
    envs = gym.make_vec(env_id, num_envs=2, vectorization_mode="sync", **options)
    try:
        observations, infos = envs.reset(seed=[5, 5], options={"task_id": chosen})
        assert observations[0] == observations[1] != ""
        assert list(infos["task_id"]) == [chosen, chosen]
        commands = infos["admissible_commands"]
        observations, rewards, terminated, truncated, infos = envs.step((commands[0][-1], "make no sense"))
        assert isinstance(observations, tuple)
        assert observations[0] != observations[1]
        assert rewards.shape == terminated.shape == truncated.shape == (2,)
        assert list(infos["turn"]) == [1, 1]
    finally:
        envs.close()


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
