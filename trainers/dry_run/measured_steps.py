"""`--measure-steps`: runs a few real steps of a training, throws them away, and says what the training would cost.

The stage is set up as always, in a temporary folder, on its real data and its real weights. Then three steps are run:
one on the longest questions, whose memory is the peak, and two on questions of all lengths, whose time is a step's.
`--dry-run` (`dry_run.py`) counts instead, and answers at once.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from act_gym.errors import UsageError
from trainers.dry_run.counting import Load, held
from trainers.dry_run.estimate import described, disk, precision_of, shape_of
from trainers.dry_run.sampled_steps import measured
from trainers.run import checkpoints, distributed
from trainers.run.interrupts import stopped_at_once

__all__ = ["estimable", "measure"]

T = TypeVar("T")
_GIB = 2**30


def estimable(train: Callable[[T], dict[str, Any]]) -> Callable[[T], dict[str, Any]]:
    """Let a stage's `train` count where its arguments say `dry_run`, and measure where they say `measure_steps`."""

    @wraps(train)
    def maybe(arguments: Any) -> dict[str, Any]:
        if arguments.dry_run and arguments.measure_steps:
            raise UsageError("--dry-run runs no step and --measure-steps runs some. Choose one of them.")
        if arguments.dry_run:
            return train(replace(arguments, resume=False))
        return _measured(train, arguments) if arguments.measure_steps else train(arguments)

    return maybe


def _measured(train: Callable[[Any], dict[str, Any]], arguments: Any) -> dict[str, Any]:
    _check_memory(arguments)
    with TemporaryDirectory(prefix="act-gym-measure-steps-") as folder, stopped_at_once(Path(folder)):
        # What is there to stop or forecast a real run would take longer than the steps that are measured.
        off = {"probe": 0, "forecast": 0, "save_every": 0, "report_to": "none", "resume": False, "force": True}
        known = {name: value for name, value in off.items() if hasattr(arguments, name)}
        try:
            return train(replace(arguments, out=Path(folder) / "run", **known))
        finally:
            gc.collect()


def _check_memory(arguments: Any) -> None:
    """Refuse to run steps of a model that does not fit."""
    shape = shape_of(checkpoints.find_model(arguments.model))
    if shape is None:
        return
    alone = Load(sequences=1, prompt=1, written=0, longest=1, micro_batch=1)
    states, _ = held(shape, arguments, alone, precision=precision_of(arguments))
    needed, there = states / (distributed.count() if distributed.uses_deepspeed() else 1), _available()
    if needed > there:
        raise UsageError(
            f"Cannot run steps of {arguments.model}: weights and optimizer need {needed / _GIB:,.1f} GiB of the "
            f"{there / _GIB:,.1f} GiB that are free. Count them with --dry-run, or train adapters (--lora-rank)."
        )


def _available() -> float:
    """Return the bytes of memory that are free for a model: the GPU's, or the machine's."""
    import psutil
    import torch

    return float(torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available)


def measure(trainer: Any, arguments: Any, stage: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a stage would do and cost; its trainer is used up.

    Args:
        trainer: Set up with the whole data.
        arguments: The program's.
        stage: Its name.
        extra: What the stage found out before.
    """
    lengths = _lengths(trainer)
    micro_batch = trainer.args.per_device_train_batch_size
    sequences = micro_batch * trainer.args.gradient_accumulation_steps * distributed.count()
    steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())[-1]
    found, _ = described(stage, arguments, lengths, sequences, micro_batch, steps, extra)
    questions = max(1, sequences // getattr(arguments, "num_generations", 1))
    cost = measured(trainer, lengths, questions, steps)
    return {**found, **cost, **disk(shape_of(checkpoints.find_model(arguments.model)), arguments)}


def _lengths(trainer: Any) -> list[int]:
    """Return how many tokens each row of the data has; of a GRPO question its prompt's."""
    rows, tokenizer = trainer.train_dataset, trainer.processing_class
    names = rows.column_names
    if "input_ids" in names:
        return [len(row) for row in rows["input_ids"]]
    if "prompt_ids" in names:
        parts = [rows[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids")]
        return [sum(map(len, row)) + len(row[0]) for row in zip(*parts, strict=True)]
    options = {"tokenize": False, "add_generation_prompt": True, **(trainer.args.chat_template_kwargs or {})}
    texts = [tokenizer.apply_chat_template(prompt, **options) for prompt in rows["prompt"]]
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []
