"""The contract of an environment as checks for your own benchmark.

    import pytest
    from act_gym.testing import CONTRACT

    @pytest.mark.parametrize("check", CONTRACT)
    def test_my_benchmark_keeps_the_contract(check):
        check("act/Counting")

Each check makes the environments that it needs, raises `AssertionError` where the contract is broken, and closes them.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import gymnasium as gym
from gymnasium.utils.env_checker import check_env

from act_gym.benchmarks import parse_id, tasks
from act_gym.engine import detailed
from act_gym.env import TextEnv
from act_gym.spaces import UnicodeText

__all__ = ["CONTRACT", "INFO", "ODD_ACTIONS", "check_info"]

INFO: Mapping[str, type] = {
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
"""Keys of `info` in their order, with the types of their values."""

ODD_ACTIONS = (
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
)
"""Actions that no simulator understands and every one has to survive."""


def check_info(info: Mapping[str, Any], env: TextEnv) -> None:
    """Check the keys of `info`, their order and their values."""
    more = detailed(env.engine)
    assert list(info) == [*INFO, *(more.details() if more else ())]
    for key, kind in INFO.items():
        assert isinstance(info[key], kind), key
    assert info["task_id"] in {task.id for task in env.tasks}
    assert info["goal"].strip() == info["goal"] != ""
    assert 0 <= info["score"] <= 1
    assert all(isinstance(command, str) for command in info["admissible_commands"])
    assert list(info["admissible_commands"]) == sorted(set(info["admissible_commands"]))


def _made(env_id: str, options: Mapping[str, Any]) -> TextEnv:
    made = gym.make(env_id, disable_env_checker=True, **options).unwrapped
    assert isinstance(made, TextEnv)
    return made


def gymnasiums_own_checker_finds_nothing(env_id: str, **options: Any) -> None:
    """Run Gymnasium's `check_env`."""
    with closing(_made(env_id, options)) as env:
        check_env(env)


def reset_and_step_keep_the_contract(env_id: str, **options: Any) -> None:
    """Check observations, rewards and `info` over a task, with odd actions."""
    split = parse_id(env_id)[1]
    with closing(_made(env_id, options)) as env:
        assert env.observation_space == env.action_space == UnicodeText()
        observation, info = env.reset(seed=1)
        assert isinstance(observation, str)
        assert observation.strip()
        assert len(observation.encode()) < UnicodeText().max_length
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
            assert abs(reward - (info["score"] - before)) < 1e-6
            assert (info["turn"], info["task_id"], truncated) == (turn, first, False)
            assert terminated is False


def a_seed_gives_the_same_task_and_the_same_words(env_id: str, **options: Any) -> None:
    """Play the same twice."""
    with closing(_made(env_id, options)) as env:

        def played() -> list[Any]:
            first = env.reset(seed=11)
            command = first[1]["admissible_commands"][0]
            return [first, env.step(command), env.step("look")]

        assert played() == played()


def a_task_can_be_chosen_by_index_and_by_id(env_id: str, **options: Any) -> None:
    """Choose the last task in both ways."""
    with closing(_made(env_id, options)) as env:
        last = env.tasks[-1]
        assert last == tasks(env_id, **parse_id(env_id)[0].choosing(options))[-1]
        by_index = env.reset(options={"task_index": len(env.tasks) - 1})
        by_id = env.reset(options={"task_id": last.id})
        assert by_index == by_id
        assert by_id[1]["task_id"] == last.id


def two_run_side_by_side_in_a_vector_environment(env_id: str, **options: Any) -> None:
    """Step two environments of one task differently."""
    chosen = tasks(env_id, **parse_id(env_id)[0].choosing(options))[0].id
    with closing(gym.make_vec(env_id, num_envs=2, vectorization_mode="sync", **options)) as envs:
        observations, infos = envs.reset(seed=5, options={"task_id": chosen})
        assert observations[0] == observations[1] != ""
        assert list(infos["task_id"]) == [chosen, chosen]
        commands = infos["admissible_commands"]
        observations, rewards, terminated, truncated, infos = envs.step((commands[0][-1], "make no sense"))
        assert isinstance(observations, tuple)
        assert observations[0] != observations[1]
        assert rewards.shape == terminated.shape == truncated.shape == (2,)
        assert list(infos["turn"]) == [1, 1]


CONTRACT: tuple[Callable[..., None], ...] = (
    gymnasiums_own_checker_finds_nothing,
    reset_and_step_keep_the_contract,
    a_seed_gives_the_same_task_and_the_same_words,
    a_task_can_be_chosen_by_index_and_by_id,
    two_run_side_by_side_in_a_vector_environment,
)
"""Every check; call each with an environment id and the environment's options."""
