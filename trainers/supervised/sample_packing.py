"""Supervised samples of unlike lengths in few rows, none of which sees another.

A padded batch computes its padding. Here a batch's samples are put end to end into rows (first fit,
longest first), and positions begin anew with each sample. Transformers reads the bounds off those
positions and masks each sample from the others, in every layer; flash attention reads them too, but in
a single row only.

A row holds as much as the longest sample, or a multiple of that: longer rows fill up better, but every
token's attention is as wide as its row, so the operations are counted and the cheapest length is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainers.grpo.packing import Costs
from trainers.grpo.shared_prompt import attends_alone

__all__ = ["PackingCollator", "bins", "why_not"]


def why_not(model: Any) -> str:
    """Return why a model's samples cannot share rows, in words; empty if they can."""
    return attends_alone(model)


def bins(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Put items into as few bins as first-fit-decreasing needs, at most 11/9 of the fewest there could be.

    Args:
        lengths: Of each item, at most `capacity`.
        capacity: Of a bin.

    Returns:
        The numbers of each bin's items.
    """
    filled: list[list[int]] = []
    room: list[int] = []
    for item in sorted(range(len(lengths)), key=lambda item: -lengths[item]):
        for number, left in enumerate(room):
            if lengths[item] <= left:
                filled[number].append(item)
                room[number] -= lengths[item]
                break
        else:
            filled.append([item])
            room.append(capacity - lengths[item])
    return filled


@dataclass(frozen=True)
class PackingCollator:
    """Makes a batch of packed rows.

    Attributes:
        padding: A token to pad with.
        costs: The model's; without them no row is longer than the longest sample.
        one_row: Whether all samples go into a single row, as flash attention needs it.
    """

    padding: int
    costs: Costs | None = None
    one_row: bool = False

    def __call__(self, samples: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `labels` (−100 where nothing is learnt) and `position_ids`, each of shape (R, L)."""
        lengths = [len(sample["input_ids"]) for sample in samples]
        rows = self._rows(lengths)
        width = max(sum(lengths[item] for item in row) for row in rows)
        ids = torch.full((len(rows), width), self.padding)
        labels = torch.full_like(ids, -100)
        # Padding counts as samples of one token each, which see themselves and are seen by none.
        positions = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            at = 0
            for item in row:
                here = slice(at, at + lengths[item])
                ids[number, here] = torch.tensor(samples[item]["input_ids"])
                labels[number, here] = torch.tensor(samples[item]["labels"])
                labels[number, at] = -100  # else it would be predicted from the sample before
                positions[number, here] = torch.arange(lengths[item])
                at += lengths[item]
        return {"input_ids": ids, "labels": labels, "position_ids": positions}

    def _rows(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return the numbers of each row's samples."""
        longest, total, costs = max(lengths), sum(lengths), self.costs
        if self.one_row:
            return bins(lengths, total)
        if costs is None:
            return bins(lengths, longest)

        def cost(rows: list[list[int]]) -> float:
            return costs.rows(len(rows), max(sum(lengths[item] for item in row) for row in rows))

        return min((bins(lengths, longest * times) for times in range(1, -(-total // longest) + 1)), key=cost)
