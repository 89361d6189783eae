"""Gold-path check: ScienceWorld's own solution of every variation, replayed in our engine.

    python -m benchmarks.checks.gold --out runs/gold.jsonl

For each variation the simulator works its solution out, and the solution is played in a world that was loaded
without it. One record for each variation has the result; stdout gets a Markdown table with a row for each task type,
and the variations that do not end at 100. All 7,207 take hours, so the order is such that whatever is done so far is
a fair sample: one variation of every task type, then a second one of each, drawn with `--seed`.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from act_gym import sampling
from act_gym.config import parse
from act_gym.engine import Engine
from act_gym.engines.scienceworld import JvmEngine
from act_gym.errors import EngineError, UnknownNameError, UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.progress import track
from act_gym.splits.scienceworld import tasks
from act_gym.types import Task
from benchmarks.programs import checking, end_with_parent

__all__ = ["GoldConfig", "chosen", "in_turn", "main", "replay", "run", "summary", "table"]


@dataclass(frozen=True)
class GoldConfig:
    """Play the simulator's solution of every variation; the exit status is 1 where one does not end at 100."""

    tasks: tuple[str, ...] = ()
    """Task types, e.g. boil; all 30 if none is given."""
    seed: int = 0
    """Seed of the order of a task type's variations."""
    limit: int = 0
    """Only this many variations, the first ones of the order; 0 for all."""
    workers: int = 1
    """Processes, each with a Java of its own."""
    out: Path | None = None
    """A file of records, one for each variation; a second run plays those that are missing or failed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status: 0, 1 where a solution fails, 2 for a mistake."""
    return checking(_check, sys.argv[1:] if argv is None else argv)


def _check(argv: Sequence[str]) -> int:
    arguments = parse(GoldConfig, argv, program="python -m benchmarks.checks.gold")
    if arguments.limit < 0 or arguments.workers < 1:
        raise UsageError("--limit is 0 or more, and --workers is at least 1.")
    wanted = in_turn(chosen(arguments.tasks), arguments.seed)[: arguments.limit or None]
    records = run(wanted, workers=arguments.workers, out=arguments.out)
    print(f"{table(records)}\n\n{summary(records)}")  # noqa: T201
    return int(any(_failed(record) for record in records))


def chosen(task_types: Sequence[str]) -> tuple[Task, ...]:
    """Return all variations of these task types, or of all where none is given.

    Raises:
        UnknownNameError: There is no such task type.
    """
    known = sorted({task.task_type for task in tasks()})
    for name in task_types:
        if name not in known:
            raise UnknownNameError("task type of ScienceWorld", name, known)
    return tuple(task for task in tasks() if not task_types or task.task_type in task_types)


def in_turn(given: Sequence[Task], seed: int) -> list[Task]:
    """Return one task of every type, then a second one of each, and so on, drawn without replacement.

    Args:
        given: Any tasks.
        seed: Seed of the draw; the order of one type does not depend on which others there are.
    """
    by_type: dict[str, list[Task]] = {}
    for task in given:
        by_type.setdefault(task.task_type, []).append(task)
    drawn = []
    for name, of_type in sorted(by_type.items()):
        order = np.random.default_rng([seed, *name.encode()]).permutation(len(of_type))
        drawn.append([of_type[index] for index in order])
    return list(sampling.in_turn(drawn))


def replay(engine: Engine, task: Task) -> dict[str, Any]:
    """Play a task's solution and return a flat record, JSON values all.

    The record says how many commands the solution has, how many of them were played before the simulator ended the
    task, how many of those it did not understand, the raw score at the end (−100 to 100; null where the simulator
    failed), the seconds to get the solution and to play it, and why it failed, empty if it did not.
    """
    commands: tuple[str, ...] = ()
    played = not_understood = 0
    raw_score: int | None = None
    error = ""
    start = got = perf_counter()
    try:
        state = engine.reset(task)
        commands = engine.expert_commands()
        got = perf_counter()
        for command in commands:
            if state.terminated:
                break
            state = engine.step(command)
            played += 1
            not_understood += not state.action_valid
        raw_score = round(state.raw_score)
    except EngineError as fault:
        error = str(fault)
    return {
        "task_id": task.id,
        "task_type": task.task_type,
        "variation": task.payload["variation"],
        "split": task.split,
        "commands": len(commands),
        "steps": played,
        "not_understood": not_understood,
        "raw_score": raw_score,
        "solving_seconds": round(got - start, 3),
        "playing_seconds": round(perf_counter() - got, 3),
        "error": error,
    }


