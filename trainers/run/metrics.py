"""Metrics file `metrics.jsonl` of a training: reads it on a resume, and removes the lines of steps that are repeated.

A line with `step` belongs to an optimizer step, and a line with `event` to another event: `start` to each start of the
training (`after` is the last step before it, `sequences` the sequences of a step), `format` and `probe_groups` to the
measurements before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from act_gym.errors import RunError
from act_gym.io.jsonl import read_records, write_records

__all__ = ["check_sequences", "measured_before", "read_lines", "rewind", "seconds_of"]

NAME = "metrics.jsonl"


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run folder's metrics; none if there is no file."""
    path = folder / NAME
    return list(read_records(path)) if path.exists() else []


def rewind(folder: Path, step: int | None) -> None:
    """Remove the lines after the state that a training resumes from, since it writes them again.

    Args:
        folder: The run folder.
        step: The state's optimizer step; None if there is no state, so that all steps are repeated.
    """
    lines = read_lines(folder)
    kept = [line for line in lines if step is not None and line.get("step", 0) <= step and line.get("event") != "done"]
    if len(kept) < len(lines):
        write_records(folder / NAME, kept)


def check_sequences(lines: Sequence[dict[str, Any]], sequences: int) -> None:
    """Refuse to resume with another number of sequences in an optimizer step.

    Where there are fewer rows than a batch, `micro_batch` decides how many a step takes.

    Raises:
        RunError: The lines of the earlier starts hold another number.
    """
    then = next((line["sequences"] for line in lines if "sequences" in line), sequences)
    if then != sequences:
        raise RunError(
            f"An optimizer step had {then} sequences before, and with this --micro-batch it has {sequences}, so the "
            "training cannot be continued. Give the --micro-batch that it was started with."
        )


def measured_before(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return a resumed training's measurements from before its first step, under the summary's names."""
    found: dict[str, float] = {}
    for line in lines:
        if line.get("event") == "format":
            found["format_error_rate_before"] = round(line["format_error_rate"], 4)
        elif line.get("event") == "probe_groups":
            shares = ("frac_reward_zero_std", "mastered_groups")
            found |= {f"{name}_before": round(line[name], 4) for name in shares if name in line}
    return found


def seconds_of(lines: Sequence[dict[str, Any]]) -> float:
    """Return how long the steps in the lines took, without the time between a kill and the next start."""
    total, started, last = 0.0, None, None
    for line in [*lines, {"event": "start"}]:
        if line.get("event") == "start":
            total += last - started if started is not None and last is not None else 0.0
            started, last = line.get("time"), None
        elif "step" in line:
            last = line["time"]
    return total
