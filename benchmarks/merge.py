"""Joins evaluations of one agent: `act-gym merge runs/seed-0 runs/seed-1 --out runs/both`.

The runs may differ in their suites, their seeds and their shares of the tasks (`--shard 1/2`), and in where and when
they were made. All else must be equal in their manifests; differences are refused and shown in a table. Every
episode must be there exactly once: one that two runs have is refused, and so are gaps, unless `--partial` leaves a
run that `act-gym eval --resume` completes.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from act_gym.config import parse
from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import check_writable, make_folder, read_records, write_json, write_records
from act_gym.io.run_dir import FREE_ARGUMENTS, difference_table, differences
from benchmarks.evaluate import EvalConfig, make_summary, plan_of, status_of, words_of
from benchmarks.reporting.tables import show_summary
from benchmarks.run.loader import FinishedRun
from benchmarks.run.schedule import Plan
from benchmarks.stats.scores import key_of

__all__ = ["MergeConfig", "main", "read_config"]

_JOINED = ("suite", "env", "seeds", "shard")  # arguments that say which share of the whole a run is
_SAME = ("program", "format", "protocol", "env_options", "env_option_files", "agent")
_BY_NAME = ("suites", "simulators", "success")  # what runs have of these in common must be the same
_OF_START = ("started", "git", "versions", "machine", "resumed")


@dataclass(frozen=True)
class MergeConfig:
    """Join evaluations of one agent into one run folder."""

    runs: Positional[tuple[Path, ...]]
    """Run folders of `act-gym eval`."""
    out: Path = Path("runs/merged")
    """The new run folder."""
    label: str = ""
    """Name of the run in comparisons; the label that the runs share if empty."""
    partial: bool = False
    """Join them even if episodes are missing; `act-gym eval --resume` plays those."""
    json: bool = False
    """Print the summary as JSON instead of a table."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(MergeConfig, sys.argv[1:] if argv is None else argv, program="act-gym merge")
    if len(arguments.runs) < 2:
        raise UsageError("Name two run folders or more, e.g. act-gym merge runs/a runs/b --out runs/both.")
    check_writable(arguments.out)
    if arguments.out.exists() and any(arguments.out.iterdir()):
        raise RunError(f"{arguments.out} is not empty. Choose another --out.")
    runs = [FinishedRun.read(folder) for folder in arguments.runs]
    configs = [read_config(run.folder) for run in runs]
    for run, config in zip(runs[1:], configs[1:], strict=True):
        _check_same(runs[0], run, configs[0], config)
    asked = _joined(configs, arguments)
    plan = plan_of(asked)
    missing = _missing(plan, runs, partial=arguments.partial)
    _write(arguments.out, asked, plan, runs)
    if missing:
        command = shlex.join(["act-gym", "eval", "--resume", *words_of(vars(asked))])
        sys.stdout.write(f"{arguments.out}: {missing} episodes are missing. Play them:\n  {command}\n")
        return 0
    summary = make_summary(list(read_records(arguments.out / "records.jsonl")), plan, asked.label, asked.agent)
    summary.write(arguments.out)
    show_summary(summary, as_json=arguments.json)
    return status_of(summary)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the arguments of an evaluation from its run folder.

    Raises:
        RunError: They are not there, or of another version.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise RunError(f"{folder} is not a readable run folder: {cause}.") from cause
    known = {field.name for field in fields(EvalConfig)}
    if not isinstance(config, dict) or not set(config) <= known:
        raise RunError(f"{folder / 'config.json'} does not hold the arguments of act-gym eval in this version.")
    return config


