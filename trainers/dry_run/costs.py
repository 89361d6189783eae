"""Training costs of a decoder: parameters, floating-point operations, bytes held and sent.

Each function is a count from a model's shape, and `tests/trainers/dry_run/test_costs.py` compares it with a real model,
DeepSpeed and PyTorch's own counter. Seconds are those of an assumed device: an order of magnitude. `trainers/plan.py`
plans a training on many GPUs.

"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from act_gym.errors import UsageError

if TYPE_CHECKING:
    from trainers.run.config import ModelSettings

__all__ = [
    "ASSUMED",
    "SHAPES",
    "Load",
    "Shape",
    "Stage",
    "Traffic",
    "adapters",
    "gathered_parameters",
    "held",
    "operations",
    "seconds",
    "states_per_gpu",
    "traffic",
]


Stage = Literal[0, 2, 3]
"""How far training states are sharded over the GPUs: 0 not at all (DDP), or DeepSpeed's ZeRO-2 or ZeRO-3."""


@dataclass(frozen=True)
class Shape:
    """A decoder with grouped-query attention and a gated feed-forward, as Llama, Qwen3, Olmo and SmolLM2 are.

    Attributes:
        hidden: Channels of the residual stream.
        layers: Blocks.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Channels of a head.
        feed_forward: Channels inside the feed-forward.
        vocabulary: Tokens.
        tied: Whether the output matrix is the embedding.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, model_config: Any) -> Shape:
        """Read a transformers configuration, or the content of its config.json."""

        def read(name: str, default: Any = None) -> Any:
            if isinstance(model_config, Mapping):
                return model_config.get(name, default)
            return getattr(model_config, name, default)

        hidden, heads = read("hidden_size"), read("num_attention_heads")
        return cls(
            hidden=hidden,
            layers=read("num_hidden_layers"),
            heads=heads,
            kv_heads=read("num_key_value_heads") or heads,
            head_dim=read("head_dim") or hidden // heads,
            feed_forward=read("intermediate_size") or 4 * hidden,
            vocabulary=read("vocab_size"),
            tied=bool(read("tie_word_embeddings", False)),
        )

    @classmethod
    def read(cls, path: Path) -> Shape:
        """Read a model's config.json, or the folder that holds it.

        Raises:
            UsageError: It cannot be read, or is not of a decoder that can be counted.
        """
        file = path / "config.json" if path.is_dir() else path
        try:
            return cls.of(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as cause:
            raise UsageError(f"Cannot count {file}: {cause}. Expected the config.json of a decoder.") from cause

    @classmethod
    def about(cls, parameters: float) -> Shape:
        """Return a shape with about so many parameters: the published one nearest in size, with other layers."""
        nearest = min(SHAPES.values(), key=lambda shape: abs(shape.parameters - parameters))
        rest = parameters - nearest.embedding_parameters
        return replace(nearest, layers=max(1, round(rest / nearest.layer_parameters)))

    @property
    def embedding_parameters(self) -> int:
        """Weights of the embedding and the output matrix."""
        return self.hidden * self.vocabulary * (1 if self.tied else 2)

    @property
    def layer_parameters(self) -> int:
        """Weights of one block's matrices; norms, a few thousandths of a per cent, are left out."""
        channels = self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.hidden * (channels + 3 * self.feed_forward)

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.embedding_parameters + self.layers * self.layer_parameters

    @property
    def token_flops(self) -> int:
        """Operations of a forward pass for each token: two for each weight it is multiplied with."""
        return 2 * (self.layers * self.layer_parameters + self.hidden * self.vocabulary)

    @property
    def pair_flops(self) -> int:
        """Operations of a forward pass for each pair of a token and a place it may look at."""
        return 4 * self.layers * self.heads * self.head_dim

    def forward_flops(self, tokens: float, length: float) -> float:
        """Return the operations of a forward pass over tokens in sequences of a length, the mask not used to save."""
        return tokens * (self.token_flops + self.pair_flops * length)

    def cache_bytes(self, tokens: float, width: int = 2) -> float:
        """Return the bytes of the keys and values of so many tokens, of `width` bytes each."""
        return tokens * 2 * self.layers * self.kv_heads * self.head_dim * width

    def activation_bytes(self, tokens: float, width: int = 2, *, checkpointing: bool = True) -> float:
        """Return the bytes that a forward pass keeps for the backward pass, without the logits.

        Args:
            tokens: Of all sequences of the pass.
            width: Bytes of a number.
            checkpointing: Keep each block's input and recompute one block at a time.
        """
        # A block's input, two norms (each keeps its input, the normed input and what it multiplies with), queries
        # before and after rotation, keys, values, attention's output, and gate, its activation, up and their product.
        inside = 5 * self.hidden + self.head_dim * (3 * self.heads + 3 * self.kv_heads) + 4 * self.feed_forward
        if not checkpointing:
            return tokens * self.layers * inside * width
        return tokens * ((self.layers + 2) * self.hidden + inside) * width  # two for the last norm


