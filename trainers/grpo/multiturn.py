"""GRPO on whole episodes: a `rollout_func` for TRL's `GRPOTrainer`.

The model plays every prompt's task to its end. An episode is one sequence: the tokens that the model wrote are
trained, those of the environment stand between them and are masked (`env_mask`). The reward is the episode's own.
The protocol is that of TRL 1.16, which calls it experimental; `trainers.rl` trains single decisions instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from act_gym.benchmark import tasks
from act_gym.core import Task
from act_gym.errors import EngineError, UsageError
from agents.formats import find_format

__all__ = ["EpisodeRollout", "episode_reward", "rollout_rows"]

_DUMMY = "\u241f"  # a sign that no template writes, to find where a reply ends


def rollout_rows(env_id: str, chosen: Sequence[Task] | None = None) -> list[dict[str, Any]]:
    """Return one row a task for `datasets.Dataset.from_list`.

    TRL hands a rollout nothing but prompts, so the task's id travels in the message, where no template reads it.

    Args:
        env_id: For example `act/ALFWorld-train`.
        chosen: Which tasks; None for the whole split.
    """
    listed = tasks(env_id) if chosen is None else chosen
    return [{"prompt": [{"role": "user", "content": task.id, "task_id": task.id}]} for task in listed]


def episode_reward(completions: Sequence[Any], episode_reward: Sequence[float], **_: Any) -> list[float]:  # noqa: ARG001
    """Return the rewards that the rollout brought along; the trainer's `reward_funcs`."""
    return list(episode_reward)


@dataclass
class EpisodeRollout:
    """Plays an episode for every prompt; give it to `GRPOTrainer(rollout_func=…)`.

    Args:
        env_id: For example `act/ALFWorld-train`.
        env_options: Passed to `gym.make`.
        format: How the model replies; `tags` or `react`.
        max_turns: An episode ends after so many decisions.
        max_new_tokens: Longest reply of one decision.
        reward: `score` or `success`.
        seed: What sampling is seeded with, beside the place in the training: a resumed one draws the same.
    """

    env_id: str
    env_options: Mapping[str, Any] = field(default_factory=dict)
    format: str = "tags"
    max_turns: int = 10
    max_new_tokens: int = 32
    reward: str = "score"
    seed: int = 0
    _calls: tuple[int, int] = field(default=(-1, 0), init=False, repr=False)  # a step, and calls in it before
    _envs: list[gym.Env[str, str]] = field(default_factory=list, init=False, repr=False)

    def __call__(self, prompts: Sequence[Sequence[Mapping[str, Any]]], trainer: Any) -> dict[str, Any]:
        """Play one episode for each prompt, all at once.

        Args:
            prompts: Made by `rollout_rows`; each is already repeated for its group.
            trainer: TRL's; its model writes, at its temperature, and its `max_completion_length` bounds an episode.

        Returns:
            `prompt_ids`, `completion_ids`, `logprobs` (None: nothing was written by another program than the one
            that trains), `env_mask` (1 where the model wrote) and `episode_reward`, one entry a prompt.

        Raises:
            UsageError: A prompt names no task.
        """
        from trl.models import unwrap_model_for_generation

        while len(self._envs) < len(prompts):
            self._envs.append(gym.make(self.env_id, **self.env_options))
        tokenizer = trainer.processing_class
        played = [
            _Played(env, _task_id(prompt), tokenizer, self.format)
            for env, prompt in zip(self._envs, prompts, strict=False)
        ]
        step, calls = self._calls
        now = trainer.state.global_step
        self._calls = (now, calls + 1 if step == now else 0)
        training = trainer.model.training
        with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model:
            model.eval()
            try:
                self._play(played, model, trainer)
            finally:
                model.train(training)
        return {
            "prompt_ids": [one.prompt for one in played],
            "completion_ids": [one.completion for one in played],
            "logprobs": None,
            "env_mask": [one.mask for one in played],
            "episode_reward": [float(one.info[self.reward]) for one in played],
        }

    def close(self) -> None:
        """Close all simulators."""
        for env in self._envs:
            env.close()
        self._envs.clear()

    def _play(self, played: Sequence[_Played], model: Any, trainer: Any) -> None:
        from agents.sampling import Sampler

        stop = find_format(self.format).stop
        sampler = Sampler(model, trainer.processing_class, self.max_new_tokens, trainer.args.temperature, stop)
        for turn in range(self.max_turns):
            last = turn + 1 == self.max_turns
            running = [one for one in played if one.has_room(trainer.max_completion_length, self.max_new_tokens)]
            if not running:
                return
            seeds = self._seeds(trainer.accelerator.process_index, turn, len(running))
            replies = sampler.run([one.prompt + one.completion for one in running], seeds, [""] * len(running))
            for one, reply in zip(running, replies, strict=True):
                one.take(reply, last=last)

    def _seeds(self, process: int, turn: int, count: int) -> list[int]:
        """Return other seeds in every process: halves of a group in two of them must not play the same episodes."""
        drawn = np.random.SeedSequence([self.seed, *self._calls, process, turn]).generate_state(count, np.uint64)
        return [int(seed) for seed in drawn]


class _Played:
    """One episode as tokens."""

    def __init__(self, env: gym.Env[str, str], task_id: str, tokenizer: Any, format_name: str) -> None:
        self.env = env
        self.tokenizer = tokenizer
        self.format = find_format(format_name)
        observation, self.info = env.reset(options={"task_id": task_id})
        self.over = False
        first = f"Task: {self.info['goal']}\n\nObservation:\n{observation}"
        text = tokenizer.apply_chat_template(self.format.ask(first, False), tokenize=False, add_generation_prompt=True)
        self.prompt = self._ids(text)
        self.completion: list[int] = []
        self.mask: list[int] = []

    def has_room(self, longest: int, reply: int) -> bool:
        """Return whether the episode runs and another reply fits."""
        return not self.over and (not self.completion or len(self.completion) + reply <= longest)

    def take(self, reply: list[int], *, last: bool) -> None:
        """Act on a reply and put what comes of it behind it."""
        text = self.tokenizer.decode(reply, skip_special_tokens=True)
        written = reply or [self.tokenizer.eos_token_id]
        self._add(written, mask=1)
        try:
            observation, _, terminated, truncated, self.info = self.env.step(self.format.read(text).action or "")
        except EngineError:
            self.over = True  # the score so far stands
            return
        self.over = terminated or truncated or last
        if not self.over:
            self._add(self._ids(self._between(observation)), mask=0)

    def _between(self, observation: str) -> str:
        """Return what the chat template writes between a reply and the next one."""
        messages = [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": _DUMMY},
            {"role": "user", "content": f"Observation:\n{observation}"},
        ]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return str(text.rpartition(_DUMMY)[2] if _DUMMY not in observation else text.partition(_DUMMY)[2])

    def _add(self, tokens: list[int], *, mask: int) -> None:
        self.completion += tokens
        self.mask += [mask] * len(tokens)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _task_id(prompt: Sequence[Mapping[str, Any]]) -> str:
    task_id = prompt[-1].get("task_id") if prompt else None
    if not isinstance(task_id, str):
        raise UsageError("A prompt for EpisodeRollout carries a task_id in its message; see rollout_rows.")
    return task_id
