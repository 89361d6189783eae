"""Training-step benchmark: one GRPO group, ours and TRL's in one run over a grid of shapes; time, memory, FLOPs.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.training_step --out runs/training-step

SmolLM2-135M-Instruct, fp32, random tokens. Every pass is of a process of its own, ours and TRL's of a shape one after
the other, so that both meet the same machine. Time is **processor time**; with several threads their waiting for each
other counts too. The floating-point limit is that of a large fp32 matrix product in the same process, before and after
the pass, in processor time as well. `--out` keeps the measurements, and a second run continues.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch

from act_gym.cli import run
from act_gym.config import parse
from act_gym.errors import UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.types import Record
from benchmarks.speed import passes
from trainers.dry_run import costs
from trainers.grpo.packing import pack
from trainers.sequences import Costs
from trainers.varlen import use

__all__ = ["Measured", "TrainingStepConfig", "main", "matmul_rate", "measure", "operations", "table"]

Kind = Literal["trl", "shared"]
KINDS: tuple[Kind, ...] = ("trl", "shared")
# Imported once, by the process that the measured ones are forked from.
_PRELOADED = [
    "trl.trainer.grpo_trainer",
    "trainers.grpo.shared_prompt",
    "trainers.run.checkpoints",
    "benchmarks.speed.passes",
]
_WARM_UP = (32, 8, 2)
_SIDE = 2048


@dataclass(frozen=True)
class TrainingStepConfig:
    """Measure the training pass over one group, ours and TRL's."""

    shapes: tuple[str, ...] = (
        "512/64/8",
        "256/64/4",
        "256/256/4",
        "256/64/16",
        "1024/128/8",
        "256/256/16",
        "2048/256/4",
        "2048/64/4",
    )
    """Prompt tokens, completion tokens and replies of each group."""
    rounds: int = 1
    """Pairs of passes of each shape."""
    checkpointing: bool = True
    """Recompute activations in the backward pass, as the recipes for GPUs set it; the one for a CPU does not."""
    stock_rows: int = 0
    """So many of TRL's rows at once, forward and backward, where a whole group does not fit into memory; 0 for all."""
    out: Path = Path("runs/training-step")
    """The folder of results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Record):
    """One pass.

    Attributes:
        shape: Prompt tokens, completion tokens, replies.
        kind: Whose.
        checkpointing: Whether activations were recomputed.
        round: Which pair of the shape it belongs to.
        rows: Sequences that went through the model.
        length: Tokens of each.
        seconds: Processor time.
        elapsed: Seconds on the clock of the wall.
        peak: Bytes without weights and gradients.
        operations: Floating-point operations of its matrix products.
        limit: Operations a second of processor time that a large matrix product reached.
        log_probability: Of all replies' tokens, summed.
        at_once: Rows of a pass, where the group is run in several; else 0.
    """

    shape: str
    kind: str
    checkpointing: bool
    round: int
    rows: int
    length: int
    seconds: float
    elapsed: float
    peak: int
    operations: float
    limit: float
    log_probability: float
    at_once: int = 0

    @property
    def share(self) -> float:
        """The share of the floating-point limit that the pass reached."""
        return self.operations / self.seconds / self.limit


def matmul_rate(side: int = _SIDE, rounds: int = 4) -> float:
    """Return the operations a second of processor time of a product of two square fp32 matrices, the best of some."""
    one, other = torch.rand(side, side), torch.rand(side, side)
    found = []
    for _ in range(rounds):
        started = time.process_time()
        torch.mm(one, other)
        found.append(2 * side**3 / (time.process_time() - started))
    return max(found)


def operations(shape: costs.Shape, tokens: float, pairs: float, asked: float, *, checkpointing: bool) -> float:
    """Return the operations of a pass with TRL's fused head.

    The backward pass costs twice the forward pass; attention and head recompute their scores in it, and with
    checkpointing the blocks run once more, up to their last product, which nothing needs.

    Args:
        shape: The model's.
        tokens: Of all sequences.
        pairs: Of tokens, that attention computes in each layer.
        asked: Tokens that the head is given; on a CPU all, unless a layout says which.
        checkpointing: Whether activations are recomputed.
    """
    head = 2 * shape.hidden * shape.vocabulary * asked
    blocks = (shape.token_flops - 2 * shape.hidden * shape.vocabulary) * tokens
    once = 4 * head + 3 * blocks + 3.5 * shape.pair_flops * pairs
    last = 2 * shape.layers * shape.hidden * shape.feed_forward * tokens
    return once + blocks - last + shape.pair_flops * pairs if checkpointing else once


def measure(kind: Kind, text: str, number: int, checkpointing: bool, at_once: int = 0) -> Measured:
    """Run one group in this process, which has not run another of this size."""
    shape = shape_of(text)
    made = passes.trainer(kind, *shape, checkpointing)
    passes.with_gradients(made.model)
    passes.run_pass(made, _WARM_UP)
    before = matmul_rate()
    watch = passes.Peak()
    with watch.watched():
        started, began = time.process_time(), time.perf_counter()
        log_probs = passes.run_pass(made, shape, at_once)
        seconds, elapsed = time.process_time() - started, time.perf_counter() - began
    after = matmul_rate()
    rows, length, pairs, asked = _work(kind, made, shape)
    return Measured(
        shape=text,
        kind=kind,
        checkpointing=checkpointing,
        round=number,
        rows=rows,
        length=length,
        seconds=seconds,
        elapsed=elapsed,
        peak=watch.bytes,
        operations=operations(
            costs.Shape.of(made.model.config), rows * length, pairs, asked, checkpointing=checkpointing
        ),
        limit=(before + after) / 2,
        log_probability=float(log_probs.double().sum()),
        at_once=at_once,
    )


def shape_of(text: str) -> passes.Shape:
    """Read prompt/completion/replies.

    Raises:
        UsageError: It is something else.
    """
    try:
        prompt, reply, group = map(int, text.split("/"))
    except ValueError:
        raise UsageError(f"{text!r} is no shape; expected prompt/completion/replies, such as 512/64/8.") from None
    return prompt, reply, group


def _work(kind: Kind, made: Any, shape: passes.Shape) -> tuple[int, int, float, int]:
    """Return how many sequences of how many tokens there are, the pairs attention computes, and the head's tokens."""
    if kind == "shared":
        model = Costs.of(made.model.config)
        packs = pack(*passes.group_of(*shape), shape[1], model, 0, by_sequence=use(made.model))
        if packs is not None:
            rows, length = packs.input_ids.shape
            return rows, length, packs.layout.pairs if packs.layout else rows * length**2, packs.labels.numel()
    rows, length = shape[2], shape[0] + shape[1]
    return rows, length, rows * length**2 / 2, rows * length  # rows of one length, so the kernel needs no mask


