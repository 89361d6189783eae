"""Forward and backward passes of one GRPO group, TRL's and ours, and of a supervised batch.

Shared by the benchmarks of the training step: trainers on SmolLM2-135M-Instruct in fp32, groups of random
tokens, and a process's memory at its peak.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from tempfile import mkdtemp
from typing import Any

import torch

from benchmarks.speed.clock import own_resident

__all__ = ["Peak", "Shape", "group_of", "run_pass", "trainer", "with_gradients"]

Shape = tuple[int, int, int]
"""Prompt tokens, completion tokens, replies in a group."""


@lru_cache(maxsize=1)  # each holds a model
def trainer(kind: str, prompt: int, reply: int, group: int, checkpointing: bool = False) -> Any:
    """Return a trainer of either class, `trl` or `shared`, that samples exactly `reply` tokens."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from trainers.grpo.shared_prompt import SharedPromptTrainer
    from trainers.run import checkpoints
    from trainers.run.logging import quiet

    quiet()
    policy = checkpoints.load("smollm2", "fp32")
    tokens = torch.randint(1_000, 40_000, (64, prompt), generator=torch.Generator().manual_seed(0))
    made = (SharedPromptTrainer if kind == "shared" else GRPOTrainer)(
        model=policy.model,
        reward_funcs=lambda completions, **_: [float(len(text) % 7) for text in completions],
        args=GRPOConfig(
            output_dir=mkdtemp(),
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            bf16=False,
            activation_checkpointing=checkpointing,
            disable_tqdm=True,
            num_generations=group,
            per_device_train_batch_size=group,
            max_completion_length=reply,
            generation_kwargs={"min_new_tokens": reply},
            learning_rate=1e-6,
            save_strategy="no",
            max_steps=1,
        ),
        train_dataset=Dataset.from_list([{"prompt": policy.tokenizer.decode(row)} for row in tokens]),
        processing_class=policy.tokenizer,
    )
    made.model.train()
    if checkpointing:
        made.model.activation_checkpointing_enable()  # as `train` does before its first step
    return made


def group_of(prompt: int, reply: int, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and mask of one group, shape (group, prompt + reply)."""
    generator = torch.Generator().manual_seed(0)
    shared = torch.randint(1_000, 40_000, (1, prompt), generator=generator).repeat(group, 1)
    ids = torch.cat([shared, torch.randint(1_000, 40_000, (group, reply), generator=generator)], dim=1)
    return ids, torch.ones_like(ids)


def run_pass(made: Any, shape: Shape, at_once: int = 0) -> torch.Tensor:
    """Run one group forward and backward, and return its log-probabilities, shape (group, reply).

    Args:
        made: A trainer.
        shape: The group's.
        at_once: So many rows forward and backward before the next ones; 0 for all.
    """
    found = []
    ids, mask = (tensor.to(made.accelerator.device) for tensor in group_of(*shape))
    size = at_once or len(ids)
    for rows, seen in zip(torch.split(ids, size), torch.split(mask, size), strict=True):
        one = made._get_per_token_logps_and_entropies(made.model, rows, seen, shape[1], compute_entropy=True)[0]
        one.sum().backward()
        found.append(one.detach())
    return torch.cat(found)


def with_gradients(model: Any) -> None:
    """Give every weight a gradient of zeros, so that a pass's own memory is what comes on top."""
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)


class Peak:
    """The memory that something needs at its peak, on top of what the process had.

    Attributes:
        bytes: So many, when it is over.
    """

    def __init__(self) -> None:
        self.bytes = 0

    @contextmanager
    def watched(self, every: float = 0.02) -> Iterator[None]:
        """Watch while a block runs, looking every so many seconds."""
        before = own_resident()
        done = threading.Event()

        def watch() -> None:
            while not done.wait(every):
                self.bytes = max(self.bytes, own_resident() - before)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
