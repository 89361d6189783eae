"""A few real optimizer steps of a trainer, for the time and the memory they take; then the trainer is used up."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainers.run.notes import note

__all__ = ["MEASURED_STEPS", "measured", "subset"]

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
