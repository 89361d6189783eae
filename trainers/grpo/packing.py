"""Packing of GRPO batches: the completions of one prompt share a sequence that holds the prompt once.

A batch of GRPO holds each prompt as often as there are completions of it. Here neighbouring rows with
the same prompt become *packs*: the prompt, then each completion behind a copy of the prompt's last
token (from which its first token is predicted). Every token sees the prompt and its own completion, and
positions count as if the others were not there, so the model's logits for each token are those of
a row of its own.

Where attention is computed sequence by sequence (`trainers/varlen.py`), one pack holds the batch. Where it
can only be masked (eager, flex), a pack has one prompt, and the price is a mask as wide as the pack:
`best_width` then counts operations and says how many completions a pack should hold. Either way rows
stay as they are where that is cheapest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from trainers.sequences import Costs, Sequences
from trainers.varlen import Layout

__all__ = ["Packs", "best_width", "pack", "runs"]


@dataclass(frozen=True)
class Packs:
    """Packs as a model takes them; R packs, L tokens in the longest, B rows and T tokens of completions before.

    Attributes:
        input_ids: Tokens, shape (R, L).
        position_ids: Places in the sequence that each token belongs to, shape (R, L).
        labels: The token after each one in its completion, −100 where there is none to predict, shape (R, L); with a
            layout only of the S tokens that are in a completion, shape (1, S).
        parts: Which sequence a token belongs to: 0 the prompt, from 1 the completions, −1 padding, shape (R, L); it
            defines the attention mask where a pack has one prompt.
        places: Index of each completion token in the flattened labels, −1 for padding, shape (B, T).
        layout: The layout of the only pack, for a model that takes it; it may hold several prompts.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    parts: torch.Tensor
    places: torch.Tensor
    layout: Layout | None = None

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
            # Padding sees itself, as softmax over no token would give NaN.
            found: torch.Tensor = seen | (token == other)
            return found

        return rule

    def mask(self, window: int | None = None) -> torch.Tensor:
        """Return which tokens each token sees, as booleans of shape (R, 1, L, L); see `sees`."""
        count, length = self.parts.shape
        at = torch.arange(length, device=self.parts.device)
        row = torch.arange(count, device=self.parts.device)[:, None, None]
        return self.sees(window)(row, 0, at[None, :, None], at[None, None, :])[:, None]

    def blocks(self, window: int | None = None) -> BlockMask:
        """Return the same for flex attention, which computes the blocks in which any token sees another."""
        count, length = self.parts.shape
        device = self.parts.device.type
        return create_block_mask(self.sees(window), count, None, length, length, device=device)

    def unpacked(self, values: torch.Tensor) -> torch.Tensor:
        """Return values of the labels' shape as they belong to the completions, shape (B, T), 0 for padding."""
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
    """Return how many completions a masked pack should hold; 1 says that packing does not pay.

    Args:
        groups: For each prompt its tokens and those of its completions.
        padded: Tokens of a row as it is, with its padding.
        costs: The model's.
        causal: Whether rows as they are need no mask; packs have one.
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
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    completion_tokens: int,
    costs: Costs,
    padding: int,
    *,
    by_sequence: bool = False,
) -> Packs | None:
    """Return a batch as packs; None where its rows are cheapest as they are.

    Args:
        input_ids: Prompts, padded on the left, and completions, padded on the right, shape (B, P + T).
        attention_mask: 0 for padding, shape (B, P + T).
        completion_tokens: T.
        costs: The model's.
        padding: A token to pad with.
        by_sequence: Whether the model takes a layout: one pack then holds all.
    """
    prompts, prompt_mask = input_ids[:, :-completion_tokens], attention_mask[:, :-completion_tokens]
    lengths = attention_mask[:, -completion_tokens:].sum(dim=1).tolist()
    prompt_lengths = prompt_mask.sum(dim=1).tolist()
    found = runs(prompts, prompt_mask)
    # A row without any prompt has nothing that its first token could be predicted from.
    if len(found) == input_ids.size(0) or min(prompt_lengths) == 0:
        return None
    groups = [(prompt_lengths[rows.start], [lengths[row] for row in rows]) for rows in found]
    causal = bool(attention_mask.all())
    if by_sequence:
        layout = Layout(tuple(Sequences(prompt - 1, tuple(filter(None, told))) for prompt, told in groups))
        cost = costs.total(layout.tokens, layout.pairs)
        if not any(lengths) or cost >= costs.rows(*input_ids.shape, causal=causal):
            return None
        return _asked(_filled([found], input_ids, attention_mask, completion_tokens, padding), layout)
    width = best_width(groups, input_ids.size(1), costs, causal=causal)
    if width == 1:
        return None
    cut = [[rows[start : start + width]] for rows in found for start in range(0, len(rows), width)]
    return _filled(cut, input_ids, attention_mask, completion_tokens, padding)


def _asked(packs: Packs, layout: Layout) -> Packs:
    """Return a pack whose labels, and with them the model's logits, are those of the completions alone."""
    said = packs.labels[0] != -100
    asked = said.nonzero()[:, 0]
    places = (said.cumsum(dim=0) - 1)[packs.places.clamp(min=0)].masked_fill(packs.places < 0, -1)
    return replace(packs, labels=packs.labels[:, asked], places=places, layout=replace(layout, asked=asked))


def _filled(
    packed: Sequence[Sequence[range]],
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    completion_tokens: int,
    padding: int,
) -> Packs:
    """Return packs, each of which holds some runs of rows of the same prompt, one after the other."""
    prompts, prompt_mask = input_ids[:, :-completion_tokens], attention_mask[:, :-completion_tokens].bool()
    completions = input_ids[:, -completion_tokens:]
    lengths = attention_mask[:, -completion_tokens:].sum(dim=1).tolist()
    starts = (prompt_mask.sum(dim=1) - 1).tolist()
    widths = [sum(starts[rows.start] + sum(lengths[row] for row in rows) for rows in together) for together in packed]
    shape = (len(packed), max(1, *widths))
    ids = input_ids.new_full(shape, padding)
    positions, labels = input_ids.new_zeros(shape), input_ids.new_full(shape, -100)
    parts = input_ids.new_full(shape, -1)
    places = input_ids.new_full((input_ids.size(0), completion_tokens), -1)
    for number, together in enumerate(packed):
        at = 0
        for rows in together:
            prompt, start = prompts[rows.start, prompt_mask[rows.start]], starts[rows.start]
            here = slice(at, at + start)
            ids[number, here], parts[number, here] = prompt[:-1], 0
            positions[number, here] = torch.arange(start, device=ids.device)
            at += start
            for part, row in enumerate(rows, start=1):
                count = lengths[row]
                here, tokens = slice(at, at + count), completions[row, :count]
                ids[number, here] = torch.cat([prompt[-1:], tokens[:-1]])[:count]
                labels[number, here], parts[number, here] = tokens, part
                positions[number, here] = torch.arange(start, start + count, device=ids.device)
                places[row, :count] = torch.arange(count, device=ids.device) + number * shape[1] + at
                at += count
    return Packs(ids, positions, labels, parts, places)
