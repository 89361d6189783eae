"""Metrics of rollouts: success, validity of actions, and coverage of the groups that advantages compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainers.rollouts.advantages import Credit, numbered, zero_variance
from trainers.rollouts.records import Rollout

__all__ = ["anchor_metrics", "play_metrics"]


def play_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Return means over whole episodes and their turns.

    Over episodes: `success`, `score`, `turns`, `cut_by_turns`, `cut_by_tokens`. Over turns: `format_error_rate` (no
    action in the reply), `inadmissible_rate` (an action that the simulator does not accept), `no_effect` (the
    simulator's state is the same after it), `repeated` (the same action in the same state as earlier in the episode),
    `clipped_ratio` (replies that reached their limit of tokens).
    """
    whole = [one for one in rollouts if one.start.point is None]
    if not whole:
        return {}
    turns = [turn for one in whole for turn in one.turns]
    found = {
        "success": _mean(one.success for one in whole),
        "score": _mean(one.score for one in whole),
        "turns": _mean(len(one.turns) for one in whole),
        "cut_by_turns": _mean(one.cut == "turns" for one in whole),
        "cut_by_tokens": _mean(one.cut == "tokens" for one in whole),
    }
    if turns:
        found |= {
            "format_error_rate": _mean(not turn.action for turn in turns),
            "inadmissible_rate": _mean(bool(turn.action) and not turn.action_valid for turn in turns),
            "no_effect": _mean(same for one in whole for same in _unchanged(one)),
            "repeated": _mean(again for one in whole for again in _again(one)),
            "clipped_ratio": _mean(reply.is_cut for one in whole for reply in one.replies),
        }
    return found


def anchor_metrics(credit: Credit) -> dict[str, float]:
    """Return how many decisions can be compared.

    `frac_reward_zero_std`: share of tasks whose episodes all have the same return. `untaught`: share of tasks without
    any advantage. With anchors `anchor_coverage`: share of decisions that are not alone in their anchor group; and
    `anchor_size`, the mean size of these groups.
    """
    tasks = credit.groups >= 0
    groups, returns = credit.groups[tasks], credit.returns[tasks]
    names = sorted(set(groups.tolist()))
    if not names:
        return {}
    equal = zero_variance(returns, groups)
    found = {
        "reward": float(returns.mean()),
        "frac_reward_zero_std": _mean(bool(equal[groups == name].all()) for name in names),
        "untaught": 1 - len(credit.taught()) / len(names),
    }
    if len(credit.anchors):
        _, counts = np.unique(credit.anchors, return_counts=True)
        shared = counts[counts > 1]
        found["anchor_coverage"] = float(shared.sum() / counts.sum())
        found["anchor_size"] = float(shared.mean()) if len(shared) else 0.0
    return found


def _unchanged(rollout: Rollout) -> list[bool]:
    """Return for each turn whether the simulator's state is the same after it; the end of an episode is another one."""
    pairs = zip(rollout.states, rollout.states[1:], strict=False)
    return [after is not None and bool(before == after) for before, after in pairs]


def _again(rollout: Rollout) -> list[bool]:
    """Return for each turn whether its action was played before in the same state."""
    labels = numbered(rollout.states[: len(rollout.turns)])
    seen: set[tuple[int, str]] = set()
    found = []
    for label, turn in zip(labels.tolist(), rollout.turns, strict=True):
        found.append((label, turn.action) in seen)
        seen.add((label, turn.action))
    return found


def _mean(values: Any) -> float:
    listed = [float(value) for value in values]
    return sum(listed) / len(listed) if listed else 0.0
