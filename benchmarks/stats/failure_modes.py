"""Failure modes of an episode: how its turns were lost, where it left an expert's plan, and what a purchase got right.

`modes` needs the record alone. `plan_modes` plays the recorded actions again in an environment that can plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import comb
from typing import Any

import gymnasium as gym

from act_gym.errors import DeadEndError, EngineError
from act_gym.types import Episode

__all__ = ["REWARD_PARTS", "TURN_MODES", "modes", "pass_at_k", "plan_modes"]

TURN_MODES = ("unparsable", "inadmissible", "no_effect", "repeated")
"""Counts of turns in a flat record; one turn may be in several."""

REWARD_PARTS: Mapping[str, str] = {
    "reward_type": "r_type",
    "reward_attributes": "r_att",
    "reward_options": "r_option",
    "reward_price": "r_price",
}
"""WebShop's parts of the reward of a purchase, each in 0–1, with their names in the simulator."""


def modes(episode: Episode) -> dict[str, Any]:
    """Return the failure modes that an episode's record shows.

    - `unparsable`: turns whose reply has no action.
    - `inadmissible`: turns whose action the simulator did not execute.
    - `no_effect`: turns whose action was executed and changed neither the observation nor the score.
    - `repeated`: turns that do what an earlier turn did under the same observation, as in a loop.
    - the parts of `REWARD_PARTS`, if the episode ended with a purchase; `reward_options` if options were wanted.
    """
    counts = dict.fromkeys(TURN_MODES, 0)
    after = [*(turn.observation for turn in episode.turns[1:]), episode.final_observation]
    seen: set[tuple[str, str]] = set()
    score = 0.0
    for turn, shown in zip(episode.turns, after, strict=False):  # an unplayed episode has no turns
        place = (turn.observation, turn.action)
        counts["unparsable"] += not turn.action
        counts["inadmissible"] += bool(turn.action) and not turn.action_valid
        counts["no_effect"] += turn.action_valid and shown == turn.observation and turn.score == score
        counts["repeated"] += place in seen
        seen.add(place)
        score = turn.score
    parts = episode.details.get("reward_info", {})
    bought = {name: float(parts[own]) for name, own in REWARD_PARTS.items() if own in parts}
    return {**counts, **bought}


def plan_modes(episode: Episode, env: gym.Env[str, str]) -> dict[str, Any]:
    """Return where an episode left an expert's plan, and whether it ended where no plan exists.

    - `off_plan`: the first turn, from 1, after which the rest of the plan is not shorter than before; 0 if there is
      none.
    - `dead_end`: the planner proved that the goal cannot be reached from the last state.

    Args:
        episode: The episode.
        env: An environment of its tasks whose engine can plan, without a step limit.

    Raises:
        UsageError: The engine cannot plan.
        EngineError: The episode has another course when it is played again.
    """
    observation, _ = env.reset(options={"task_id": episode.task.id})
    left = _plan_length(env)
    off, dead = 0, left is None
    for number, turn in enumerate(episode.turns, start=1):
        if observation != turn.observation:
            raise EngineError(f"{episode.task.id} shows another text at turn {number} when it is played again.")
        observation, _, terminated, _, info = env.step(turn.action)
        if terminated:
            if not info["success"]:
                off = off or number
            return {"off_plan": off, "dead_end": False}
        now = _plan_length(env)
        if not off and left is not None and (now is None or now >= left):
            off = number
        left, dead = now, now is None
    return {"off_plan": off, "dead_end": dead}


def _plan_length(env: gym.Env[str, str]) -> int | None:
    """Return how many commands of an expert are left; None if the goal cannot be reached."""
    try:
        return len(env.get_wrapper_attr("plan")())
    except DeadEndError:
        return None


def pass_at_k(solved: Iterable[Sequence[bool]], k: int) -> float:
    """Return the chance that at least one of k attempts solves a task, as a mean over tasks.

    The unbiased estimate from n attempts, of which c solved it: 1 − C(n − c, k) / C(n, k) (Chen et al. 2021).

    Args:
        solved: The outcomes of at least k attempts, for each task.
        k: Attempts.
    """
    chances = [1 - comb(len(one) - sum(one), k) / comb(len(one), k) for one in solved]
    return sum(chances) / len(chances)
