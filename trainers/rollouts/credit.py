"""Credit assignment: from rollouts to rewards, anchors and the advantage of every reply."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.rollouts import advantages as formulas
from trainers.rollouts.records import Rollout
from trainers.rollouts.settings import AlgorithmSettings, Anchor

__all__ = ["Credit", "advantages_of", "anchors_of", "contexts_of", "is_invalid", "rewards_of"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def is_invalid(rollout: Rollout, turn: int, invalid: str = "format") -> bool:
    """Return whether a reply holds no action, or, with `inadmissible`, none that the simulator accepts."""
    played = rollout.turns[turn]
    return not played.action or (invalid == "inadmissible" and not played.action_valid)


def rewards_of(rollout: Rollout, settings: AlgorithmSettings) -> Floats:
    """Return the reward of each turn, without penalties, shape (T,)."""
    found = np.zeros(len(rollout.turns))
    if settings.reward == "gain":
        found += [turn.reward * settings.reward_scale for turn in rollout.turns]
    elif len(found):
        earned = float(rollout.success) if settings.reward == "success" else rollout.score
        found[-1] = earned * settings.reward_scale
    if settings.shaping:
        plans = np.array(rollout.plans, float)
        known = (plans[:-1] >= 0) & (plans[1:] >= 0)  # a dead end has no potential
        found += settings.shaping * (plans[:-1] - plans[1:]) * known
    return found


class Credit:
    """Advantages of the replies of some rollouts.

    Attributes:
        advantages: For each rollout those of its replies.
        returns: The sum of each rollout's rewards, shape (E,).
        groups: The task of each rollout; -1 for continuations, shape (E,).
        anchors: With gigpo and hgpo the anchor group (the longest context) of every reply, flat; else empty.
    """

    def __init__(
        self, advantages: Sequence[Floats], returns: Floats, groups: Labels, anchors: Labels | None = None
    ) -> None:
        self.advantages = list(advantages)
        self.returns, self.groups = returns, groups
        self.anchors = np.zeros(0, dtype=np.int64) if anchors is None else anchors

    def taught(self) -> set[int]:
        """Return the tasks of which any reply has an advantage."""
        return {
            int(group)
            for group, found in zip(self.groups.tolist(), self.advantages, strict=True)
            if group >= 0 and np.any(found != 0)
        }


def advantages_of(rollouts: Sequence[Rollout], settings: AlgorithmSettings) -> Credit:
    """Return the advantages of all replies; `start.group` says which rollouts are of one task."""
    if not rollouts:  # every simulator failed
        return Credit([], np.zeros(0), np.zeros(0, dtype=np.int64))
    rewards = [rewards_of(rollout, settings) for rollout in rollouts]
    returns = np.array([float(one.sum()) for one in rewards])
    groups = np.array([-1 if one.start.point else one.start.group for one in rollouts], dtype=np.int64)
    penalties = [
        np.array([-settings.invalid_penalty * is_invalid(one, turn, settings.invalid) for turn in _own(one)], float)
        for one in rollouts
    ]
    if settings.algorithm in ("gigpo", "hgpo"):
        return _by_step(rollouts, rewards, penalties, returns, groups, settings)
    if settings.algorithm == "branch":
        whole = _branched(rollouts, rewards, returns, groups, settings)
    else:
        found = formulas.rloo(returns, groups)
        if settings.algorithm == "grpo":
            found = formulas.grpo(returns, groups, scale=settings.scale_rewards)
        whole = [np.full(len(one.replies), value) for one, value in zip(rollouts, found, strict=True)]
    return Credit([each + own for each, own in zip(whole, penalties, strict=True)], returns, groups)


def _own(rollout: Rollout) -> range:
    return range(rollout.first, len(rollout.turns))


def _by_step(
    rollouts: Sequence[Rollout],
    rewards: Sequence[Floats],
    penalties: Sequence[Floats],
    returns: Floats,
    groups: Labels,
    settings: AlgorithmSettings,
) -> Credit:
    """Return the advantages of GiGPO or HGPO, which compare single decisions; penalties are part of the values."""
    sizes = [len(one.turns) for one in rollouts]
    owners = np.repeat(np.arange(len(rollouts)), sizes)
    penalty = np.concatenate(penalties)
    rests = formulas.discounted(np.concatenate(rewards), owners, settings.gamma) + penalty
    if settings.algorithm == "hgpo":
        contexts = contexts_of(rollouts, settings.contexts + 1)
        flat = formulas.hgpo(rests, contexts, alpha=settings.context_power, scale=settings.scale_rewards)
        anchors = contexts[:, -1]
    else:
        anchors = anchors_of(rollouts, "state" if settings.anchor == "auto" else settings.anchor)
        flat = formulas.gigpo(
            returns[owners] + penalty,
            rests,
            groups[owners],
            anchors,
            weight=settings.step_weight,
            scale=settings.scale_rewards,
        )
    return Credit(np.split(flat, np.cumsum(sizes)[:-1]), returns, groups, anchors)


def _branched(
    rollouts: Sequence[Rollout],
    rewards: Sequence[Floats],
    returns: Floats,
    groups: Labels,
    settings: AlgorithmSettings,
) -> list[Floats]:
    """Return the advantages where some rollouts are continuations of others, one branch point a rollout at most."""
    turns: dict[int, int] = {id(one.start.point.rollout): one.start.point.turn for one in rollouts if one.start.point}
    at = [one.start.point.turn if one.start.point else turns.get(id(one), -1) for one in rollouts]
    roots = [id(one.start.point.rollout if one.start.point else one) for one in rollouts]
    labels = formulas.numbered(roots)
    points = np.array([label if turn >= 0 else -1 for label, turn in zip(labels, at, strict=True)], dtype=np.int64)
    rests = np.array([float(one[max(turn, 0) :].sum()) for one, turn in zip(rewards, at, strict=True)])
    whole, rest = formulas.branch(returns, groups, rests, points, scale=settings.scale_rewards)
    found = []
    for number, one in enumerate(rollouts):
        after = np.array([0 <= at[number] <= turn for turn in _own(one)], dtype=float)
        found.append(whole[number] + settings.step_weight * rest[number] * after)
    return found


def anchors_of(rollouts: Sequence[Rollout], anchor: Anchor) -> Labels:
    """Return a label for every decision, flat: equal where the task is the same and the anchor is."""

    def key(rollout: Rollout, turn: int) -> Any:
        if anchor == "state":
            return rollout.states[turn]
        if anchor == "text":
            return rollout.turns[turn].observation
        return _history(rollout, turn)

    return _labelled(rollouts, key)


def contexts_of(rollouts: Sequence[Rollout], longest: int) -> Labels:
    """Return labels of every decision, shape (S, longest): column k - 1 is equal where the last k observations are."""

    def key(count: int, rollout: Rollout, turn: int) -> Hashable:
        # At the beginning of an episode there are fewer than k, which are then the context.
        return tuple(one.observation for one in rollout.turns[max(0, turn - count + 1) : turn + 1])

    return np.stack([_labelled(rollouts, partial(key, count)) for count in range(1, longest + 1)], axis=1)


def _history(rollout: Rollout, turn: int) -> Hashable:
    before = tuple((one.observation, one.action) for one in rollout.turns[:turn])
    return before, rollout.turns[turn].observation


def _labelled(rollouts: Sequence[Rollout], key: Callable[[Rollout, int], Any]) -> Labels:
    """Return labels that differ from task to task. States cannot be hashed, so tasks are looked at one by one."""
    owners = [(number, turn) for number, one in enumerate(rollouts) for turn in range(len(one.turns))]
    found, free = np.zeros(len(owners), dtype=np.int64), 0
    for group in sorted({one.start.group for one in rollouts}):
        places = [place for place, (number, _) in enumerate(owners) if rollouts[number].start.group == group]
        labels = formulas.numbered(key(rollouts[owners[place][0]], owners[place][1]) for place in places)
        found[places] = labels + free
        free += int(labels.max(initial=-1)) + 1
    return found
