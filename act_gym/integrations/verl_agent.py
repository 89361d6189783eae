"""verl-agent integration: an environment manager that plays a batch of episodes in one process.

verl-agent and its forks call `reset(kwargs)`, `step(text_actions)`, `success_evaluator(…)` and `close()` of a manager
(`agent_system/environments/base.py`). This one has that interface for all three benchmarks, without an environment, a
Ray actor or a server for each. It does not import verl-agent.

Prompts have the published structure in this project's words; they equal the prompt set `verl-agent`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import gymnasium as gym
import numpy as np

from act_gym.benchmarks import parse_id, tasks
from act_gym.errors import UsageError
from act_gym.sampling import EpochSampler

__all__ = ["EnvironmentManager", "make_envs", "projection"]

_ROLES = {
    "ALFWorld": "You act in a house that is described in text, and solve the household task that you are given.",
    "ScienceWorld": "You act in a house with laboratories that is described in text, and carry out the experiment that "
    "you are given.",
    "WebShop": "You shop on a web site that is described in text, and buy the product that the instruction asks for.",
}
_OTHER = "You solve a task in a text environment, one command at a time."
_REPLY = (
    "It is your turn. First reason step by step about your situation, inside <think> and </think>. Then choose one of "
    "these actions and write it as <action>action</action>."
)
_SUCCESS = 10.0  # verl-agent's reward of a success; every other step has 0
_UNREAD = 30  # characters at the end of a reply without an action, which are played then
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def projection(texts: Sequence[str]) -> tuple[list[str], list[bool]]:
    """Return the action of each reply, and whether the reply is well formed, as verl-agent's projections do.

    The action is the lower-case text in the first `<action>` and `</action>`, else the reply's last 30 characters. A
    reply is well formed if it has an action and a pair of `<think>` and `</think>`, and no Chinese characters.
    """
    actions, valid = [], []
    for text in texts:
        found = re.search(r"<action>(.*?)</action>", text, re.DOTALL | re.IGNORECASE)
        actions.append(found.group(1).strip().lower() if found else text.lower()[-_UNREAD:])
        thinks = "<think>" in text and "</think>" in text
        valid.append(bool(found) and thinks and not _CHINESE.search(text))
    return actions, valid


class EnvironmentManager:
    """Plays `env_num` tasks, each `group_n` times, in one process; ScienceWorld's share one JVM.

    Args:
        env_id: For example `act/ALFWorld-train`.
        env_num: Different tasks in a batch.
        group_n: Episodes of each task, next to one another in the batch.
        seed: Of the order of tasks; each comes once before any comes again.
        history_length: Recent turns in a prompt.
        max_steps: Actions in an episode; 0 for the benchmark's own limit.
        env_options: Passed to `gym.make`.

    Raises:
        UsageError: A number is too small.
    """

    def __init__(
        self,
        env_id: str,
        env_num: int,
        group_n: int = 1,
        *,
        seed: int = 0,
        history_length: int = 2,
        max_steps: int = 0,
        env_options: Mapping[str, Any] | None = None,
    ) -> None:
        if min(env_num, group_n) < 1 or min(history_length, max_steps) < 0:
            raise UsageError("env_num and group_n are at least 1, history_length and max_steps at least 0.")
        entry = parse_id(env_id)[0]
        options = dict(env_options or {})
        if max_steps:
            options["max_episode_steps"] = max_steps
        self.env_id, self.group_n, self.history_length = env_id, group_n, history_length
        self.envs: list[gym.Env[str, str]] = [gym.make(env_id, **options) for _ in range(env_num * group_n)]
        self._role = _ROLES.get(entry.name, _OTHER)
        self._tasks = tasks(env_id, **entry.choosing(options))
        self._order, self._random = EpochSampler(len(self._tasks)), np.random.default_rng(seed)
        self._observations: list[str] = []
        self._infos: list[dict[str, Any]] = []
        self._over: list[bool] = []
        self._memory: list[list[tuple[str, str]]] = []

    def reset(self, kwargs: Any = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Start the next batch of tasks.

        Args:
            kwargs: One mapping for each episode; one with a `task_id` chooses its task. None for the next tasks.

        Returns:
            `text` (the prompts), `image` (None) and `anchor` (the observations alone), and an info for each episode.

        Raises:
            UsageError: There are not as many mappings as episodes.
        """
        rows = list(repeat({}, len(self.envs))) if kwargs is None else list(kwargs)
        if len(rows) != len(self.envs):
            raise UsageError(f"reset() got {len(rows)} kwargs for {len(self.envs)} episodes.")
        drawn = [self._tasks[self._order.draw(self._random)].id for _ in range(len(self.envs) // self.group_n)]
        started = [
            env.reset(options={"task_id": (row or {}).get("task_id", drawn[place // self.group_n])})
            for place, (env, row) in enumerate(zip(self.envs, rows, strict=True))
        ]
        self._observations = [observation for observation, _ in started]
        self._infos = [info for _, info in started]
        self._over = [False] * len(started)
        self._memory = [[] for _ in started]
        return self._seen(), [self._told(place, valid=True) for place in range(len(started))]

    def step(
        self, text_actions: Sequence[str]
    ) -> tuple[dict[str, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], list[dict[str, Any]]]:
        """Play one reply in each episode; one that is over stays as it is, with the reward 0.

        Returns:
            Observations as from `reset`, rewards (10 for a success), dones, and infos with `won`, `is_action_valid`,
            `task_score`, `data_source`, `task_id` and `extra.gamefile`.
        """
        actions, valids = projection(text_actions)
        rewards = np.zeros(len(self.envs))
        for place, (env, action) in enumerate(zip(self.envs, actions, strict=True)):
            if self._over[place]:
                continue
            self._memory[place].append((self._observations[place], action))
            self._observations[place], _, terminated, truncated, self._infos[place] = env.step(action)
            self._over[place] = terminated or truncated
            rewards[place] = _SUCCESS * bool(terminated and self._infos[place]["success"])
        infos = [self._told(place, valid=valid) for place, valid in enumerate(valids)]
        return self._seen(), rewards, np.array(self._over), infos

    def build_text_obs(self) -> list[str]:
        """Return the prompt of each episode: role, task, recent turns, observation and admissible actions."""
        return [self._prompt(place) for place in range(len(self.envs))]

    def success_evaluator(
        self, *, total_infos: Sequence[Sequence[Mapping[str, Any]]], total_batch_list: Sequence[Any], **_: Any
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Return `success_rate`, and that of each type of task and each environment, from the last active steps."""
        found: defaultdict[str, list[float]] = defaultdict(list)
        for steps, infos in zip(total_batch_list, total_infos, strict=True):
            active = [number for number, step in enumerate(steps) if step["active_masks"]]
            if not active:
                continue
            info = infos[active[-1]]
            for name in ("success_rate", f"{info['task_type']}_success_rate", f"{info['data_source']}_success_rate"):
                found[name].append(float(info["won"]))
        return {name: np.array(values) for name, values in found.items()}

    def close(self) -> None:
        """Close the environments."""
        for env in self.envs:
            env.close()

    def _seen(self) -> dict[str, Any]:
        return {"text": self.build_text_obs(), "image": None, "anchor": list(self._observations)}

    def _told(self, place: int, *, valid: bool) -> dict[str, Any]:
        info = self._infos[place]
        return {
            "won": bool(info["success"]),
            "is_action_valid": np.array(valid),
            "task_score": float(info["score"]),
            "data_source": self.env_id,
            "task_id": info["task_id"],
            "task_type": info["task_type"],
            "extra.gamefile": info["task_id"],
            "admissible_commands": list(info["admissible_commands"]),
        }

    def _prompt(self, place: int) -> str:
        info, memory = self._infos[place], self._memory[place]
        goal, observation = info["goal"].strip(), self._observations[place].strip()
        listed = ", ".join(f"'{command}'" for command in info["admissible_commands"])
        lines = [self._role, f"Your task: {goal}"]
        if not memory:
            lines.append(f"You observe now: {observation}")
        else:
            recent = memory[-self.history_length :] if self.history_length else []
            first = len(memory) - len(recent) + 1
            taken = f"You have taken {len(memory)} actions before this one."
            lines.append(f"{taken} Your last {len(recent)} observations and actions:")
            lines += [
                f"[Observation {number}: '{shown.strip()}', Action {number}: '{action}']"
                for number, (shown, action) in enumerate(recent, start=first)
            ]
            lines.append(f"This is step {len(memory) + 1}, and you observe now: {observation}")
        lines.append(f"The actions that you can take now: [{listed}].")
        return "\n".join(lines) + f"\n\n{_REPLY}"


def make_envs(config: Any) -> tuple[EnvironmentManager, EnvironmentManager]:
    """Return the managers for training and validation, as `make_envs` of `agent_system.environments` does.

    It reads `env.env_name` (e.g. `act/ALFWorld-train`), `env.val_env_name` (e.g. `act/ALFWorld-unseen`),
    `env.rollout.n`, `env.seed`, `env.max_steps`, `env.history_length`, `data.train_batch_size` and
    `data.val_batch_size`.
    """
    shared: dict[str, Any] = {
        "history_length": int(config.env.history_length),
        "max_steps": int(config.env.max_steps),
    }
    seed = int(config.env.seed)
    return (
        EnvironmentManager(
            str(config.env.env_name),
            int(config.data.train_batch_size),
            max(1, int(config.env.rollout.n)),
            seed=seed,
            **shared,
        ),
        EnvironmentManager(str(config.env.val_env_name), int(config.data.val_batch_size), seed=seed + 1000, **shared),
    )
