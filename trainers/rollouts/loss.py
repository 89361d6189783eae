"""Policy loss of environment RL: PPO's clipped objective over the tokens of replies, with KL and observation terms.

Shapes: N trained tokens of replies, M of observations. Everything is a weighted sum over tokens, so that passes of any
size add up to the same gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trainers.rollouts.settings import LossMean

__all__ = ["TokenLoss", "kl_k3", "ppo_clip", "token_weights"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TokenLoss:
    """PPO's loss of each token, and its probability ratios. Shapes: all (N,)."""

    loss: torch.Tensor
    ratio: torch.Tensor
    clipped: torch.Tensor


def ppo_clip(new: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, *, low: float, high: float) -> TokenLoss:
    """Return -min(r A, clip(r, 1 - low, 1 + high) A) with r = exp(new - old).

    Sources: PPO (arXiv 1707.06347); `high` above `low` is DAPO's clip-higher (arXiv 2503.14476).

    Args:
        new: Log-probabilities under the weights that are trained, shape (N,).
        old: When the tokens were sampled, shape (N,).
        advantages: Shape (N,).
        low: How far below 1 a ratio counts.
        high: How far above 1.
    """
    ratio = (new - old).exp()
    bounded = ratio.clamp(1 - low, 1 + high)
    free, held = ratio * advantages, bounded * advantages
    return TokenLoss(-torch.minimum(free, held), ratio.detach(), (held < free).detach())


def kl_k3(new: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return the estimate exp(d) - d - 1 of the KL divergence from a reference, d = reference - new, shape (N,).

    Source: k3 of Schulman, "Approximating KL Divergence" (2020), as in GRPO.
    """
    difference = reference - new
    return difference.exp() - difference - 1


def token_weights(
    counts: Sequence[int], episodes: Sequence[int], kept: Sequence[bool], mean: LossMean, constant: int = 1
) -> Floats:
    """Return the weight of each token of a reply in the loss, shape (S,); 0 for replies that are left out.

    Args:
        counts: Tokens of each reply, shape (S,).
        episodes: Which episode a reply is of, shape (S,).
        kept: Which replies count, shape (S,).
        mean: `tokens`: 1 / all tokens. `turns`: 1 / (replies x tokens of the reply). `episodes`: 1 / (episodes x tokens
            of the episode). `constant`: 1 / (episodes x constant).
        constant: Tokens that an episode may have at most.
    """
    size, owner, used = np.asarray(counts, float), np.asarray(episodes, int), np.asarray(kept, bool)
    found = np.zeros(len(size))
    if not used.any():
        return found
    count = len(set(owner[used].tolist()))
    if mean == "tokens":
        found[:] = 1 / size[used].sum()
    elif mean == "turns":
        found[:] = 1 / (used.sum() * size)
    elif mean == "episodes":
        totals = np.bincount(owner, size * used)
        found[:] = 1 / (count * np.maximum(totals, 1)[owner])
    else:
        found[:] = 1 / (count * constant)
    return np.asarray(found * used)
