"""Runs a table of the paper row by row and compares it with the published numbers.

    act-gym paper --table v2 --benchmarks alfworld --rows il act-il --seeds 3 --out runs/paper

Kill it anywhere and run it again: finished jobs are not run again, and rows share jobs, such as
the data, the warm-up, or the imitation that IL→IL and IL→RL begin with. See docs/paper-tables.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from act_gym.config import parse
from act_gym.errors import UsageError
from act_gym.io.jsonl import replacing, write_json
from benchmarks.paper.jobs import JobRunner, JobStore, command, digest_of, working_in
from benchmarks.paper.protocol import Benchmark, Cell, Protocol, Setting, initial_model
from benchmarks.paper.rows import Column, Row, Version, columns_of, published, rows_of
from benchmarks.paper.table import Table
from benchmarks.stats.measurement import Summary

__all__ = ["PaperConfig", "main"]


@dataclass(frozen=True, kw_only=True)
class PaperConfig:
    """Run the rows of a table of the paper, and compare it with the published numbers."""

    table: Version = "v2"
    """Which version of the paper: v2 has three epochs a stage and ScienceWorld's mean score, v1 the next action."""
    benchmarks: tuple[Benchmark, ...] = ("alfworld", "webshop", "scienceworld")
    """Each is trained on and tested by itself."""
    rows: tuple[str, ...] = ()
    """Rows by name, such as il act-il-rl; all if none is given. They run in the table's order."""
    seeds: int = 3
    """Trainings of each row, with the seeds 0, 1, …; the first seed of every row comes before the second of any."""
    model: str = ""
    """The initial model: a folder, or a name that agents.local.default_model knows; empty for that of the layers."""
    layers: tuple[Path, ...] = ()
    """Recipes of trainers.pipeline that are laid over every row's own, such as
    trainers/recipes/models/smollm2-135m.yaml trainers/recipes/machines/cpu.yaml; later ones win."""
    pairs: tuple[str, ...] = ()
    """Data that is there already, such as another model's pairs: benchmark=FOLDER, as trainers.pairs leaves one."""
    generated: bool = False
    """Play games and shops that are made on the spot, for which nothing is downloaded. They are not the paper's."""
    warmup: bool = False
    """Begin every row, prompting too, with the warm-up on the answer format, for a model too small to write it."""
    limit: int = 0
    """At most so many tasks, states and questions of each kind: 4 makes a smoke test; 0 for all."""
    eval_limit: int = 0
    """At most so many tasks of each test environment; 0 for all."""
    max_turns: int = 0
    """Step limit of an episode; 0 for the suite's."""
    judge: int = 400
    """Held-out pairs that every model judges in both orders; 0 for none. The paper has no such column."""
    next_action: int = 10_000
    """Held-out states of ScienceWorld in v1's next action."""
    decode: Literal["free", "ranked"] = "free"
    """How models act: free: what they write; ranked: the likeliest admissible command."""
    temperature: float = 0.4
    """Of free: Early Experience's; the paper gives none."""
    launch: str = ""
    """Prefix of training commands, e.g. 'accelerate launch --config_file trainers/configs/zero3.yaml'."""
    keep_checkpoints: bool = True
    """Keep every model. Without, one is removed when nothing that is asked for needs it any more; rows that are asked
    for later and need it train it again."""
    out: Path = Path("runs/paper")
    """The run folder; a run that was stopped continues when it is started again."""
    dry_run: bool = False
    """List the open and the finished jobs; run nothing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status: 1 if a row could not be finished."""
    arguments = parse(PaperConfig, sys.argv[1:] if argv is None else argv, program="act-gym paper")
    rows = rows_of(arguments.table, arguments.rows)
    columns = columns_of(arguments.table, arguments.benchmarks, judge=arguments.judge > 0)
    protocol = _protocol(arguments)
    hashes = _read_hashes(arguments.out)
    workshop = JobStore(arguments.out / "jobs", lambda place: digest_of(place, hashes))
    cells = [
        cell
        for seed in range(arguments.seeds)
        for row in rows
        if not row.published_only
        for cell in protocol.cells(workshop, row, columns, seed)
    ]
    if arguments.dry_run:
        sys.stdout.write(_plan(cells, arguments))
        return 0
    with working_in(arguments.out) as lock:
        write_json(arguments.out / "hashes.json", hashes)
        worker = JobRunner(lock, arguments.launch)
        for cell in cells:
            worker.do(cell.job)
            if not arguments.keep_checkpoints:
                worker.discard(workshop.jobs.values())
            _write(arguments.out, _table(arguments, protocol, rows, columns, cells, worker.failed))
    table = _table(arguments, protocol, rows, columns, cells, worker.failed)
    _write(arguments.out, table)
    table.print()
    sys.stdout.write(f"{arguments.out}/table.md, table.csv\n")
    return 1 if worker.failed else 0