def table(found: Sequence[Measured]) -> str:
    """Return the measurements in Markdown: medians where there are several rounds."""
    lines = [
        "| prompt / reply / group | TRL, rows × tokens | ours | TRL, tokens/s | ours | TRL / ours | TRL, GB | ours | "
        "TRL, of the limit | ours |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for shape in dict.fromkeys(each.shape for each in found):
        theirs = [each for each in found if (each.shape, each.kind) == (shape, "trl")]
        ours = [each for each in found if (each.shape, each.kind) == (shape, "shared")]
        if not theirs or not ours:
            continue
        prompt, reply, group = shape_of(shape)
        tokens = group * (prompt + reply)
        sides = [theirs, ours]
        cells = [
            shape.replace("/", " / "),
            *(f"{side[0].rows} × {side[0].length:,}" for side in sides),
            *(f"{tokens / median(each.seconds for each in side):,.0f}" for side in sides),
            f"{median(each.seconds for each in theirs) / median(each.seconds for each in ours):.2f}",
            *(_memory(side) for side in sides),
            *(f"{median(each.share for each in side):.0%}" for side in sides),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _memory(side: Sequence[Measured]) -> str:
    told = f"{max(each.peak for each in side) / 1e9:.2f}"
    return f"{told} ({side[0].at_once} at once)" if side[0].at_once else told


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    arguments = parse(
        TrainingStepConfig, sys.argv[1:] if argv is None else argv, program="python -m benchmarks.speed.training_step"
    )
    file = arguments.out / "passes.jsonl"
    arguments.out.mkdir(parents=True, exist_ok=True)
    writer = RecordWriter(file)  # it cuts a torn line off
    found = [Measured.from_json(line) for line in read_records(file)]
    done = {(each.shape, each.kind, each.checkpointing, each.round) for each in found}
    started = multiprocessing.get_context("forkserver")
    started.set_forkserver_preload(_PRELOADED)
    for shape in arguments.shapes:
        for number in range(arguments.rounds):
            for kind in KINDS:
                if (shape, kind, arguments.checkpointing, number) in done:
                    continue
                at_once = arguments.stock_rows if kind == "trl" else 0
                with ProcessPoolExecutor(1, started) as pool:
                    one = pool.submit(measure, kind, shape, number, arguments.checkpointing, at_once).result()
                writer.write(one.to_json())
                found.append(one)
                sys.stderr.write(
                    f"{shape} {kind}: {one.seconds:.1f} s, {one.peak / 1e9:.2f} GB, {one.share:.0%} of the limit, "
                    f"load {os.getloadavg()[0]:.1f}\n"
                )
    sys.stdout.write(table([each for each in found if each.checkpointing == arguments.checkpointing]))
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