SHAPES: Mapping[str, Shape] = {
    "smollm2-135m": Shape(576, 30, 9, 3, 64, 1536, 49152, tied=True),
    "qwen3-4b": Shape(2560, 36, 32, 8, 128, 9728, 151936, tied=True),
    "qwen3-8b": Shape(4096, 36, 32, 8, 128, 12288, 151936, tied=False),
    "olmo-3-7b": Shape(4096, 32, 32, 32, 128, 11008, 100278, tied=False),
    "qwen3-32b": Shape(5120, 64, 64, 8, 128, 25600, 151936, tied=False),
    "llama3-70b": Shape(8192, 80, 64, 8, 128, 28672, 128256, tied=False),
}
"""Shapes by name, from the models' published config.json."""


_LIVE = 1e9  # DeepSpeed's stage3_max_live_parameters


def gathered_parameters(shape: Shape) -> float:
    """Return how many weights ZeRO-3 holds whole at once at most: DeepSpeed's limit, or one larger matrix or block."""
    return min(shape.parameters, max(_LIVE, shape.hidden * shape.vocabulary, shape.layer_parameters))


def states_per_gpu(parameters: float, gpus: int, stage: Stage, *, mixed: bool = True) -> dict[str, float]:
    """Return the bytes that one GPU holds through a whole training with AdamW.

    Args:
        parameters: Trained weights.
        gpus: That share them.
        stage: How far.
        mixed: bf16 weights and gradients, and fp32 copies in the optimizer, as DeepSpeed does for
            `--precision mixed`; else all in fp32.

    Returns:
        `weights`, `gradients` and `optimizer`: the fp32 copy, where there is one, and Adam's two moments.
    """
    width = 2 if mixed and stage else 4
    master = 4 if stage else 0  # DeepSpeed keeps one also for fp32 weights
    return {
        "weights": width * parameters / (gpus if stage == 3 else 1),
        "gradients": width * parameters / (gpus if stage else 1),
        "optimizer": (master + 8) * parameters / (gpus if stage else 1),
    }


@dataclass(frozen=True)
class Traffic:
    """Bytes that one GPU receives.

    Attributes:
        per_pass: In every forward and backward pass.
        per_step: In every optimizer step, in addition.
    """

    per_pass: float
    per_step: float


def traffic(parameters: float, gpus: int, stage: Stage, *, width: int = 2) -> Traffic:
    """Return the traffic of sharding in bytes received by each GPU.

    ZeRO-3 gathers all weights for the forward pass and again for the backward pass, and scatters the summed
    gradients; below a billion weights DeepSpeed keeps them in between. ZeRO-2 sums gradients in every pass, which is
    a scatter and a gather, and gathers the new weights once a step. DDP sums them in a step's last pass.

    Args:
        parameters: Trained weights.
        gpus: That share them.
        stage: How far.
        width: Bytes of a weight and of a gradient.
    """
    once = width * parameters * (gpus - 1) / gpus
    if stage == 3:
        return Traffic(per_pass=3 * once, per_step=0.0)
    if stage == 2:
        return Traffic(per_pass=2 * once, per_step=once)
    return Traffic(per_pass=0.0, per_step=2 * once)


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


def held(shape: Shape, config: ModelSettings, load: Load, *, precision: str) -> tuple[float, float]:
    """Return the bytes of weights, gradients and optimizer, which ZeRO-3 shares among processes, and each one's own.

    With adapters only theirs have gradients and an optimizer, in fp32. A process's own are what a pass keeps for the
    backward pass, and the logits with their gradient, in fp32.
    """
    small = precision == "bf16"
    if config.lora_rank:
        trained = adapters(shape, config.lora_rank)
        states = shape.parameters * (2 if small else 4) + sum(states_per_gpu(trained, 1, 0).values())
    else:
        states = sum(states_per_gpu(shape.parameters, 1, 0).values()) / (2 if small else 1)
    tokens = load.bounded(load.micro_batch * load.longest)
    width = 4 if precision == "fp32" else 2
    kept = shape.activation_bytes(tokens, width, checkpointing=config.gradient_checkpointing)
    logits = 2 * 4 * load.bounded(load.micro_batch * (load.written or load.longest)) * shape.vocabulary
    return states, kept + logits


def operations(shape: Shape, config: ModelSettings, load: Load) -> float:
    """Return a step's floating-point operations: forward and backward pass, recomputing, and sampling."""
    length = load.prompt + load.written
    passes = 4 if config.gradient_checkpointing else 3
    sampling = shape.forward_flops(load.tokens, length) if load.written else 0
    return passes * shape.forward_flops(load.tokens, length) + sampling


def seconds(shape: Shape, config: ModelSettings, load: Load, *, processes: int = 1) -> float:
    """Return a step's time on `ASSUMED` devices: its operations, and the weights read once for each sampled token."""
    reading = load.written * 2 * shape.parameters
    return operations(shape, config, load) / _RATE / processes + reading / _MEMORY_RATE
