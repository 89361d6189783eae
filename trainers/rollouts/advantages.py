"""Credit assignment of environment RL: rewards, anchors, and advantages of GRPO, RLOO, GiGPO, HGPO and branches.

The advantages are pure functions on arrays. Shapes: E episodes, S decisions of all episodes in one flat array. Groups
are integer labels of the same shape as the values that are compared; a negative label is in no group. Everything is
float64.

"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.rollouts import advantages as formulas
from trainers.rollouts.records import Rollout
from trainers.rollouts.settings import AlgorithmSettings, Anchor

__all__ = [
    "EPSILON",
    "Credit",
    "advantages_of",
    "anchors_of",
    "branch",
    "contexts_of",
    "discounted",
    "gigpo",
    "grpo",
    "hgpo",
    "is_invalid",
    "numbered",
    "rewards_of",
    "rloo",
    "zero_variance",
]


EPSILON = 1e-6
_EQUAL = 1e-9  # sums of the same rewards differ by rounding, which a standard deviation would blow up

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def grpo(returns: Floats, groups: Labels, *, scale: bool = True) -> Floats:
    """Return group-relative advantages: A = (R - mean) / (std + 1e-6), with the unbiased standard deviation.

    Sources: GRPO (arXiv 2402.03300); without `scale`, A = R - mean, as in Dr. GRPO (arXiv 2503.20783).

    Args:
        returns: R of each episode, shape (E,).
        groups: Which episodes are of one task, shape (E,).
        scale: Whether to divide by the standard deviation.
    """
    return _normalised(returns, groups, scale=scale)


def rloo(returns: Floats, groups: Labels) -> Floats:
    """Return leave-one-out advantages: A_i = R_i - mean of the other R of the group.

    Source: RLOO (arXiv 2402.14740). An episode alone in its group has no baseline, and 0.
    """
    found = np.zeros(len(returns))
    for members in _members(groups):
        count = len(members)
        if count > 1:
            found[members] = (returns[members] - returns[members].mean()) * count / (count - 1)
    return found


def gigpo(
    scores: Floats, returns: Floats, groups: Labels, anchors: Labels, *, weight: float = 1.0, scale: bool = True
) -> Floats:
    """Return GiGPO's advantages: A = A_E + weight * A_S for each decision.

    A_E = (score - mean) / (std + 1e-6) over all decisions of the group, so long episodes count more in the mean.
    A_S = (R_t - mean) / (std + 1e-6) over all decisions with the same anchor; a decision alone has 0.
    Source: arXiv 2505.10978 and its code (verl-agent); without `scale` both leave the standard deviation out.

    Args:
        scores: The return of the decision's episode, with the decision's own penalty, shape (S,).
        returns: R_t, the discounted return from the decision on, shape (S,); see `discounted`.
        groups: Which decisions are of one task, shape (S,).
        anchors: Which decisions were made in the same state of the same task, shape (S,).
        weight: Of the step part.
        scale: Whether to divide by standard deviations.
    """
    episode = _normalised(scores, groups, scale=scale)
    return episode + weight * _normalised(returns, anchors, scale=scale)


def hgpo(returns: Floats, contexts: Labels, *, alpha: float = 1.0, scale: bool = True) -> Floats:
    """Return HGPO's advantages: A = sum of w_k a_k, where a_k compares decisions with the same last k observations.

    a_k = (R_t - mean) / (std + 1e-6) over the decisions of the task with the same last k observations; w_k is
    proportional to k^alpha over those k of which the decision has a group of at least two; without any, A is 0.
    Source: arXiv 2602.22817.

    Args:
        returns: R_t, shape (S,).
        contexts: Column k - 1 labels decisions of one task with the same last k observations, shape (S, K).
        alpha: How much more a longer context counts.
        scale: Whether to divide by standard deviations.
    """
    total, weights = np.zeros(len(returns)), np.zeros(len(returns))
    for column in range(contexts.shape[1]):
        labels = contexts[:, column]
        share = float(column + 1) ** alpha * (_sizes(labels) > 1)
        total += share * _normalised(returns, labels, scale=scale)
        weights += share
    return np.divide(total, weights, out=np.zeros_like(total), where=weights > 0)


def branch(
    returns: Floats,
    groups: Labels,
    rests: Floats,
    points: Labels,
    *,
    scale: bool = True,
) -> tuple[Floats, Floats]:
    """Return the advantages of episodes, and those of what they did from a branch point on.

    Continuations of one snapshot start in exactly the same state, so the mean of their returns is a baseline of that
    state, as the value estimates of VinePPO (arXiv 2410.01679) are. The episode that was branched is one of them.

    Args:
        returns: R of each episode, shape (E,).
        groups: Which whole episodes are of one task; negative for continuations, shape (E,).
        rests: The return from the branch point on, shape (E,).
        points: Which episodes pass the same branch point; negative for those that pass none, shape (E,).
        scale: Whether to divide by standard deviations.

    Returns:
        GRPO's advantage of each whole episode, 0 for a continuation; and GRPO's advantage among the continuations of
        a point, for the decisions from there on, 0 where there is no point. Shapes: both (E,).
    """
    return _normalised(returns, groups, scale=scale), _normalised(rests, points, scale=scale)


def discounted(rewards: Floats, episodes: Labels, gamma: float) -> Floats:
    """Return R_t = sum over k >= t of gamma^(k - t) r_k within each episode.

    Args:
        rewards: Of each decision, shape (S,), the decisions of an episode in order and next to each other.
        episodes: Which episode a decision is of, shape (S,).
        gamma: The discount, 0 to 1.
    """
    found = np.zeros(len(rewards))
    for place in range(len(rewards) - 1, -1, -1):
        goes_on = place + 1 < len(rewards) and episodes[place + 1] == episodes[place]
        found[place] = rewards[place] + (gamma * found[place + 1] if goes_on else 0.0)
    return found


def zero_variance(values: Floats, groups: Labels) -> NDArray[np.bool_]:
    """Return which values are of a group in which all are equal, of one member too, shape of `values`."""
    found = np.zeros(len(values), dtype=bool)
    for members in _members(groups):
        found[members] = np.ptp(values[members]) <= _EQUAL
    return found


def numbered(keys: Iterable[Any]) -> Labels:
    """Return a label for each key: equal keys have the same one. Keys that cannot be hashed are compared."""
    known: dict[Any, int] = {}
    compared: list[tuple[Any, int]] = []
    found = []
    for key in keys:
        try:
            label = known.setdefault(key, len(known) + len(compared))
        except TypeError:
            label = next((number for other, number in compared if other == key), -1)
            if label < 0:
                label = len(known) + len(compared)
                compared.append((key, label))
        found.append(label)
    return np.array(found, dtype=np.int64)


def _normalised(values: Floats, groups: Labels, *, scale: bool) -> Floats:
    found = np.zeros(len(values))
    for members in _members(groups):
        own = values[members]
        if np.ptp(own) > _EQUAL:
            found[members] = (own - own.mean()) / (own.std(ddof=1) + EPSILON if scale else 1.0)
    return found


def _members(groups: Labels) -> Iterable[NDArray[np.int64]]:
    """Yield the places of each group's members."""
    order = np.argsort(groups, kind="stable")
    bounds = np.flatnonzero(np.diff(groups[order])) + 1
    return (part for part in np.split(order, bounds) if len(part) and groups[part[0]] >= 0)


def _sizes(groups: Labels) -> NDArray[np.int64]:
    """Return how many members each value's group has; 0 for none."""
    found = np.zeros(len(groups), dtype=np.int64)
    for members in _members(groups):
        found[members] = len(members)
    return found


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
