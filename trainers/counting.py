"""What a training costs, counted from the shape of its model: bytes held, operations done, seconds assumed.

For models that are not here or do not fit. Everything is arithmetic; nothing is loaded. Counting leaves out what
libraries waste, so read the numbers as the right order of magnitude.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["KNOWN", "Accelerator", "Load", "Shape", "assumed", "memory", "operations"]


@dataclass(frozen=True)
class Shape:
    """A decoder's measures, under the names of its configuration file."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tie_word_embeddings: bool = False

    @classmethod
    def read(cls, folder: Path) -> Shape | None:
        """Return the shape that a model folder's config.json tells; None if there is none that can be understood."""
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            config = config.get("text_config", config)
            heads = config["num_attention_heads"]
            return cls(
                hidden_size=config["hidden_size"],
                intermediate_size=config["intermediate_size"],
                num_hidden_layers=config["num_hidden_layers"],
                num_attention_heads=heads,
                num_key_value_heads=config.get("num_key_value_heads") or heads,
                head_dim=config.get("head_dim") or config["hidden_size"] // heads,
                vocab_size=config["vocab_size"],
                tie_word_embeddings=bool(config.get("tie_word_embeddings")),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def linear(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of the linear layers of one block."""
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        hidden, wide = self.hidden_size, self.intermediate_size
        return (
            (hidden, queries),
            (hidden, keys),
            (hidden, keys),
            (queries, hidden),
            *[(hidden, wide)] * 2,
            (wide, hidden),
        )

    @property
    def block_weights(self) -> int:
        """Weights of all blocks, without embeddings and norms."""
        return self.num_hidden_layers * sum(inputs * outputs for inputs, outputs in self.linear)

    @property
    def weights(self) -> int:
        """All weights, norms left out."""
        return self.block_weights + self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)

    def adapter_weights(self, rank: int) -> int:
        """Weights of adapters on every linear layer."""
        return self.num_hidden_layers * rank * sum(inputs + outputs for inputs, outputs in self.linear)


# From their config.json on the Hugging Face hub; they come to the 8.2, 4.0 and 7.3 billion weights that stand there.
KNOWN: dict[str, Shape] = {
    "qwen3-8b": Shape(4096, 12288, 36, 32, 8, 128, 151936),
    "qwen3-4b": Shape(2560, 9728, 36, 32, 8, 128, 151936, tie_word_embeddings=True),
    "olmo-3-7b-instruct": Shape(4096, 11008, 32, 32, 32, 128, 100278),
}


@dataclass(frozen=True)
class Accelerator:
    """What is assumed of a device.

    Attributes:
        name: Whose numbers these are.
        operations: Floating-point operations a second that training reaches.
        bandwidth: Bytes of memory a second that sampling reaches.
    """

    name: str
    operations: float
    bandwidth: float


H100 = Accelerator("an H100 at 40 % of its 989 TFLOP/s and half of its 3.35 TB/s", 0.4 * 989e12, 0.5 * 3.35e12)
"""NVIDIA's data sheet: dense bf16 and memory of the SXM5 version. The shares are what well-kept runs report."""


@dataclass(frozen=True)
class Load:
    """One optimizer step as counted.

    Attributes:
        sequences: Sequences in it.
        tokens: Tokens that go through the forward and backward pass.
        written: Tokens that each sequence samples before; 0 for supervised stages.
        longest: Tokens of the longest sequence.
        micro_batch: Sequences of one forward pass on one device.
    """

    sequences: int
    tokens: float
    written: int
    longest: int
    micro_batch: int


def memory(shape: Shape, arguments: Any, load: Load, *, precision: str) -> tuple[float, float]:
    """Return the bytes of weights, gradients and optimizer, which ZeRO-3 shares among processes, and each one's own.

    Weights, gradients and AdamW's two moments are 16 bytes a weight in fp32 and mixed, 8 in bf16; with adapters
    only theirs count so, in fp32. Activations are 34 bytes for each token, layer and channel in bf16 (Korthikanti
    et al., arXiv 2205.05198, without attention scores), twice that in fp32; recomputing leaves 2 of them and one
    layer's. Logits are held three times in fp32.
    """
    held = {"fp32": 16.0, "mixed": 16.0, "bf16": 8.0}[precision]
    if arguments.lora_rank:
        static = shape.weights * (2 if precision == "bf16" else 4) + shape.adapter_weights(arguments.lora_rank) * 16
    else:
        static = shape.weights * held
    tokens = load.micro_batch * load.longest
    width = 2 if precision == "fp32" else 1
    layers = shape.num_hidden_layers
    per_channel = 34 + 2 * layers if arguments.gradient_checkpointing else 34 * layers
    activations = tokens * shape.hidden_size * per_channel * width
    predicted = load.micro_batch * (load.written or load.longest)
    return static, activations + predicted * shape.vocab_size * 12


def operations(shape: Shape, arguments: Any, load: Load) -> float:
    """Return a step's floating-point operations: forward and backward, recomputing, attention, and sampling."""
    factor = 8 if arguments.gradient_checkpointing else 6
    attention = 2 * shape.num_hidden_layers * shape.num_attention_heads * shape.head_dim
    mean = load.tokens / load.sequences
    passes = load.tokens * factor * (shape.weights + attention * mean / 2)
    return passes + 2 * shape.weights * load.sequences * load.written


def assumed(shape: Shape, arguments: Any, load: Load, *, processes: int = 1, device: Accelerator = H100) -> float:
    """Return the seconds of a step on assumed devices: operations, and the weights read once for each sampled token."""
    reading = load.written * shape.weights * 2 / device.bandwidth
    return operations(shape, arguments, load) / device.operations / processes + reading
