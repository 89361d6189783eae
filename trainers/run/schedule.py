"""Learning-rate schedule of every stage, and a fingerprint that detects whether a training changed any weight.

Transformers' schedules begin at a learning rate of 0, so the first step, and a training of one step, changes no weight.
Here the warm-up's first step has the rate 1 / (warm-up steps + 1) of the peak, as in nanoGPT.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["FirstStepTrains", "fingerprint", "rate"]


def rate(step: int, *, schedule: str, warmup: int, steps: int) -> float:
    """Return a step's learning rate as a share of the peak, above 0 in each of the steps.

    Args:
        step: From 0.
        schedule: `constant`, `linear` (to 0 after the last step) or `cosine` (the same).
        warmup: Steps in which the rate rises.
        steps: Steps of the whole training.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    left = max(0.0, (steps - step) / max(1, steps - warmup))
    if schedule == "linear":
        return left
    return 0.5 * (1 + math.cos(math.pi * (1 - left))) if schedule == "cosine" else 1.0


class FirstStepTrains:
    """Mixin for Transformers' trainers, listed before the trainer class, that uses the schedule of `rate`."""

    def create_scheduler(self: Any, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """Replace the schedule that Transformers makes; it keeps the optimizer and the number of warm-up steps."""
        made = super().create_scheduler(num_training_steps, optimizer)  # type: ignore[misc]
        schedule = str(self.args.lr_scheduler_type.value).removesuffix("_with_warmup")
        warmup = self.args.get_warmup_steps(num_training_steps)
        share = partial(rate, schedule=schedule, warmup=warmup, steps=num_training_steps)
        scheduler = LambdaLR(made.optimizer, share)
        self.lr_scheduler = scheduler
        return scheduler


def fingerprint(model: Any) -> list[tuple[int, int]]:
    """Return two checksums of the bits of each weight that is trained, of this process's share where it is sharded."""
    return [_checksums(getattr(weight, "ds_tensor", weight)) for weight in model.parameters() if weight.requires_grad]


def _checksums(weight: torch.Tensor) -> tuple[int, int]:
    size = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[weight.element_size()]
    bits = weight.detach().contiguous().view(-1).view(size)
    return int(bits.sum(dtype=torch.int64)), int(bits[::2].sum(dtype=torch.int64))
