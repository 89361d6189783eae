"""`--measure-steps`: runs three real steps of a training, discards them, and extrapolates its time and memory.

The stage is set up in a temporary folder with its real data and weights. One step takes the longest questions, whose
memory is the peak; two take questions of all lengths, whose time is a step's. `--dry-run` counts instead, at once.

"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from act_gym.errors import UsageError
from trainers.dry_run.costs import Load, held
from trainers.dry_run.estimate import described, disk, precision_of, shape_of
from trainers.run import checkpoints, distributed
from trainers.run.config import GroupSettings, StageConfig
from trainers.run.logging import note

__all__ = ["MEASURED_STEPS", "estimable", "measure", "measured", "stopped_at_once", "subset"]


@contextlib.contextmanager
def stopped_at_once(folder: Path) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end this process at once, with exit status 130 or 143; `folder` is removed first.

    Use it only for work that keeps nothing. Outside the main thread, where Python allows no handlers, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def wait() -> None:
        received = reader.recv(1)  # the number of a signal, or nothing when the block has ended
        if received:
            with contextlib.suppress(OSError):
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nStopped. Nothing was kept.\n")
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(128 + received[0])

    watcher = threading.Thread(target=wait, daemon=True)
    # The C handler writes the number at once; Python's own, which would come later, has nothing left to do.
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        writer.close()
        watcher.join()
        reader.close()


MEASURED_STEPS = 2
_GIB = 2**30


def subset(lengths: Sequence[int], questions: int, block: int = 1) -> list[int]:
    """Return which rows the measured steps take: first the longest, then rows of all lengths, evenly spread.

    Args:
        lengths: Of each row.
        questions: Rows of one step.
        block: So many neighbouring rows stay together.

    Returns:
        `1 + MEASURED_STEPS` times `questions` places; some come twice where there are too few rows.
    """
    blocks = [list(range(start, start + block)) for start in range(0, len(lengths) - block + 1, block)]
    blocks.sort(key=lambda rows: sum(lengths[row] for row in rows))
    wanted = max(1, questions // block)
    longest = [blocks[-1 - number % len(blocks)] for number in range(wanted)]
    count = wanted * MEASURED_STEPS
    spread = [blocks[int((number + 0.5) / count * len(blocks))] for number in range(count)]
    # Dealt out in turn, so that every step has short and long ones.
    dealt = [rows for step in range(MEASURED_STEPS) for rows in spread[step::MEASURED_STEPS]]
    return [row for rows in (*longest, *dealt) for row in rows]


def measured(trainer: Any, lengths: Sequence[int], questions: int, steps: int) -> dict[str, Any]:
    """Run steps and return their time and memory.

    Args:
        trainer: Of transformers, or made of one.
        lengths: Tokens of each row of its data.
        questions: Rows of one step.
        steps: How many the whole run has.
    """
    import torch
    from transformers import PrinterCallback, TrainerCallback

    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())
            of = "the longest questions" if len(marks) == 1 else "questions of all lengths"
            note(f"step {len(marks) // 2 + 1} of {1 + MEASURED_STEPS}, on {of} …")

        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())
            note(f"step {len(marks) // 2} of {1 + MEASURED_STEPS} took {marks[-1] - marks[-2]:.1f} s")

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Clock())
    trainer.train_dataset = trainer.train_dataset.select(subset(lengths, questions, getattr(trainer, "block", 1)))
    trainer.shuffle_dataset = False
    trainer.args.train_sampling_strategy = "sequential"
    trainer.args.max_steps, trainer.args.num_train_epochs = 1 + MEASURED_STEPS, 1.0
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    else:
        _reset_peak()
    trainer.train()
    taken = [end - begin for begin, end in zip(marks[::2], marks[1::2], strict=True)]
    seconds = sum(taken[1:]) / max(1, len(taken) - 1)
    peak = torch.cuda.max_memory_allocated() if on_gpu else _peak()
    return {
        "seconds_a_step": round(seconds, 3),
        "longest_step": round(taken[0], 3),
        "estimated_seconds": round(seconds * steps, 1),
        "peak_memory_gib": round(peak / _GIB, 2),
        "how": f"measured: {len(taken)} steps on {torch.cuda.get_device_name() if on_gpu else 'this CPU'}, thrown away",
    }


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> float:
    """Return the most memory this process has held since `_reset_peak`; elsewhere than on Linux, since it began."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


T = TypeVar("T", bound=StageConfig)


def estimable(train: Callable[[T], dict[str, Any]]) -> Callable[[T], dict[str, Any]]:
    """Let a stage's `train` count where its arguments say `dry_run`, and measure where they say `measure_steps`."""

    @wraps(train)
    def maybe(config: T) -> dict[str, Any]:
        if config.dry_run and config.measure_steps:
            raise UsageError("--dry-run runs no step and --measure-steps runs some. Choose one of them.")
        if config.dry_run:
            return train(replace(config, resume=False))
        return _measured(train, config) if config.measure_steps else train(config)

    return maybe


def _measured(train: Callable[[T], dict[str, Any]], config: T) -> dict[str, Any]:
    _check_memory(config)
    with TemporaryDirectory(prefix="act-gym-measure-steps-") as folder, stopped_at_once(Path(folder)):
        # The checks and forecasts of a real run would take longer than the steps that are measured.
        off: dict[str, Any] = {"probe": 0, "save_every": 0, "report_to": "none", "resume": False}
        off |= {"probe_groups": 0, "force": True} if isinstance(config, GroupSettings) else {}
        try:
            return train(replace(config, out=Path(folder) / "run", **off))
        finally:
            gc.collect()


def _check_memory(config: StageConfig) -> None:
    """Refuse to run steps of a model that does not fit."""
    shape = shape_of(checkpoints.find_model(config.model))
    if shape is None:
        return
    alone = Load(sequences=1, prompt=1, written=0, longest=1, micro_batch=1)
    states, _ = held(shape, config, alone, precision=precision_of(config))
    needed, there = states / (distributed.count() if distributed.uses_deepspeed() else 1), _available()
    if needed > there:
        raise UsageError(
            f"Cannot run steps of {config.model}: weights and optimizer need {needed / _GIB:,.1f} GiB of the "
            f"{there / _GIB:,.1f} GiB that are free. Count them with --dry-run, or train adapters (--lora-rank)."
        )


def _available() -> float:
    """Return the bytes of memory that are free for a model: the GPU's, or the machine's."""
    import psutil
    import torch

    return float(torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available)


def measure(trainer: Any, config: StageConfig, stage: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measured steps and costs of a stage; its trainer is used up.

    Args:
        trainer: Set up with the whole data.
        config: The program's.
        stage: Its name.
        extra: Values that the stage has computed before.
    """
    lengths = _lengths(trainer)
    micro_batch = trainer.args.per_device_train_batch_size
    sequences = micro_batch * trainer.args.gradient_accumulation_steps * distributed.count()
    steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())[-1]
    found, _ = described(stage, config, lengths, sequences, micro_batch, steps, extra)
    group = config.num_generations if isinstance(config, GroupSettings) else 1
    questions = max(1, sequences // group)
    cost = measured(trainer, lengths, questions, steps)
    return {**found, **cost, **disk(shape_of(checkpoints.find_model(config.model)), config)}


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
