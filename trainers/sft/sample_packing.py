"""Sample packing: several supervised samples share a row, and none attends to another.

A padded batch computes its padding. Here a batch's samples are put end to end, and positions restart at 0
with each. Where attention is computed sequence by sequence (`varlen/attention.py`), and with flash attention,
all share a single row. Elsewhere transformers reads the bounds off the positions and masks each sample
from the others. A token's attention is then as wide as its row, so rows hold as much as the longest sample
or a multiple of that (first fit, longest first), whichever takes the fewest operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainers.sequences import Costs, Sequences
from trainers.varlen import Layout, attends_alone

__all__ = ["PackingCollator", "bins", "why_not"]


def why_not(model: Any) -> str:
    """Return the reason why a model's samples cannot share rows; empty if they can."""
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
        by_sequence: Whether the model takes a layout; all samples then go into a single row, too.
    """

    padding: int
    costs: Costs | None = None
    one_row: bool = False
    by_sequence: bool = False

    def __call__(self, samples: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Any]:
        """Return `input_ids`, `labels` (−100 where nothing is learnt) and `position_ids`, each of shape (R, L).

        For a model that takes a layout also `layout`, the layout of the only row, and `shift_labels`, the S tokens
        that are learnt, shape (1, S): with them the model's head, and its loss, are of these alone.
        """
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
        batch: dict[str, Any] = {"input_ids": ids, "labels": labels, "position_ids": positions}
        if self.by_sequence:
            # The loss needs the tokens that are learnt; each is predicted from the one before it.
            asked = (labels[0, 1:] != -100).nonzero()[:, 0]
            batch["layout"] = Layout(tuple(Sequences(lengths[item]) for item in rows[0]), asked)
            batch["shift_labels"] = labels[:, asked + 1]
        return batch

    def _rows(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return the numbers of each row's samples."""
        longest, total, costs = max(lengths), sum(lengths), self.costs
        if self.one_row or self.by_sequence:
            return bins(lengths, total)
        if costs is None:
            return bins(lengths, longest)

        def cost(rows: list[list[int]]) -> float:
            return costs.rows(len(rows), max(sum(lengths[item] for item in row) for row in rows))

        return min((bins(lengths, longest * times) for times in range(1, -(-total // longest) + 1)), key=cost)
