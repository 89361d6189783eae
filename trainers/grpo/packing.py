"""Many completions of one prompt as one sequence, in which the prompt stands once.

A batch of GRPO holds each prompt as often as there are completions of it. Here neighbouring rows with
the same prompt become *packs*: the prompt, then each completion behind a copy of the prompt's last
token (from which its first token is predicted). A mask lets every token see the prompt and its own
completion, and positions count as if the others were not there, so what the model says of each token
is what it says of it in a row of its own.

The price is attention: its mask is as wide as the pack. `best_width` therefore counts operations and
says how many completions a pack should hold; one, where rows of their own are cheapest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

__all__ = ["Costs", "Packs", "best_width", "pack", "runs"]


@dataclass(frozen=True)
class Costs:
    """Floating-point operations of a forward pass.

    Attributes:
        token: For each token: two for each weight of the layers and of the output matrix.
        pair: For each token and each place it may look at: four for each channel of the heads.
    """

    token: float
    pair: float

    @classmethod
    def of(cls, config: Any) -> Costs:
        """Count a model's from its configuration; weights that a token does not use (experts) count too."""
        hidden, layers, heads = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
        channels = heads * (getattr(config, "head_dim", None) or hidden // heads)
        shared = (getattr(config, "num_key_value_heads", None) or heads) / heads
        attention = hidden * channels * (2 + 2 * shared)
        feed_forward = 3 * hidden * (getattr(config, "intermediate_size", None) or 4 * hidden)
        return cls(
            token=2 * (layers * (attention + feed_forward) + hidden * config.vocab_size),
            pair=4 * layers * channels,
        )

    def rows(self, count: int, length: int, *, causal: bool = False) -> float:
        """Return the operations of so many rows of so many tokens.

        Args:
            count: Rows.
            length: Tokens of each.
            causal: The kernel needs no mask, and leaves out the half of the pairs that is above the diagonal.
        """
        return count * length * (self.token + self.pair * (length / 2 if causal else length))


@dataclass(frozen=True)
class Packs:
    """Packs as a model takes them; R packs, L tokens in the longest, B rows and T tokens of completions before.

    Attributes:
        input_ids: Tokens, shape (R, L).
        position_ids: Places in the sequence that each token belongs to, shape (R, L).
        labels: The token after each one in its completion, −100 where there is none to predict, shape (R, L).
        parts: Which sequence a token belongs to: 0 the prompt, from 1 the completions, −1 padding, shape (R, L).
        places: Where in the flattened packs each completion token is predicted, −1 for padding, shape (B, T).
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    parts: torch.Tensor
    places: torch.Tensor

    def sees(self, window: int | None = None) -> Callable[..., torch.Tensor]:
        """Return whether a token sees another, as a function of row, head, token and other.

        Args:
            window: Only so many back in its own sequence, itself included.
        """

        def rule(row: Any, head: Any, token: Any, other: Any) -> torch.Tensor:  # noqa: ARG001
            here, there = self.parts[row, token], self.parts[row, other]
            seen = (((there == 0) & (here >= 0)) | (there == here)) & (token >= other)
            if window is not None:
                seen = seen & (self.position_ids[row, token] - self.position_ids[row, other] < window)
            # Padding sees itself, as a row that sees nothing would give what is not a number.
            return seen | (token == other)

        return rule

    def mask(self, window: int | None = None) -> torch.Tensor:
        """Return which tokens each token sees, as booleans of shape (R, 1, L, L); see `sees`."""
        count, length = self.parts.shape
        at = torch.arange(length, device=self.parts.device)
        row = torch.arange(count, device=self.parts.device)[:, None, None]
        return self.sees(window)(row, 0, at[None, :, None], at[None, None, :])[:, None]

    def blocks(self, window: int | None = None) -> BlockMask:
        """Return the same for flex attention, which computes the blocks in which somebody sees somebody."""
        count, length = self.parts.shape
        device = self.parts.device.type
        return create_block_mask(self.sees(window), count, None, length, length, device=device)

    def unpacked(self, values: torch.Tensor) -> torch.Tensor:
        """Return values of shape (R, L) as they belong to the completions, shape (B, T), 0 for padding."""
        found = values.flatten()[self.places.clamp(min=0)]
        return found.masked_fill(self.places < 0, 0)


def runs(prompt_ids: torch.Tensor, prompt_mask: torch.Tensor) -> list[range]:
    """Return neighbouring rows that hold the same prompt, in order.

    Args:
        prompt_ids: Shape (B, P).
        prompt_mask: 0 for padding, shape (B, P).
    """
    ids = prompt_ids.masked_fill(prompt_mask == 0, -1)
    same = (ids[1:] == ids[:-1]).all(dim=1).tolist()
    starts = [0, *(row + 1 for row, equal in enumerate(same) if not equal), ids.size(0)]
    return [range(*bounds) for bounds in pairwise(starts)]


def best_width(groups: Sequence[tuple[int, Sequence[int]]], padded: int, costs: Costs, *, causal: bool = False) -> int:
    """Return how many completions a pack should hold; 1 says that packing does not pay.

    Args:
        groups: For each prompt its tokens and those of its completions.
        padded: Tokens of a row as it is, with its padding.
        costs: The model's.
        causal: Whether rows as they are need no mask; packs always have one.
    """
    rows = sum(len(completions) for _, completions in groups)
    best, cheapest = 1, costs.rows(rows, padded, causal=causal)
    for width in range(2, max(len(completions) for _, completions in groups) + 1):
        lengths = [
            prompt - 1 + sum(completions[start : start + width])
            for prompt, completions in groups
            for start in range(0, len(completions), width)
        ]
        cost = costs.rows(len(lengths), max(lengths))
        if cost < cheapest:
            best, cheapest = width, cost
    return best


def pack(
    input_ids: torch.Tensor, attention_mask: torch.Tensor, completion_tokens: int, costs: Costs, padding: int
) -> Packs | None:
    """Return a batch as packs; None where its rows are cheapest as they are.

    Args:
        input_ids: Prompts, padded on the left, and completions, padded on the right, shape (B, P + T).
        attention_mask: 0 for padding, shape (B, P + T).
        completion_tokens: T.
        costs: The model's.
        padding: A token to pad with.
    """
    prompts, prompt_mask = input_ids[:, :-completion_tokens], attention_mask[:, :-completion_tokens]
    completions = input_ids[:, -completion_tokens:]
    lengths = attention_mask[:, -completion_tokens:].sum(dim=1).tolist()
    prompt_lengths = prompt_mask.sum(dim=1).tolist()
    found = runs(prompts, prompt_mask)
    # A row without any prompt has nothing that its first token could be predicted from.
    if len(found) == input_ids.size(0) or min(prompt_lengths) == 0:
        return None
    groups = [(prompt_lengths[rows.start], [lengths[row] for row in rows]) for rows in found]
    width = best_width(groups, input_ids.size(1), costs, causal=bool(attention_mask.all()))
    if width == 1:
        return None
    packed = [rows[start : start + width] for rows in found for start in range(0, len(rows), width)]
    length = max(prompt_lengths[rows.start] - 1 + sum(lengths[row] for row in rows) for rows in packed)
    shape = (len(packed), max(length, 1))
    ids = input_ids.new_full(shape, padding)
    positions, labels = input_ids.new_zeros(shape), input_ids.new_full(shape, -100)
    parts = input_ids.new_full(shape, -1)
    places = input_ids.new_full((input_ids.size(0), completion_tokens), -1)
    for number, rows in enumerate(packed):
        prompt = prompts[rows.start, prompt_mask[rows.start].bool()]
        at = prompt.numel() - 1
        ids[number, :at], parts[number, :at] = prompt[:-1], 0
        positions[number, :at] = torch.arange(at, device=ids.device)
        for part, row in enumerate(rows, start=1):
            count = lengths[row]
            if count == 0:
                continue
            here, tokens = slice(at, at + count), completions[row, :count]
            ids[number, here] = torch.cat([prompt[-1:], tokens[:-1]])
            labels[number, here], parts[number, here] = tokens, part
            positions[number, here] = torch.arange(prompt.numel() - 1, prompt.numel() - 1 + count, device=ids.device)
            places[row, :count] = torch.arange(count, device=ids.device) + number * shape[1] + at
            at += count
    return Packs(ids, positions, labels, parts, places)
