"""Probes before environment RL begins: the length of episodes, and the share of replies without an action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from act_gym.agent import AgentInput
from act_gym.errors import RunError, UsageError
from act_gym.rollout import Job, play_jobs
from act_gym.types import Task
from agents.baselines import RandomAgent
from agents.prompt_config import Question
from trainers.rollouts.records import Rollout
from trainers.run.logging import note

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["check_format", "check_lengths", "conversation_lengths"]

_MOST_CUT = 0.5


def conversation_lengths(
    policy: Policy,
    question: Question,
    games: Sequence[tuple[str, Task]],
    *,
    turns: int,
    count: int,
    seed: int,
    env_options: Mapping[str, Any],
) -> list[int]:
    """Return the tokens of conversations of so many turns, played with random admissible commands; no model is asked.

    Args:
        policy: Its tokenizer counts.
        question: How it is asked.
        games: Environments and tasks, of which some are drawn.
        turns: Decisions of an episode.
        count: Episodes.
        seed: Draws tasks and commands.
        env_options: Passed to `gym.make`.
    """
    drawn = np.random.default_rng(seed).permutation(len(games))[:count].tolist()
    jobs = [Job(games[place][0], games[place][1], seed) for place in drawn]
    options = {**env_options, "max_episode_steps": turns}
    found = []
    for episode in play_jobs(jobs, RandomAgent(), env_options=options, keep_commands=False):
        view = AgentInput(
            task=episode.task, goal=episode.goal, observation=episode.final_observation, history=episode.turns
        )
        found.append(len(policy.prompt_ids(question.conversation(view), thinking=question.thinking)))
    return found


def check_lengths(lengths: Sequence[int], limit: int, context: int) -> float:
    """Return the share of conversations that a limit of tokens would cut, and log it where there are any.

    Args:
        lengths: Tokens of each.
        limit: --max-episode-tokens.
        context: The model's context length.

    Raises:
        UsageError: It would cut more than half of them.
    """
    most = min(limit, context)
    share = sum(length > most for length in lengths) / max(1, len(lengths))
    if not share:
        return 0.0
    what = f"--max-episode-tokens {limit}" if limit <= context else f"the model's context of {context} tokens"
    told = (
        f"{what} would cut {share:.0%} of {len(lengths)} episodes that were played at random for --max-turns; the "
        f"longest has {max(lengths)} tokens."
    )
    if share > _MOST_CUT:
        raise UsageError(f"{told} Raise --max-episode-tokens, or lower --max-turns.")
    note(f"warning: {told}")
    return share


def check_format(rollouts: Sequence[Rollout], most: float, model: str) -> float:
    """Return the share of first replies without a readable action.

    Args:
        rollouts: Episodes of one turn.
        most: The largest share that is allowed.
        model: Its name.

    Raises:
        RunError: The share is larger, so that nearly every episode would end without anything done.
    """
    turns = [turn for one in rollouts for turn in one.turns]
    if not turns:
        return 0.0
    share = sum(not turn.action for turn in turns) / len(turns)
    note(f"rollout: {share:.0%} of {len(turns)} sampled first replies hold no action before training.")
    if share > most:
        raise RunError(
            f"{share:.0%} of {len(turns)} first replies of {model} hold no action (at most {most:.0%} allowed), so no "
            f"episode would be solved and nothing learnt. One reply: {turns[0].response[:80]!r}. Teach it the format "
            "first: act-gym train imitation --episodes runs/collect/episodes.jsonl; then give "
            "--model runs/imitation/checkpoint. Or train anyway with --max-malformed 1."
        )
    return share
