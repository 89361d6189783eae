"""Training planner: estimates memory per GPU and time per step from counted operations.

    act-gym train plan --parameters 8e9 --gpus 8
    act-gym train plan --model models/Qwen3-8B --gpus 8

Every line shows its arithmetic. Counts come from `trainers/dry_run/costs.py`, which is tested; times are counts
over a machine's published rates, at shares of them that are assumed (`--efficiency`, `--decode-efficiency`). So
memory can be relied on more than times.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from act_gym.cli import run
from act_gym.config import Bound, Positive, PositiveFloat, check_bounds, parse
from act_gym.errors import UsageError
from trainers.dry_run.costs import SHAPES, Shape, gathered_parameters, states_per_gpu, traffic
from trainers.sequences import Sequences

__all__ = ["PlanConfig", "main", "planned"]

_GB = 1e9
_Part = Annotated[float, Bound(above=0, most=1)]


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Plan a GRPO stage from counted operations and bytes; the machine's defaults are an H100's (SXM, 80 GB)."""

    parameters: PositiveFloat = 8e9
    """Weights; the published shape nearest in size is taken, with other layers."""

    model: str = ""
    """Count this model instead: its folder, its config.json, or a published shape's name such as qwen3-8b."""

    gpus: Annotated[int, Bound(least=2)] = 8
    """GPUs, one process each."""

    gpus_per_node: Positive = 8
    """GPUs of one machine."""

    zero: Literal[2, 3] = 3
    """DeepSpeed's stage."""

    prompt: Positive = 1024
    """Tokens of a prompt."""

    completion: Positive = 512
    """Tokens of a reply."""

    num_generations: Positive = 8
    """Replies in a group."""

    groups: Positive = 32
    """Questions in one optimizer step."""

    micro_batch: Positive = 8
    """Sequences in one forward and backward pass of one GPU."""

    shared_prompt: bool = True
    """Run a group's prompt once."""

    checkpointing: bool = True
    """Recompute activations."""

    tensor_parallel: Positive = 1
    """GPUs that hold the generating model together, as vLLM's; 1 is also generation without vLLM."""

    questions: Positive = 10240
    """Questions of the stage."""

    epochs: PositiveFloat = 3.0
    """Passes over them."""

    memory: PositiveFloat = 80.0
    """GB of one GPU."""

    teraflops: PositiveFloat = 989.0
    """bf16 operations a second of one GPU, in 10^12, without sparsity."""

    memory_rate: PositiveFloat = 3350.0
    """GB a second between a GPU and its memory."""

    link: PositiveFloat = 450.0
    """GB a second that a GPU receives from others in its machine."""

    network: PositiveFloat = 50.0
    """GB a second that a GPU's share of the network receives from other machines."""

    efficiency: _Part = 0.4
    """Assumed share of `teraflops` in the training pass and in reading prompts."""

    decode_efficiency: _Part = 0.5
    """Assumed share of `memory_rate` when replies are written token by token."""


def planned(settings: PlanConfig) -> str:
    """Return the plan as Markdown.

    Raises:
        UsageError: The settings do not fit together.
    """
    _check(settings)
    shape = _shape(settings)
    lines = [
        f"### {shape.parameters / 1e9:.1f}B weights on {settings.gpus} GPUs, ZeRO-{settings.zero}",
        "",
        f"{shape.layers} blocks of {shape.hidden} channels, {shape.heads} heads ({shape.kv_heads} of keys) of "
        f"{shape.head_dim}, feed-forward {shape.feed_forward}, {shape.vocabulary} tokens"
        f"{', tied' if shape.tied else ''}; N = {shape.parameters / 1e9:.2f}·10⁹.",
        "",
        *_memory(settings, shape),
        "",
        *_time(settings, shape),
    ]
    return "\n".join(lines) + "\n"


def _check(s: PlanConfig) -> None:
    sequences = s.groups * s.num_generations
    check_bounds(s)
    if s.gpus > s.gpus_per_node and s.gpus % s.gpus_per_node:
        raise UsageError(f"{s.gpus} GPUs are not whole machines of {s.gpus_per_node}.")
    if s.gpus % s.tensor_parallel:
        raise UsageError(f"--tensor-parallel {s.tensor_parallel} does not divide {s.gpus} GPUs.")
    if sequences % (s.gpus * s.micro_batch):
        raise UsageError(f"{sequences} replies a step are not whole passes of {s.micro_batch} on {s.gpus} GPUs.")


