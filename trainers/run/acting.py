"""The model in training as a policy that acts, and a block in which it may act without a trace in the training."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from agents.local.model import Policy

__all__ = ["acting_policy", "untouched"]


def acting_policy(trainer: Any, tokenizer: Any, name: str) -> Policy:
    """Return the model as it is in memory, with its adapters; to be used in a block of `untouched`."""
    model = trainer.model
    return Policy(model.get_base_model() if hasattr(model, "merge_and_unload") else model, tokenizer, name)


@contextmanager
def untouched(model: Any, *, bf16: bool = False) -> Iterator[None]:
    """Leave a model's modes and all random states as they were before the block, in which the model is evaluated.

    Args:
        model: As it is trained.
        bf16: Whether its arithmetic is in bf16 in the block, as in mixed training.
    """
    modes = [(module, module.training) for module in model.modules()]
    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu: Sequence[torch.Tensor] = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ()
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # One block for all games: weights are cast once, not in every pass.
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=bf16):
            model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        torch.set_rng_state(drawn[2])
        if on_gpu:
            torch.cuda.set_rng_state_all(list(on_gpu))
