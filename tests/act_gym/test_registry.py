import inspect
import subprocess
import sys
from types import ModuleType

import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec

import act_gym
from act_gym.benchmarks import parse_id


def test_every_environment_is_registered_with_its_step_limit():
    registered = {env_id: spec for env_id, spec in gym.registry.items() if spec.namespace == "act"}
    assert set(registered) == set(act_gym.env_ids())
    for env_id, spec in registered.items():
        entry, split = parse_id(env_id)
        assert spec.max_episode_steps == entry.max_turns
        assert spec.kwargs == {"benchmark": entry.name, "split": split}


def test_registering_again_changes_nothing():
    before = dict(gym.registry)
    act_gym.register_envs()
    assert all(gym.registry[env_id] is spec for env_id, spec in before.items())


@pytest.mark.parametrize("env_id", act_gym.env_ids())
def test_a_spec_survives_json(env_id):
    spec = gym.spec(env_id)
    assert EnvSpec.from_json(spec.to_json()) == spec


def test_a_name_with_the_package_works_in_a_fresh_process():
    program = (
        "import gymnasium as gym\n"
        "env = gym.make('act_gym:act/ScienceWorld-unseen')\n"
        "observation, info = env.reset(seed=0)\n"
        "print(len(observation) > 0, info['split'], env.spec.id)\n"
        "env.close()"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True unseen act/ScienceWorld-unseen\n", "")


def test_what_is_public_is_what_all_says():
    modules = {name for name, value in vars(act_gym).items() if isinstance(value, ModuleType)}
    public = {name for name in vars(act_gym) if not name.startswith("_")} - modules
    assert public | {"__version__"} == set(act_gym.__all__)
    assert sorted(act_gym.__all__) == act_gym.__all__


def test_everything_public_has_a_docstring():
    values = [getattr(act_gym, name) for name in act_gym.__all__]
    assert all(inspect.getdoc(value) for value in values if callable(value))
