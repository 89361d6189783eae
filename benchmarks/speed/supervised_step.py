"""Imitation step with packed and with padded samples: the same samples in one run.

    act-gym train collect --env act/ALFWorld-train --per-type 3 --out runs/packing/collect
    act-gym train pairs --episodes runs/packing/collect/episodes.jsonl --proposer random --out runs/packing/pairs
    OMP_NUM_THREADS=1 python -m benchmarks.speed.supervised_step --decisions runs/packing/pairs/decisions.jsonl

SmolLM2-135M-Instruct in fp32, by `trainers.imitation`'s own trainer: forward and backward pass and update, in processor
time. Both ways take the same samples in the same order, and both losses are shown.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from act_gym.cli import run
from act_gym.config import parse
from act_gym.io.jsonl import write_json
from benchmarks.speed.passes import Peak

__all__ = ["Steps", "SupervisedStepConfig", "main", "measure", "table"]

_PRELOADED = ["trl.trainer.sft_trainer", "trainers.imitation"]


@dataclass(frozen=True)
class SupervisedStepConfig:
    """Measure imitation steps, packed and padded."""

    decisions: Path = Path("runs/packing/pairs/decisions.jsonl")
    """Expert states."""
    micro_batches: tuple[int, ...] = (8, 16)
    """Samples in a step."""
    steps: int = 3
    """Steps of each."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: micro-batches of 16 need some 8 GB with it, and more without."""
    out: Path = Path("runs/packing")
    """The folder of results."""


@dataclass(frozen=True)
class Steps:
    """Some steps of one kind.

    Attributes:
        packed: Whether samples shared rows.
        micro_batch: Samples in a step.
        needed: Tokens of the samples.
        computed: Tokens that went through the model, padding among them.
        seconds: Processor time of each step.
        losses: Of each step, in nats a token.
        peak: Bytes on top of the loaded model; gradients and the optimizer's among them.
    """

    packed: bool
    micro_batch: int
    needed: int
    computed: int
    seconds: tuple[float, ...]
    losses: tuple[float, ...]
    peak: int


def measure(arguments: SupervisedStepConfig, micro_batch: int, packed: bool) -> Steps:
    """Run some steps in this process."""
    from transformers import TrainerCallback

    from agents.prompts import format_reply
    from trainers.data.questions import acting_questions, read_steps
    from trainers.imitation import ImitationConfig
    from trainers.run import checkpoints
    from trainers.run.logging import quiet
    from trainers.sft.answers import encode, trainer_of

    quiet()
    policy = checkpoints.load("smollm2", "fp32")
    questions = acting_questions(read_steps(arguments.decisions))
    settings = ImitationConfig(
        batch=micro_batch,
        micro_batch=micro_batch,
        steps=arguments.steps,
        precision="fp32",
        gradient_checkpointing=arguments.checkpointing,
        pack=packed,
        save_every=0,
        out=Path(mkdtemp()),
    )
    rows = [encode(policy, question, format_reply(question.expert_action)) for question in questions]
    trainer = trainer_of(settings, policy, rows)
    counts: list[tuple[int, int]] = []
    collate = trainer.data_collator

    def counting(samples: Any) -> Any:
        batch = collate(samples)
        counts.append((sum(len(sample["input_ids"]) for sample in samples), batch["input_ids"].numel()))
        return batch

    trainer.data_collator = counting
    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            marks.append(time.process_time())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append(time.process_time())

    trainer.add_callback(Clock())
    watch = Peak()
    with watch.watched():
        trainer.train()
    taken = counts[: len(marks) // 2]  # one more batch is made ready than is used
    return Steps(
        packed=packed,
        micro_batch=micro_batch,
        needed=sum(needed for needed, _ in taken),
        computed=sum(computed for _, computed in taken),
        seconds=tuple(end - begin for begin, end in zip(marks[::2], marks[1::2], strict=True)),
        losses=tuple(line["loss"] for line in trainer.state.log_history if "loss" in line),
        peak=watch.bytes,
    )


def table(found: Sequence[Steps]) -> str:
    """Return the measurements in Markdown, padded and packed."""
    lines = [
        "| micro-batch | tokens, padded | packed | seconds a step, padded | packed | padded / packed | GB, padded | "
        "packed | losses differ by |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for padded, packed in zip(found[::2], found[1::2], strict=True):
        both = (padded, packed)
        cells = [
            str(padded.micro_batch),
            *(f"{each.computed:,}" for each in both),
            *(f"{sum(each.seconds) / len(each.seconds):.1f}" for each in both),
            f"{sum(padded.seconds) / sum(packed.seconds):.2f}",
            *(f"{each.peak / 1e9:.2f}" for each in both),
            f"{max(abs(one - other) for one, other in zip(padded.losses, packed.losses, strict=True)):.1g}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    arguments = parse(
        SupervisedStepConfig,
        sys.argv[1:] if argv is None else argv,
        program="python -m benchmarks.speed.supervised_step",
    )
    started = multiprocessing.get_context("forkserver")
    started.set_forkserver_preload(_PRELOADED)
    found = []
    for micro_batch in arguments.micro_batches:
        for packed in (False, True):
            with ProcessPoolExecutor(1, started) as pool:
                found.append(pool.submit(measure, arguments, micro_batch, packed).result())
            sys.stderr.write(f"{found[-1]}\n")
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out / "steps.json", [vars(each) for each in found])
    sys.stdout.write(table(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
