"""Advantages of environment RL as pure functions on arrays: GRPO, RLOO, GiGPO, HGPO, and branches from a snapshot.

Shapes: E episodes, S decisions of all episodes in one flat array. Groups are integer labels of the same shape as the
values that are compared; a negative label is in no group. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPSILON", "branch", "discounted", "gigpo", "grpo", "hgpo", "numbered", "rloo", "zero_variance"]

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
