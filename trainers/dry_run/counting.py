"""What a stage would cost on a model that is not here or does not fit: its settings put into the counts of `costs.py`.

Everything is arithmetic; nothing is loaded. Seconds are those of an assumed device: read them as an order of magnitude.
`trainers/plan.py` plans a training on many GPUs in more detail, before there are data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainers.dry_run.costs import Shape, states_per_gpu

__all__ = ["ASSUMED", "Load", "adapters", "held", "operations", "seconds"]

_RATE, _MEMORY_RATE = 0.4 * 989e12, 0.5 * 3.35e12
ASSUMED = "an H100 at 40 % of its 989 TFLOP/s and half of its 3.35 TB/s"
"""The defaults of `trainers.plan`: NVIDIA's data sheet, dense bf16, SXM5; the shares are assumptions."""


@dataclass(frozen=True)
class Load:
    """One optimizer step.

    Attributes:
        sequences: Sequences in it, of all processes.
        prompt: Mean tokens of a sequence, those that it samples left out.
        written: Tokens that each sequence samples at most; 0 for supervised stages.
        longest: Tokens of the longest sequence, with what it samples.
        micro_batch: Sequences of one pass of one process.
        group: Sequences that share a prompt which is run once; 1 if none do.
        most: Tokens of a pass at most; 0 for no bound.
    """

    sequences: int
    prompt: float
    written: int
    longest: int
    micro_batch: int
    group: int = 1
    most: int = 0

    @property
    def tokens(self) -> float:
        """Tokens that go through the forward and backward pass."""
        return self.sequences * (self.prompt / self.group + self.written)

    def bounded(self, tokens: int) -> int:
        """Return how many of so many tokens a pass holds."""
        return min(tokens, self.most) if self.most else tokens


def adapters(shape: Shape, rank: int) -> int:
    """Return the weights of adapters on every linear layer of the blocks."""
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    hidden, wide = shape.hidden, shape.feed_forward
    sides = 2 * (hidden + queries) + 2 * (hidden + keys) + 3 * (hidden + wide)
    return shape.layers * rank * sides


def held(shape: Shape, arguments: Any, load: Load, *, precision: str) -> tuple[float, float]:
    """Return the bytes of weights, gradients and optimizer, which ZeRO-3 shares among processes, and each one's own.

    With adapters only theirs have gradients and an optimizer, in fp32. A process's own are what a pass keeps for the
    backward pass, and the logits with their gradient, in fp32.
    """
    small = precision == "bf16"
    if arguments.lora_rank:
        trained = adapters(shape, arguments.lora_rank)
        states = shape.parameters * (2 if small else 4) + sum(states_per_gpu(trained, 1, 0).values())
    else:
        states = sum(states_per_gpu(shape.parameters, 1, 0).values()) / (2 if small else 1)
    tokens = load.bounded(load.micro_batch * load.longest)
    width = 4 if precision == "fp32" else 2
    kept = shape.activation_bytes(tokens, width, checkpointing=arguments.gradient_checkpointing)
    logits = 2 * 4 * load.bounded(load.micro_batch * (load.written or load.longest)) * shape.vocabulary
    return states, kept + logits


def operations(shape: Shape, arguments: Any, load: Load) -> float:
    """Return a step's floating-point operations: forward and backward pass, recomputing, and sampling."""
    length = load.prompt + load.written
    passes = 4 if arguments.gradient_checkpointing else 3
    sampling = shape.forward_flops(load.tokens, length) if load.written else 0
    return passes * shape.forward_flops(load.tokens, length) + sampling


def seconds(shape: Shape, arguments: Any, load: Load, *, processes: int = 1) -> float:
    """Return a step's time on `ASSUMED` devices: its operations, and the weights read once for each sampled token."""
    reading = load.written * 2 * shape.parameters
    return operations(shape, arguments, load) / _RATE / processes + reading / _MEMORY_RATE
