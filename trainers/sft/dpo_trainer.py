"""TRL's DPO trainer on rows of tokens, with losses that do not depend on how a step is cut into micro-batches."""

from __future__ import annotations

from typing import Any

import torch
from trl import DPOTrainer

from trainers.run.schedule import FirstStepTrains

__all__ = ["TokenisedDPOTrainer"]


class TokenisedDPOTrainer(FirstStepTrains, DPOTrainer):  # type: ignore[misc, unused-ignore]
    """Takes rows that are tokens already; TRL would render each reply by the chat template once more.

    TRL averages preferences over the pairs of a micro-batch and its `sft` loss over the tokens of a micro-batch, and
    then averages over micro-batches. Here both are sums, divided by the totals of the whole optimizer step in
    all processes.
    """

    loss_weights: list[float]  # TRL's

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._loss_weights = list(self.loss_weights)
        self._in_step: torch.Tensor | None = None  # see `_counts`

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def get_batch_samples(self, *args: Any, **settings: Any) -> Any:
        """Return the micro-batches of the next step, as transformers does, and count their pairs and tokens."""
        batches, items = super().get_batch_samples(*args, **settings)
        if batches:
            here = torch.stack([_counts(batch) for batch in batches]).sum(dim=0).to(self.accelerator.device)
            self._in_step = self.accelerator.gather(here[None]).sum(dim=0)
        return batches, items

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **settings: Any) -> Any:
        """Return the loss of a micro-batch, weighted by its share of the step."""
        assert self._in_step is not None
        # transformers divides by the number of micro-batches, and the gradients of processes are averaged.
        parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes
        shares = parts * _counts(inputs).to(self._in_step) / self._in_step.clamp(min=1)
        pairs, tokens = shares.tolist()
        kinds = zip(self.loss_types, self._loss_weights, strict=True)
        self.loss_weights = [weight * (tokens if kind == "sft" else pairs) for kind, weight in kinds]
        return super().compute_loss(model, inputs, *args, **settings)


def _counts(batch: Any) -> torch.Tensor:
    """Return how many pairs a micro-batch holds, and how many tokens its preferred replies have."""
    preferred = batch["completion_mask"].chunk(2, dim=0)[0][:, 1:]
    return torch.stack([preferred.new_tensor(preferred.size(0)), preferred.sum()]).long()