def run(wanted: Sequence[Task], *, workers: int, out: Path | None) -> list[dict[str, Any]]:
    """Play the solutions of all tasks.

    Args:
        wanted: With ids that differ.
        workers: Number of processes.
        out: A file of records. Tasks whose solution it says ended at 100 are not played again.

    Returns:
        The record of every task, known ones first.

    Raises:
        EngineError: A process died. Finished variations are in `out`.
    """
    ids = {task.id for task in wanted}
    known = list(read_records(out)) if out and out.exists() else []
    done = {record["task_id"]: record for record in known if record["task_id"] in ids and not _failed(record)}
    left = [task for task in wanted if task.id not in done]
    records = list(done.values())
    with RecordWriter(out) if out else nullcontext() as writer:
        for record in track(_replayed(left, workers), "playing", total=len(wanted), done=len(done)):
            records.append(record)
            if writer:
                writer.write(record)
    return records


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table: for each task type its variations, those that end at 100, and their steps."""
    lines = [
        "| task type | variations | played | reached 100 | steps, least | median | most |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    every: dict[str, int] = {}
    for task in tasks():
        every[task.task_type] = every.get(task.task_type, 0) + 1
    for name in sorted({record["task_type"] for record in records}):
        of_type = [record for record in records if record["task_type"] == name]
        steps = [record["steps"] for record in of_type if not _failed(record)]
        spread = f"{min(steps)} | {median(steps):g} | {max(steps)}" if steps else "– | – | –"
        lines.append(f"| {name} | {every[name]:,} | {len(of_type):,} | {len(steps):,} | {spread} |")
    return "\n".join(lines)


def summary(records: Sequence[Mapping[str, Any]]) -> str:
    """Return what failed, a line for each, and a last line that counts."""
    failed = [record for record in records if _failed(record)]
    lines = [f"- `{each['task_id']}`: {_why(each)}" for each in sorted(failed, key=lambda each: each["task_id"])]
    solving = sum(record["solving_seconds"] for record in records)
    playing = sum(record["playing_seconds"] for record in records)
    lines.append(
        f"{len(records):,} of {len(tasks()):,} variations played, {len(records) - len(failed):,} reached 100, "
        f"{len(failed):,} did not; {solving:,.0f} s for the solutions, {playing:,.0f} s to play them."
    )
    return "\n".join(lines)


def _failed(record: Mapping[str, Any]) -> bool:
    return bool(record["raw_score"] != 100)


def _why(record: Mapping[str, Any]) -> str:
    if record["error"]:
        return str(record["error"])
    return (
        f"{record['raw_score']} after {record['steps']} of {record['commands']} commands, "
        f"{record['not_understood']} of them not understood"
    )


def _replayed(wanted: Sequence[Task], workers: int) -> Iterator[dict[str, Any]]:
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=end_with_parent) as pool:
        replays = [pool.submit(_replay_afresh, task) for task in wanted]
        try:
            for done in as_completed(replays):
                yield done.result()
        except BrokenProcessPool as cause:
            raise EngineError(
                "A process that played solutions died. Run it again with the same --out to continue."
            ) from cause
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _replay_afresh(task: Task) -> dict[str, Any]:
    engine = JvmEngine()
    try:
        return replay(engine, task)
    finally:
        engine.close()


if __name__ == "__main__":
    sys.exit(main())
