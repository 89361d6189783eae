"""Self-imitation: a buffer of solved episodes of earlier steps, learnt again as in SPEAR (arXiv 2509.22601).

An episode is kept for a few steps; its advantage is its return less the median of the last 10,240 returns, on all its
tokens, and only advantages above 0 are learnt. The loss is the clipped one, with the log-probabilities of the time when
the episode was sampled, and its weight rises along a cosine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from trainers.rollouts.learner import Sample
from trainers.rollouts.records import Reply, Rollout
from trainers.rollouts.rows import Row, row_of
from trainers.rollouts.settings import AlgorithmSettings

__all__ = ["ReplayBuffer"]

_RETURNS = 10_240


@dataclass
class ReplayBuffer:
    """Solved episodes and the returns of the last ones.

    Attributes:
        settings: Age, ramp and weight.
        kept: Step, return and tokens of each episode.
        returns: Of the last episodes, solved or not.
    """

    settings: AlgorithmSettings
    kept: list[tuple[int, float, Row]] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)

    def samples(self, step: int) -> list[Sample]:
        """Return the episodes to learn again in a step."""
        self.kept = [one for one in self.kept if step - one[0] <= self.settings.imitate_age]
        if not self.kept:
            return []
        middle = float(np.median(self.returns))
        return [
            Sample(row, (value - middle,) * len(row.replies), (True,) * len(row.replies))
            for _, value, row in self.kept
            if value > middle
        ]

    def weight(self, step: int) -> float:
        """Return the weight of the loss in a step, which rises from 0 to `imitate_weight`."""
        risen = min(1.0, step / self.settings.imitate_ramp)
        return self.settings.imitate_weight * 0.5 * (1 - math.cos(math.pi * risen))

    def add(self, step: int, rollouts: Sequence[Rollout], returns: Sequence[float]) -> None:
        """Take the episodes of a step; continuations and replies without an action are left out."""
        for one, value in zip(rollouts, returns, strict=True):
            if one.start.point is not None:
                continue
            self.returns = [*self.returns, float(value)][-_RETURNS:]
            if one.success and one.replies and all(turn.action for turn in one.turns):
                self.kept.append((step, float(value), row_of(one)))

    def state(self) -> dict[str, Any]:
        """Return the state that a resumed training needs, as JSON values."""
        return {"kept": [[step, value, asdict(row)] for step, value, row in self.kept], "returns": self.returns}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a value of `state`."""
        self.returns = list(state["returns"])
        self.kept = [(step, value, _row(row)) for step, value, row in state["kept"]]


def _row(data: dict[str, Any]) -> Row:
    replies = tuple(
        Reply(
            after=one["after"],
            tokens=tuple(one["tokens"]),
            log_probabilities=tuple(one["log_probabilities"]),
            in_place=one["in_place"],
            is_cut=one["is_cut"],
            candidates=tuple(map(tuple, one["candidates"])),
        )
        for one in data["replies"]
    )
    return Row(tuple(data["tokens"]), replies, tuple((start, stop) for start, stop in data["observed"]))
