"""TRL integration: an environment with one tool, for `GRPOTrainer(environment_factory=…)`.

TRL creates one instance per concurrent episode, resets it with a row of the dataset, offers its public methods to the
model as tools, and reads the reward at the end. The protocol is that of TRL 1.16 (`trl/trainer/grpo_trainer.py`); this
module does not import TRL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym

from act_gym.benchmarks import parse_id, tasks
from act_gym.errors import UsageError
from act_gym.types import Task

__all__ = ["ToolEnvironment", "environment_factory", "training_rows"]

REWARDS = ("score", "success")
_INSTRUCTION = "Solve the task below. Call the function act with one command at a time and read what it answers.\n\n"
_OVER = "\n\nThe episode is over."


class ToolEnvironment:
    """One environment; the model acts in it with the tool `act`.

    Args:
        env_id: For example `act/ALFWorld-train`.
        env_options: Passed to `gym.make`.
        reward: The reward of an episode: `score` (0–1) or `success` (0 or 1).

    Raises:
        UsageError: The reward is unknown.
    """

    def __init__(self, env_id: str, env_options: Mapping[str, Any] | None = None, reward: str = "score") -> None:
        if reward not in REWARDS:
            raise UsageError(f"The reward is {' or '.join(REWARDS)}; got {reward!r}.")
        self._env: gym.Env[str, str] = gym.make(env_id, **(env_options or {}))
        self._reward = reward
        self._info: dict[str, Any] = {}
        self._over = True

    def reset(self, task_id: str = "", **row: Any) -> str:  # noqa: ARG002  (TRL passes the whole row)
        """Start the task of a row; return goal and first observation, which TRL appends to the prompt.

        Raises:
            UsageError: The row names no task. All episodes of a group must play the same one.
        """
        if not task_id:
            raise UsageError(
                "A row of the dataset needs a task_id; act_gym.integrations.trl_environment.training_rows."
            )
        observation, self._info = self._env.reset(options={"task_id": task_id})
        self._over = False
        return f"Task: {self._info['goal']}\n\nObservation:\n{observation}"

    def act(self, command: str) -> str:
        """Do one action in the environment.

        Args:
            command: The action, in the environment's own words.

        Returns:
            What the environment shows after the action.
        """
        if self._over:
            return _OVER.strip()
        observation, _, terminated, truncated, self._info = self._env.step(str(command))
        self._over = terminated or truncated
        return observation + _OVER if self._over else observation

    def get_reward(self) -> float:
        """Return the reward of the episode, 0–1; 0 before the first reset."""
        return float(self._info.get(self._reward, 0.0))

    def _close(self) -> None:
        """Close the simulator. Not public: TRL would offer it as a tool."""
        self._env.close()


def environment_factory(
    env_id: str, env_options: Mapping[str, Any] | None = None, *, reward: str = "score"
) -> partial[ToolEnvironment]:
    """Return a picklable factory of environments for TRL's trainer.

    Args:
        env_id: For example `act/ALFWorld-train`.
        env_options: Passed to `gym.make`.
        reward: `score` or `success`; see `ToolEnvironment`.

    Raises:
        UnknownNameError: No environment has that id.
    """
    parse_id(env_id)
    return partial(ToolEnvironment, env_id, dict(env_options or {}), reward)


def training_rows(env_id: str, chosen: Sequence[Task] | None = None) -> list[dict[str, Any]]:
    """Return one row per task for `datasets.Dataset.from_list`: the start of the prompt and the task's id.

    The rest of the prompt is the task and the first observation, which `ToolEnvironment.reset` returns.

    Args:
        env_id: For example `act/ALFWorld-train`.
        chosen: The tasks; None for the whole split.
    """
    return [
        {"prompt": [{"role": "user", "content": _INSTRUCTION}], "task_id": task.id}
        for task in (tasks(env_id) if chosen is None else chosen)
    ]
