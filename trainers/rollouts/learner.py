"""Policy updates of environment RL: PPO's clipped objective, optimizer steps in passes of bounded size.

The gradient is that of one loss over the tokens of all replies, with KL and observation terms; passes only cut it into
sums. Log-probabilities when the tokens were sampled come with the rollouts, so the first pass over them is on-policy up
to rounding. Shapes: N trained tokens of replies, M of observations.

"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.lr_scheduler import LambdaLR

from agents.local.memory import MemoryTrimmer
from trainers.rollouts.rows import Pass, Row, make_passes, on
from trainers.rollouts.settings import AlgorithmSettings, LossMean, UpdateSettings
from trainers.varlen import attends_alone, use

__all__ = ["Learner", "Sample", "TokenLoss", "kl_k3", "ppo_clip", "token_weights"]


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


@dataclass(frozen=True)
class Sample:
    """One rollout with its advantages and the masks of its loss.

    Attributes:
        row: Its tokens.
        advantages: Of each reply.
        kept: Which replies count in the loss.
        reference: Log-probabilities of the replies' tokens under the initial model; empty without a KL term.
    """

    row: Row
    advantages: tuple[float, ...]
    kept: tuple[bool, ...]
    reference: tuple[float, ...] = ()

    @property
    def teaches(self) -> bool:
        """Whether any advantage that counts differs from 0."""
        return any(kept and advantage for kept, advantage in zip(self.kept, self.advantages, strict=True))


class Learner:
    """Trains a causal language model on rollouts.

    Args:
        model: On its device; with adapters only these are trained.
        algorithm: The loss.
        update: The optimizer.
        rate: The learning rate of each step, counted from 0, as a share of the peak.
        temperature: That replies were sampled at.
        padding: A token to pad with.
        constant: Tokens that an episode's replies may have at most; see `token_weights`.
        bf16: Whether to calculate in bf16 (autocast).
    """

    def __init__(
        self,
        model: Any,
        algorithm: AlgorithmSettings,
        update: UpdateSettings,
        *,
        rate: Callable[[int], float] = lambda _: 1.0,
        temperature: float = 1.0,
        padding: int = 0,
        constant: int = 1,
        bf16: bool = False,
    ) -> None:
        self.model, self.algorithm, self.settings = model, algorithm, update
        self.temperature, self.padding, self.constant, self.bf16 = temperature, padding, constant, bf16
        self.adapted = hasattr(model, "disable_adapter")
        self.packed = not attends_alone(model) and use(model.get_base_model() if self.adapted else model)
        self.parameters = [weight for weight in model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=update.learning_rate, weight_decay=update.weight_decay)
        self.schedule = LambdaLR(self.optimizer, rate)
        self._memory = MemoryTrimmer()
        self._reference = None
        if algorithm.beta and not self.adapted:
            self._reference = deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def reference(self, rows: Sequence[Row]) -> list[tuple[float, ...]]:
        """Return the log-probabilities of each row's reply tokens under the initial model."""
        model = self._reference or self.model
        context = self.model.disable_adapter() if self.adapted else nullcontext()
        with context, _mode(model, training=False):
            parts = [self._forward(model, part)[0] for part in self._passes(rows)]
        flat = torch.cat(parts).tolist() if parts else []
        ends = np.cumsum([row.units for row in rows])
        return [tuple(flat[end - row.units : end]) for row, end in zip(rows, ends.tolist(), strict=True)]

    def update(
        self,
        samples: Sequence[Sample],
        generator: np.random.Generator,
        *,
        replayed: Sequence[Sample] = (),
        replay_weight: float = 0.0,
    ) -> dict[str, float]:
        """Make all optimizer steps on some rollouts, and return the means of their metrics.

        Args:
            samples: All rollouts of a step.
            generator: Draws the mini-batches.
            replayed: Rollouts of earlier steps, which are part of every optimizer step.
            replay_weight: Of their loss.
        """
        found: list[dict[str, float]] = []
        for _ in range(self.settings.iterations):
            order = np.arange(len(samples))
            if self.settings.mini_batches > 1:
                order = generator.permutation(len(samples))
            for places in np.array_split(order, max(1, min(self.settings.mini_batches, len(samples)))):
                if replayed:
                    self.gradients(replayed, scale=replay_weight)
                # Episodes of a task share their first tokens where they are neighbours.
                found.append(self._optimize([samples[place] for place in sorted(places.tolist())]))
        self.schedule.step()
        if not found:  # nothing was played to its end
            return {}
        merged = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
        merged["ratio_min"] = min(one["ratio_min"] for one in found)
        merged["ratio_max"] = max(one["ratio_max"] for one in found)
        return merged

    def _optimize(self, samples: Sequence[Sample]) -> dict[str, float]:
        stats = self.gradients(samples)
        limit = self.settings.max_grad_norm or float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, limit))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._memory.trim()
        return {**stats, "grad_norm": norm}

    def gradients(self, samples: Sequence[Sample], *, scale: float = 1.0) -> dict[str, float]:
        """Add the gradient of the samples' loss, times `scale`, to the weights' gradients; return the metrics.

        `loss`; `ratio_min`, `ratio_max`, `clip_ratio` and `entropy` over the tokens of replies that were computed; `kl`
        and `observation_loss` where they are part of the loss; `trained_tokens`.
        """
        weights = self._weights(samples)
        # A reply without an advantage has no gradient, unless something else is learnt from it.
        whole = bool(self.algorithm.beta or self.algorithm.observation_weight)
        chosen = [place for place, sample in enumerate(samples) if whole or sample.teaches]
        rows = [samples[place].row for place in chosen]
        flat = _Flat.of([samples[place] for place in chosen], [weights[place] for place in chosen])
        seen = sum(stop - start for row in rows for start, stop in row.observed)
        totals = _Totals(flat.tokens, seen)
        with _mode(self.model, training=True):
            for part in self._passes(rows):
                loss = self._loss(part, flat, seen, totals)
                (loss * scale).backward()  # type: ignore[no-untyped-call]
                totals.loss += float(loss.detach())
        return totals.measured(kl=bool(self.algorithm.beta))

    def _weights(self, samples: Sequence[Sample]) -> list[np.ndarray[Any, Any]]:
        """Return the weight of a token of each reply, one array a sample."""
        counts = [[reply.units for reply in sample.row.replies] for sample in samples]
        owners = [place for place, sizes in enumerate(counts) for _ in sizes]
        kept = [kept for sample in samples for kept in sample.kept]
        found = token_weights(list(chain.from_iterable(counts)), owners, kept, self.algorithm.loss_mean, self.constant)
        ends = np.cumsum([len(sizes) for sizes in counts])[:-1]
        return np.split(found, ends)

    def _loss(self, part: Pass, flat: _Flat, seen: int, totals: _Totals) -> torch.Tensor:
        """Return a pass's share of the loss."""
        settings = self.algorithm
        new, observed, entropy = self._forward(self.model, part)
        here = slice(part.first, part.first + part.units)

        def of(values: np.ndarray[Any, Any]) -> torch.Tensor:
            return torch.as_tensor(values[here], dtype=new.dtype, device=new.device)

        weights = of(flat.weights)
        high = settings.epsilon_high or settings.epsilon
        policy = ppo_clip(new, of(flat.old), of(flat.advantages), low=settings.epsilon, high=high)
        loss = (policy.loss * weights).sum()
        if settings.beta:
            divergence = kl_k3(new, of(flat.reference))
            loss = loss + settings.beta * (divergence * weights).sum()
            totals.kl += float(divergence.detach().sum())
        if settings.observation_weight and len(observed):
            totals.observed += float(-observed.detach().sum())
            loss = loss - settings.observation_weight * observed.sum() / seen
        totals.take(policy.ratio, policy.clipped, entropy)
        return loss

    def _forward(self, model: Any, part: Pass) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return log-probabilities of replies or choices, of observations, and the entropy of the former.

        Shapes: N tokens of replies or choices of commands, M tokens of observations, and N, without a gradient.
        """
        device = next(model.parameters()).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bf16):
            logits = model(**on(part, device), use_cache=False).logits[0]
        if part.layout is None:
            logits = logits[part.asked.to(device)]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        steps = (logits if part.choices else logits / self.temperature).log_softmax(-1)
        tokens = steps.gather(-1, part.labels.to(device)[:, None])[:, 0]
        drawn, observed = tokens[: part.replies], tokens[part.replies :]
        if part.choices:
            chosen, spread = part.choices.log_probs(drawn, self.temperature)
            return chosen, observed, spread
        with torch.no_grad():
            sampled = steps[: part.replies]
            entropy = -(sampled.exp() * sampled).sum(-1)
        return drawn, observed, entropy

    def _passes(self, rows: Sequence[Row]) -> Iterator[Pass]:
        return make_passes(rows, self.settings.max_tokens_per_pass, packed=self.packed, padding=self.padding)


@dataclass(frozen=True)
class _Flat:
    """Values of all reply tokens of some samples, in the order of samples, replies and tokens. Shapes: (N,)."""

    advantages: np.ndarray[Any, Any]
    weights: np.ndarray[Any, Any]
    old: np.ndarray[Any, Any]
    reference: np.ndarray[Any, Any]

    @classmethod
    def of(cls, samples: Sequence[Sample], weights: Sequence[np.ndarray[Any, Any]]) -> _Flat:
        counts = np.array([reply.units for sample in samples for reply in sample.row.replies], int)
        old = [value for sample in samples for reply in sample.row.replies for value in reply.log_probabilities]
        return cls(
            advantages=np.repeat(np.array([one for sample in samples for one in sample.advantages], float), counts),
            weights=np.repeat(np.array([float(one) for part in weights for one in part]), counts),
            old=np.array(old, float),
            reference=np.array([value for sample in samples for value in sample.reference], float),
        )

    @property
    def tokens(self) -> int:
        return len(self.old)


@dataclass
class _Totals:
    """Sums over the passes of an optimizer step."""

    tokens: int
    seen: int
    loss: float = 0.0
    kl: float = 0.0
    entropy: float = 0.0
    clipped: float = 0.0
    observed: float = 0.0
    lowest: float = 1.0
    highest: float = 1.0

    def take(self, ratio: torch.Tensor, clipped: torch.Tensor, entropy: torch.Tensor) -> None:
        if len(ratio):
            self.lowest = min(self.lowest, float(ratio.min()))
            self.highest = max(self.highest, float(ratio.max()))
            self.clipped += float(clipped.sum())
            self.entropy += float(entropy.sum())

    def measured(self, *, kl: bool) -> dict[str, float]:
        count = max(1, self.tokens)
        found = {
            "loss": self.loss,
            "ratio_min": self.lowest,
            "ratio_max": self.highest,
            "clip_ratio": self.clipped / count,
            "entropy": self.entropy / count,
            "trained_tokens": float(self.tokens),
        }
        found |= {"kl": self.kl / count} if kl else {}
        return {**found, "observation_loss": self.observed / self.seen} if self.seen else found


@contextmanager
def _mode(model: Any, *, training: bool) -> Iterator[None]:
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)
