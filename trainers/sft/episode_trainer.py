"""Trainer for whole episodes: packs them into passes of bounded size and sums the loss over labels.

A pass is one row: episodes end to end, each followed by its branches, none of which sees another episode
(`trainers.varlen`). The loss of a step is the sum over all passes, divided by the trained tokens of the step, so
neither packing nor the budget changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from trl import SFTTrainer

from trainers.grpo.token_budget import Budget
from trainers.run.schedule import FirstStepTrains
from trainers.sequences import Sequences
from trainers.sft.episodes import EpisodeRow, passes, unbranched
from trainers.varlen import Layout

__all__ = ["EpisodeCollator", "EpisodeTrainer"]

_IGNORED = -100
_ROUND = 128  # tokens; a CPU prepares and keeps kernels for each length of a row, so there are few lengths


@dataclass(frozen=True)
class EpisodeCollator:
    """Makes a batch of episodes: one dictionary a pass.

    Attributes:
        rows: All episodes; a sample holds the number of one.
        budget: Tokens of a pass at most, one episode may have more; 0 for one pass.
        observation_weight: Of the loss on observations; 0 leaves them out.
        packed: Whether the model takes a layout. If not, each episode and each branch is padded to a row of its own.
        padding: A token to pad with.
    """

    rows: Sequence[EpisodeRow]
    budget: int
    observation_weight: float
    packed: bool
    padding: int

    def __call__(self, samples: Sequence[dict[str, int]]) -> dict[str, Any]:
        """Return `passes`, and `labels` of all passes, by which the loss is divided."""
        rows = [self.rows[sample["row"]] for sample in samples]
        made = [self._packed(part) if self.packed else self._padded(part) for part in passes(rows, self.budget)]
        trained = sum(row.trained for row in rows)
        return {"passes": made, "labels": torch.zeros(1, trained + 1, dtype=torch.long)}

    def _packed(self, rows: Sequence[EpisodeRow]) -> dict[str, Any]:
        """Return one row of all episodes: each episode, then its branches.

        `shift_labels` and `weights` are of the S trained tokens, shape (1, S), `layout.asked` has their places.
        """
        tokens: list[int] = []
        positions: list[int] = []
        parts: list[Sequences] = []
        targets: list[tuple[int, int, float]] = []  # the place that is asked, the token, the weight
        for row in rows:
            first = len(tokens)
            tokens += row.tokens
            positions += range(len(row.tokens))
            targets += [(first + at - 1, row.tokens[at], weight) for at, weight in self._trained(row)]
            for branch in row.branches:
                places = [first + branch.after - 1, *range(len(tokens), len(tokens) + len(branch.tokens) - 1)]
                targets += [(place, token, 1.0) for place, token in zip(places, branch.tokens, strict=True)]
                tokens += branch.tokens
                positions += range(branch.after, branch.after + len(branch.tokens))
            lengths = tuple(len(branch.tokens) for branch in row.branches)
            parts.append(Sequences(len(row.tokens), lengths, tuple(branch.after for branch in row.branches)))
        asked, labels, weights = zip(*targets, strict=True)
        if spare := -len(tokens) % _ROUND:
            tokens += [self.padding] * spare
            positions += range(spare)
            parts.append(Sequences(spare))
        return {
            "input_ids": torch.tensor([tokens]),
            "position_ids": torch.tensor([positions]),
            "shift_labels": torch.tensor([labels]),
            "weights": torch.tensor([weights]),
            "layout": Layout(tuple(parts), torch.tensor(asked)),
        }

    def _padded(self, rows: Sequence[EpisodeRow]) -> dict[str, Any]:
        """Return a padded row for each episode and each branch, shape (B, L); labels and weights are shifted."""
        alone = [one for row in rows for one in unbranched(row)]
        width = max(len(row.tokens) for row in alone)
        ids = torch.full((len(alone), width), self.padding)
        seen = torch.zeros_like(ids)
        labels = torch.full_like(ids, _IGNORED)
        weights = torch.zeros(ids.shape)
        for line, row in enumerate(alone):
            ids[line, : len(row.tokens)] = torch.tensor(row.tokens)
            seen[line, : len(row.tokens)] = 1
            for at, weight in self._trained(row):
                labels[line, at - 1] = row.tokens[at]
                weights[line, at - 1] = weight
        return {"input_ids": ids, "attention_mask": seen, "shift_labels": labels, "weights": weights}

    def _trained(self, row: EpisodeRow) -> list[tuple[int, float]]:
        """Return the places of an episode's trained tokens, with their weights."""
        found = [(at, 1.0) for start, stop in row.labels for at in range(start, stop)]
        if self.observation_weight:
            weight = self.observation_weight
            found += [(at, weight) for start, stop in row.observations for at in range(start, stop)]
        return found


class EpisodeTrainer(FirstStepTrains, Budget, SFTTrainer):  # type: ignore[misc]
    """TRL's supervised trainer on batches of `EpisodeCollator`."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return a batch's loss in nats a trained token, of which all passes but the last have gone backward."""
        assert not return_outputs
        parts = inputs["passes"]
        counted = num_items_in_batch if num_items_in_batch is not None else inputs["labels"].size(1) - 1
        scale = self.accelerator.num_processes if num_items_in_batch is not None else 1
        total = 0.0
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            if last:
                return self._loss(model, part) * scale / counted + total
            with self._not_the_last(model):
                loss = self._loss(model, part) * scale / counted
                self._backward(loss)
                total += loss.detach()
        raise AssertionError("a batch has a pass")

    def _loss(self, model: Any, part: dict[str, Any]) -> torch.Tensor:
        """Return the weighted sum of a pass's loss."""
        given = {name: value for name, value in part.items() if name != "weights"}
        outputs = model(**given, use_cache=False, fused_lm_head=True)
        weights = part["weights"]
        labels = weights == 1.0
        with torch.no_grad():
            right = (outputs.is_top1 & labels).sum() / labels.sum().clamp(min=1)
        self._metrics["train"]["mean_token_accuracy"].append(float(right))
        loss: torch.Tensor = -(outputs.log_probs * weights).sum()
        return loss
