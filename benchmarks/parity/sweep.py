"""Parity sweep: compares two engines on many tasks in separate processes, and resumes.

Processes are replaced after a number of tasks, because a reference may grow with every game it loads.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from act_gym.errors import EngineError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.progress import track
from act_gym.types import Task
from benchmarks.parity.comparison import Comparison, Difference, Pair, compare

__all__ = ["Sweep", "as_record", "describe", "end_with_parent", "run", "summary"]

TASKS_PER_PROCESS = 100
"""After this many a process is replaced."""

SHOWN = 2_000
"""Characters of a text that a report shows."""


@dataclass(frozen=True)
class Sweep:
    """A comparison of two engines.

    Attributes:
        make: Makes the engines in each process; must be picklable.
        steps: Random commands for each task.
        seed: Every task has random commands of its own, drawn from this and its id.
    """

    make: Callable[[], Pair]
    steps: int
    seed: int


def run(
    sweep: Sweep, tasks: Sequence[Task], *, workers: int, out: Path | None, report: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Compare the engines on all tasks.

    Args:
        sweep: The comparison.
        tasks: With ids that differ.
        workers: Number of processes.
        out: A file of records, one for each task. Tasks that it says agree, with as many random commands of
            the same seed, are not compared again.
        report: Takes a text for each task in which the engines differ.

    Returns:
        The record of every task, in the order in which they were compared.

    Raises:
        EngineError: A process died. Finished tasks are in `out`.
    """
    known = list(read_records(out)) if out and out.exists() else []
    ids = {task.id for task in tasks}
    agreed = {record["task_id"]: record for record in known if _agrees(record, sweep) and record["task_id"] in ids}
    left = [task for task in tasks if task.id not in agreed]
    records = list(agreed.values())
    comparisons = track(_compared(sweep, left, workers), "comparing", total=len(tasks), done=len(agreed))
    with RecordWriter(out) if out else nullcontext() as writer:
        for comparison in comparisons:
            records.append(as_record(comparison, sweep))
            if writer:
                writer.write(records[-1])
            if comparison.difference:
                report(describe(comparison.task_id, comparison.difference))
    return records


def as_record(comparison: Comparison, sweep: Sweep) -> dict[str, Any]:
    """Return a flat line about a task, JSON values all."""
    difference = comparison.difference
    return {
        "task_id": comparison.task_id,
        "steps": sweep.steps,
        "seed": sweep.seed,
        "states": comparison.states,
        "reference_seconds": comparison.seconds[0],
        "candidate_seconds": comparison.seconds[1],
        "difference": describe(comparison.task_id, difference) if difference else "",
        "refused": comparison.refused,
    }


def describe(task_id: str, difference: Difference) -> str:
    """Say what differed, after which commands, and how."""
    commands = "".join(f"\n    {command!r}" for command in difference.history)
    return (
        f"{task_id}: {difference.what} differs after {len(difference.history)} commands{commands}\n"
        f"  reference: {_shown(difference.reference, difference.candidate)}\n"
        f"  candidate: {_shown(difference.candidate, difference.reference)}"
    )


def summary(records: Sequence[dict[str, Any]]) -> str:
    """Return all in one line: tasks, states, what differed, and each engine's time."""
    reference, candidate = (sum(record[f"{side}_seconds"] for record in records) for side in ("reference", "candidate"))
    return (
        f"{len(records):,} games, {sum(record['states'] for record in records):,} states compared, "
        f"{sum(bool(record['difference']) for record in records):,} games differ, "
        f"{sum(bool(record['refused']) for record in records):,} refused; "
        f"reference {reference:,.1f} s, candidate {candidate:,.1f} s"
    )


def _agrees(record: dict[str, Any], sweep: Sweep) -> bool:
    same = (record.get("steps"), record.get("seed")) == (sweep.steps, sweep.seed)
    return same and not record["difference"] and not record["refused"]


def _shown(value: Any, other: Any) -> str:
    """Return a value as a report shows it: of long collections what the other one has not."""
    if isinstance(value, tuple | frozenset) and isinstance(other, tuple | frozenset):
        alone = [entry for entry in sorted(value) if entry not in other]
        return f"{len(value)} entries; only here: {alone}"[:SHOWN]
    return (value if "\n" in str(value) and str(value).startswith("Traceback") else repr(value))[-SHOWN:]


def _compared(sweep: Sweep, tasks: Sequence[Task], workers: int) -> Iterator[Comparison]:
    size = TASKS_PER_PROCESS * workers
    for start in range(0, len(tasks), size):
        with ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(sweep,)
        ) as pool:
            comparisons = [pool.submit(_compare, task) for task in tasks[start : start + size]]
            try:
                for done in as_completed(comparisons):
                    yield done.result()
            except BrokenProcessPool as cause:
                raise EngineError(
                    "A process that compared engines died. Repeat with the same --out to continue; if it dies again, "
                    "--workers 1 and a small --limit find the game."
                ) from cause
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


_current: list[tuple[Sweep, Pair]] = []


def _begin(sweep: Sweep) -> None:
    end_with_parent()
    _current[:] = [(sweep, sweep.make())]


def _compare(task: Task) -> Comparison:
    sweep, pair = _current[0]
    drawn = int.from_bytes(sha256(task.id.encode()).digest()[:8], "big")
    return compare(pair, task, steps=sweep.steps, random=np.random.default_rng([sweep.seed, drawn]))


def end_with_parent() -> None:
    """Let a process of a pool end when the program was killed: no other process would stop it."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
