"""A user's own game files, on both engines."""

import json

import gymnasium as gym
import pytest

import act_gym
from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.errors import CorruptDataError, MissingDataError

ENGINES = ("native", "textworld")


@pytest.fixture(scope="module")
def games(alfworld_data, tmp_path_factory):
    """A folder with two small games of the release, one of them under a name of its own."""
    found = [task for task in act_gym.tasks("act/ALFWorld-seen") if task.payload["game"].split("/")[1].endswith("-401")]
    folder = tmp_path_factory.mktemp("games")
    for name, task in zip(("look_at_obj_in_light-mine/game.tw-pddl", "other.tw-pddl"), found[:2], strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((alfworld_data / task.payload["game"] / GAME_FILE).read_bytes())
    return folder


@pytest.mark.parametrize("engine", ENGINES)
def test_own_games_are_played_to_their_end(games, engine):
    env = gym.make("act/ALFWorld", games=str(games), engine=engine)
    ids = [task.id for task in env.unwrapped.tasks]
    assert ids == ["alfworld/look_at_obj_in_light-mine", "alfworld/other"]
    for index, task_id in enumerate(ids):
        by_index = env.reset(options={"task_index": index})
        observation, info = env.reset(options={"task_id": task_id})
        assert (observation, info) == by_index
        assert (info["task_id"], info["split"]) == (task_id, "own")
        for command in env.unwrapped.expert_commands():
            *_, info = env.step(command)
        assert info["success"]
    env.close()


def test_the_spec_is_json_and_makes_the_same_environment(games):
    env = gym.make("act/ALFWorld", games=[str(games)], engine="native")
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.tasks == env.unwrapped.tasks
    assert again.reset(seed=1) == env.reset(seed=1)
    env.close()
    again.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_own_games_run_in_vector_environments(games, mode):
    envs = gym.make_vec("act/ALFWorld", num_envs=2, vectorization_mode=mode, games=str(games), engine="native")
    _, info = envs.reset(options={"task_id": "alfworld/other"})
    assert list(info["task_id"]) == ["alfworld/other"] * 2
    observations, *_ = envs.step(("inventory", "bogus"))
    assert observations == ("You are not carrying anything.", "Nothing happens.")
    envs.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_is_damaged_or_gone_is_named_and_no_download_advised(tmp_path, engine):
    if engine == "textworld":
        pytest.importorskip("alfworld")
    path = tmp_path / "mine.tw-pddl"
    path.write_text(json.dumps({"grammar": "", "pddl_domain": 3}))
    env = act_gym.TextEnv("ALFWorld", games=path, engine=engine)
    with pytest.raises(CorruptDataError, match=r"mine\.tw-pddl lacks pddl_domain, pddl_problem\.$"):
        env.reset()
    path.unlink()
    with pytest.raises(MissingDataError, match=r"mine\.tw-pddl is not there any more\.$"):
        env.reset()
    env.close()
