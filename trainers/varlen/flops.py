"""FLOPs of a forward pass; packing chooses which sequences share a row by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Costs"]


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
