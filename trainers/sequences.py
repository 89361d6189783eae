"""Sequences of a row, a common start and its continuations, and the FLOPs of a forward pass over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Costs", "Sequences"]


@dataclass(frozen=True)
class Sequences:
    """Sequences with a common start: the start's tokens, then each continuation's, without gaps.

    Attributes:
        start: Tokens of the start; 0 if there is none.
        continuations: Tokens of each sequence that continues it; none if the start is the only sequence.
        after: How many of the start's tokens each continuation follows, at least 1; all of them if it is empty.
    """

    start: int
    continuations: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of the start, and of all continuations."""
        return self.start, sum(self.continuations)

    @property
    def pairs(self) -> float:
        """Pairs of tokens that attention computes; continuations are computed as long as the longest."""
        longest = max(self.continuations, default=0)
        return self.start**2 / 2 + len(self.continuations) * longest * (self.start + longest)


@dataclass(frozen=True)
class Costs:
    """Floating-point operations of a forward pass through a model's layers.

    The head is left out: it is given the same tokens however they are laid out, or fewer of them.

    Attributes:
        token: For each token: two for each weight of the layers.
        pair: For each token and each place it may look at: four for each channel of the heads.
    """

    token: float
    pair: float

    @classmethod
    def of(cls, model_config: Any) -> Costs:
        """Count a model's from its configuration; weights that a token does not use (experts) count too."""
        hidden, layers, heads = (
            model_config.hidden_size,
            model_config.num_hidden_layers,
            model_config.num_attention_heads,
        )
        channels = heads * (getattr(model_config, "head_dim", None) or hidden // heads)
        shared = (getattr(model_config, "num_key_value_heads", None) or heads) / heads
        attention = hidden * channels * (2 + 2 * shared)
        feed_forward = 3 * hidden * (getattr(model_config, "intermediate_size", None) or 4 * hidden)
        return cls(
            token=2 * layers * (attention + feed_forward),
            pair=4 * layers * channels,
        )

    def total(self, tokens: float, pairs: float) -> float:
        """Return the operations of so many tokens, which look at so many places altogether."""
        return tokens * self.token + pairs * self.pair

    def rows(self, count: int, length: int, *, causal: bool = False) -> float:
        """Return the operations of so many rows of so many tokens.

        Args:
            count: Rows.
            length: Tokens of each.
            causal: The kernel needs no mask, and leaves out the half of the pairs that is above the diagonal.
        """
        return self.total(count * length, count * length * (length / 2 if causal else length))