def _protocol(arguments: PaperConfig) -> Protocol:
    if arguments.seeds < 1 or min(arguments.limit, arguments.eval_limit, arguments.max_turns, arguments.judge) < 0:
        raise UsageError("--seeds is at least 1; --limit, --eval-limit, --max-turns and --judge are 0 or more.")
    if not arguments.benchmarks or len(set(arguments.benchmarks)) < len(arguments.benchmarks):
        raise UsageError("--benchmarks needs at least one, and each only once.")
    return Protocol(
        version=arguments.table,
        model=arguments.model or initial_model(arguments.layers),
        layers=arguments.layers,
        reused=dict(_reused(word) for word in arguments.pairs),
        generated=arguments.generated,
        warmup=arguments.warmup,
        limit=arguments.limit,
        eval_limit=arguments.eval_limit,
        max_turns=arguments.max_turns,
        judge=arguments.judge,
        next_action=arguments.next_action,
        decode=arguments.decode,
        temperature=arguments.temperature,
    )


def _reused(word: str) -> tuple[str, Path]:
    name, equals, folder = word.partition("=")
    for file in ("pairs.jsonl", "decisions.jsonl"):
        if not equals or not (Path(folder) / file).exists():
            raise UsageError(f"--pairs takes benchmark=FOLDER with a {file}, e.g. alfworld=runs/pairs; got {word!r}.")
    return name, Path(folder)


def _read_hashes(out: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((out / "hashes.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _plan(cells: Sequence[Cell], arguments: PaperConfig) -> str:
    """Return every job once, in the order in which it would be done."""
    jobs = {job.folder: job for cell in cells for job in cell.job.everything()}
    lines = [f"{len(jobs)} jobs, {sum(job.done for job in jobs.values())} of them done, for {len(cells)} cells"]
    for job in jobs.values():
        lines.append(f"{'done' if job.done else 'to do':>5}  {' '.join(command(job, arguments.launch))}")
    return "\n".join(lines) + "\n"


def _table(
    arguments: PaperConfig,
    protocol: Protocol,
    rows: Sequence[Row],
    columns: Sequence[Column],
    cells: Sequence[Cell],
    failed: dict[Path, str],
) -> Table:
    values: dict[tuple[str, Column], dict[int, float]] = {}
    for cell in cells:
        if cell.job.done:
            values.setdefault((cell.row.name, cell.column), {})[cell.seed] = _value(
                cell, protocol.setting(cell.column.benchmark)
            )
    whose, theirs = published(arguments.table, protocol.model)
    notes = [
        f"{_seeds(arguments.seeds)} Model: {protocol.model}.",
        f"Models act with decode={arguments.decode}"
        + (f", temperature {arguments.temperature:g}." if arguments.decode == "free" else "."),
    ]
    if arguments.warmup:
        notes.append(
            "Every row, prompting too, begins with a warm-up on the answer format, whose answers are drawn at random."
        )
    if arguments.generated:
        notes.append("ALFWorld's games and WebShop's shop are generated; the published numbers are of other tasks.")
    cuts = {"limit": arguments.limit, "eval-limit": arguments.eval_limit, "max-turns": arguments.max_turns}
    if any(cuts.values()):
        named = " ".join(f"--{name} {value}" for name, value in cuts.items() if value)
        notes.append(f"Cut short by {named}: not a measurement of the whole benchmark.")
    notes += [f"Not finished: {reason}" for reason in dict.fromkeys(failed.values())]
    return Table(
        title=f"Agentic Critical Training, {arguments.table}",
        rows=rows,
        columns=columns,
        values=values,
        seeds=arguments.seeds,
        published=theirs,
        source=f"published for {whose} (arXiv 2603.08706 {arguments.table})",
        notes=notes,
    )


def _seeds(count: int) -> str:
    return "One seed." if count == 1 else f"{count} seeds; mean ± population standard deviation."


def _value(cell: Cell, setting: Setting) -> float:
    """Return a cell's number, 0–1: of its side, or over all sides, where each observation counts alike."""
    split = setting.split(cell.column.split) if cell.column.split else ""
    found = [
        one
        for one in Summary.read(cell.job.folder).measurements
        if one.name == cell.column.name and one.split and not one.task_type and split in ("", one.split)
    ]
    found = [one for one in found if " - " not in one.split]
    return sum(one.value * one.n for one in found) / sum(one.n for one in found)


def _write(out: Path, table: Table) -> None:
    for name, text in (("table.md", table.markdown()), ("table.csv", table.csv())):
        with replacing(out / name) as file:
            file.write(text)


if __name__ == "__main__":
    from act_gym.cli import run

    raise SystemExit(run(main, sys.argv[1:]))