def _check_same(first: FinishedRun, other: FinishedRun, config: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    sides = [{name: run.manifest.get(name) for name in _SAME} for run in (first, other)]
    for name in _BY_NAME:
        one, two = first.manifest[name], other.manifest[name]
        for side, entries in zip(sides, (one, two), strict=True):
            side[name] = {key: entries[key] for key in entries if key in one and key in two}
    changes = differences(*sides)
    changes = changes or differences(config, others, skip={*_JOINED, *FREE_ARGUMENTS, "label"})
    if changes:
        table = difference_table(changes, ("setting", str(first.folder), str(other.folder)))
        raise RunError(f"The two runs cannot be joined, because they did not measure the same agent alike:\n{table}")


def _joined(configs: Sequence[Mapping[str, Any]], arguments: MergeConfig) -> EvalConfig:
    """Return the arguments that ask for everything that the runs were asked for."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in configs[0].items()}
    union = {
        name: tuple(dict.fromkeys(value for config in configs for value in config[name])) for name in ("suite", "env")
    }
    seeds = tuple(sorted({seed for config in configs for seed in config["seeds"]}))
    labels = {config["label"] for config in configs}
    label = arguments.label or (labels.pop() if len(labels) == 1 else "")
    settings: dict[str, Any] = {**values, **union, "seeds": seeds, "label": label, "out": arguments.out}
    return replace(
        EvalConfig(**settings), shard="", resume=False, overwrite=False, keep_errors=False, keep_going=False, json=False
    )


def _missing(plan: Plan, runs: Sequence[FinishedRun], *, partial: bool) -> int:
    """Return how many episodes no run has.

    Raises:
        RunError: Two runs have the same one, or some are missing and that was not allowed.
    """
    played = Counter(key_of(record) for run in runs for record in run.records)
    twice = [key for key, count in played.items() if count > 1]
    if twice:
        raise RunError(f"{len(twice)} episodes are in more than one run, e.g. {twice[0][1]} with seed {twice[0][2]}.")
    lacking: Counter[tuple[str, int]] = Counter()
    for part, task, seed in plan.episodes():
        lacking[part.name, seed] += (part.env_id, task.id, seed) not in played
    missing = {place: count for place, count in lacking.items() if count}
    if missing and not partial:
        rows = "\n".join(f"  {name}  seed {seed}: {count} episodes" for (name, seed), count in missing.items())
        raise RunError(
            f"Together the runs have not played every task with every seed. Missing are:\n{rows}\n"
            "Add the runs that have them, or join these with --partial and play the rest with act-gym eval --resume."
        )
    return sum(missing.values())


def _write(folder: Path, asked: EvalConfig, plan: Plan, runs: Sequence[FinishedRun]) -> None:
    order = {key: place for place, key in enumerate(plan.keys())}
    records = sorted((record for run in runs for record in run.records), key=lambda record: order[key_of(record)])
    make_folder(folder)
    write_records(folder / "episodes.jsonl", _episodes(runs))
    write_records(folder / "records.jsonl", records)
    shares = [
        {
            "folder": run.folder.name,
            **{name: run.manifest[name] for name in ("seeds", "shard", *_OF_START) if name in run.manifest},
            "suites": list(run.suites),
        }
        for run in runs
    ]
    first = dict(runs[0].manifest)
    for name in ("git", "versions", "machine"):  # said only where it holds for all; every run's own is under `merged`
        if any(run.manifest[name] != first[name] for run in runs):
            first[name] = "" if name == "git" else {}
    first.pop("resumed", None)
    joined = {name: {key: value for run in runs for key, value in run.manifest[name].items()} for name in _BY_NAME}
    joined["suites"] = {part.name: joined["suites"][part.name] for part in plan.parts}
    started = min(str(run.manifest["started"]) for run in runs)
    manifest = {**first, **joined, "seeds": list(plan.seeds), "shard": "1/1", "started": started, "merged": shares}
    write_json(folder / "manifest.json", manifest)
    config = {field.name: getattr(asked, field.name) for field in fields(asked)}
    write_json(folder / "config.json", {**config, "out": str(asked.out)})  # last: now it is a run folder


def _episodes(runs: Iterable[FinishedRun]) -> Iterator[Mapping[str, Any]]:
    for run in runs:
        yield from read_records(run.folder / "episodes.jsonl")


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