def _shape(settings: PlanConfig) -> Shape:
    if not settings.model:
        return Shape.about(settings.parameters)
    if settings.model in SHAPES:
        return SHAPES[settings.model]
    return Shape.read(Path(settings.model).expanduser())


def _rows(s: PlanConfig) -> tuple[int, int, str]:
    """Return the rows of one pass of one GPU, the tokens of a row, and how all tokens are counted."""
    if not s.shared_prompt:
        return s.micro_batch, s.prompt + s.completion, f"{s.micro_batch} × ({s.prompt} + {s.completion})"
    packs = max(1, s.micro_batch // s.num_generations)
    length = s.prompt + s.micro_batch // packs * s.completion
    return packs, length, f"{packs} × {s.prompt} + {s.micro_batch} × {s.completion}"


def _pairs(s: PlanConfig) -> float:
    """Return the pairs of tokens that attention computes in one pass of one GPU, in each layer."""
    packs, length, _ = _rows(s)
    if not s.shared_prompt:
        return packs * length**2
    return packs * Sequences(s.prompt, (s.completion,) * (s.micro_batch // packs)).pairs


def _memory(s: PlanConfig, shape: Shape) -> Iterator[str]:
    n, w = shape.parameters, s.gpus
    held = states_per_gpu(n, w, s.zero)
    packs, length, how = _rows(s)
    tokens = packs * length
    live = gathered_parameters(shape)
    activations = shape.activation_bytes(tokens, checkpointing=s.checkpointing)
    logits = 2 * 4 * s.micro_batch * s.completion * shape.vocabulary
    share = f" / {w}"
    rows = [
        ("weights, bf16", f"2 N{share if s.zero == 3 else ''}", held["weights"]),
        ("gradients, bf16", f"2 N{share}", held["gradients"]),
        ("optimizer: fp32 weights and Adam's two moments", f"(4 + 8) N{share}", held["optimizer"]),
    ]
    if s.zero == 3:
        rows.append(("weights gathered for the moment", f"2 × {live / 1e9:.2f}·10⁹", 2 * live))
    rows += [
        (f"activations of {how} = {tokens:,.0f} tokens", "kept of each block", activations),
        ("logits and their gradient, fp32", f"2 × 4 × {s.micro_batch * s.completion:,} × {shape.vocabulary}", logits),
    ]
    training = sum(number for *_, number in rows)
    yield from _table("training pass: held on each GPU", rows, "together", training)
    yield _verdict(training, s.memory, "the training pass")
    yield ""
    per_gpu = s.groups * s.num_generations / w
    writing = 2 * n / s.tensor_parallel
    cache = shape.cache_bytes(per_gpu * (s.prompt + s.completion))
    states = sum(held.values())
    rows = [
        ("training states, as above", "they stay", states),
        ("whole weights, bf16", f"2 N / {s.tensor_parallel}", writing),
        (
            "cache of keys and values",
            f"{per_gpu:g} × ({s.prompt} + {s.completion}) × {shape.cache_bytes(1):,.0f} B",
            cache,
        ),
    ]
    writes = states + writing + cache
    yield from _table("writing replies: held on each GPU", rows, "together", writes)
    yield _verdict(writes, s.memory, "writing replies")
    yield f"Colocated vLLM needs a `--vllm-memory` of {(writing + cache) / _GB / s.memory:.2f} at least."


def _verdict(needed: float, memory: float, what: str) -> str:
    share = needed / _GB / memory
    if share <= 0.9:
        return f"{what[0].upper()}{what[1:]} takes {share:.0%} of {memory:g} GB: it fits."
    return f"**{what[0].upper()}{what[1:]} takes {share:.0%} of {memory:g} GB: it does not fit.**"


def _time(s: PlanConfig, shape: Shape) -> Iterator[str]:
    sequences = s.groups * s.num_generations
    per_gpu = sequences / s.gpus
    passes = sequences // (s.gpus * s.micro_batch)
    packs, length, _ = _rows(s)
    tokens = packs * length
    n, rate = shape.parameters, s.teraflops * 1e12 * s.efficiency
    factor = 4 if s.checkpointing else 3
    pairs = _pairs(s)
    training = passes * factor * (shape.token_flops * tokens + shape.pair_flops * pairs)
    sent = traffic(n, s.gpus, s.zero)
    # Generation needs whole weights; under ZeRO-2 every GPU holds them already.
    handed = 2 * n * (s.gpus - 1) / s.gpus if s.zero == 3 else 0.0
    moved, link = passes * sent.per_pass + sent.per_step + handed, _link(s)
    reading = per_gpu * s.prompt / (s.num_generations if s.shared_prompt else 1)
    read = shape.forward_flops(reading, s.prompt)
    # Every token reads the weights once for all replies of the batch, and each reply's cache.
    together = per_gpu * s.tensor_parallel
    cached = shape.cache_bytes(together * (s.prompt + s.completion / 2))
    written = s.completion * (2 * n + cached) / s.tensor_parallel
    decode = s.memory_rate * 1e9 * s.decode_efficiency
    seconds = {"read": read / rate, "write": written / decode, "train": training / rate, "move": moved / (link * 1e9)}
    flops = f"({shape.token_flops / 1e9:.1f}·10⁹ + {shape.pair_flops / 1e6:.2f}·10⁶ × length)"
    rows = [
        (
            f"prompts read: {reading:,.0f} tokens × {flops}",
            f"{read / 1e15:.3f}·10¹⁵ / {rate / 1e12:.0f}·10¹²",
            seconds["read"],
        ),
        (
            f"replies written: {s.completion} × (2 N + {cached / _GB:.1f} GB of cache) / {s.tensor_parallel}",
            f"{written / 1e12:.2f}·10¹² B / {decode / 1e12:.2f}·10¹²",
            seconds["write"],
        ),
        (
            f"training: {passes} passes × {factor} × ({tokens:,.0f} tokens × {shape.token_flops / 1e9:.1f}·10⁹ + "
            f"{pairs / 1e6:.1f}·10⁶ pairs × {shape.pair_flops / 1e6:.2f}·10⁶)",
            f"{training / 1e15:.2f}·10¹⁵ / {rate / 1e12:.0f}·10¹²",
            seconds["train"],
        ),
        (
            f"sharing: {passes} × {sent.per_pass / _GB:.1f} GB + {(sent.per_step + handed) / _GB:.1f} GB received",
            f"{moved / _GB:.0f} GB / {link:g} GB/s",
            seconds["move"],
        ),
    ]
    step = seconds["read"] + seconds["write"] + max(seconds["train"], seconds["move"])
    yield f"| a step of {s.groups} questions × {s.num_generations} replies, on each GPU | | seconds |"
    yield "|---|---|--:|"
    for what, arithmetic, number in rows:
        yield f"| {what} | {arithmetic} | {number:.2f} |"
    yield f"| together; sharing overlaps with the training pass | | **{step:.1f}** |"
    yield ""
    steps = int(s.questions * s.epochs / s.groups)
    slower = "sharing" if seconds["move"] > seconds["train"] else "arithmetic"
    yield (
        f"The training pass waits for {slower}. {s.questions:,} questions × {s.epochs:g} epochs / {s.groups} = "
        f"{steps:,} steps: {steps * step / 3600:.1f} hours."
    )


def _link(s: PlanConfig) -> float:
    """Return the GB a second that a GPU receives from the others."""
    # Among machines the data of a whole machine comes through all its network cards at once.
    return s.link if s.gpus <= s.gpus_per_node else min(s.link, s.network * s.gpus_per_node)


def _table(title: str, rows: Sequence[tuple[str, str, float]], last: str, total: float) -> Iterator[str]:
    yield f"| {title} | | GB |"
    yield "|---|---|--:|"
    for what, arithmetic, number in rows:
        yield f"| {what} | {arithmetic} | {number / _GB:.1f} |"
    yield f"| {last} | | **{total / _GB:.1f}** |"
    yield ""


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    sys.stdout.write(planned(parse(PlanConfig, argv, program="act-gym train plan")))
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
