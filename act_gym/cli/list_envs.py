"""`act-gym list`: lists every environment with its tasks, and the commands to run before it can be played.

It reads the frozen splits and checks for packages and folders; it starts no simulator.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec

from act_gym.benchmarks import Benchmark, env_ids, parse_id
from act_gym.config import parse
from act_gym.paths import data_dir, install_command

__all__ = ["Entry", "ListConfig", "entries", "main"]


@dataclass(frozen=True)
class ListConfig:
    """List every environment with its number of tasks."""

    json: bool = False
    """Print one JSON list instead of a table."""


@dataclass(frozen=True)
class Entry:
    """One environment and its state on this machine.

    Attributes:
        id: The id for `gym.make`.
        tasks: The number of tasks.
        task_types: The number of task types.
        max_turns: Its step limit.
        engine: The default engine.
        missing: Commands to run before it can be played; empty if it is ready.
    """

    id: str
    tasks: int
    task_types: int
    max_turns: int
    engine: str
    missing: tuple[str, ...]


def entries() -> tuple[Entry, ...]:
    """Return one entry for each environment id, in the order of the registry."""
    found = []
    for env_id in env_ids():
        benchmark, split = parse_id(env_id)
        tasks = benchmark.tasks(split)
        found.append(
            Entry(
                id=env_id,
                tasks=len(tasks),
                task_types=len({task.task_type for task in tasks}),
                max_turns=benchmark.max_turns,
                engine=next(iter(benchmark.engines)),
                missing=_missing(benchmark, split),
            )
        )
    return tuple(found)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, or JSON, to stdout."""
    arguments = parse(ListConfig, sys.argv[1:] if argv is None else argv, program="act-gym list")
    found = entries()
    if arguments.json:
        sys.stdout.write(json.dumps([asdict(entry) for entry in found], indent=2) + "\n")
    elif sys.stdout.isatty():
        _print_table(found)
    else:
        sys.stdout.writelines("\t".join(_cells(entry)) + "\n" for entry in found)
    return 0


def _missing(benchmark: Benchmark, split: str | None) -> tuple[str, ...]:
    commands = []
    generated = split in benchmark.generated_splits
    packages = (*benchmark.packages, benchmark.generator_package) if generated else benchmark.packages
    if any(package and find_spec(package) is None for package in packages):
        commands.append(install_command(benchmark.extra))
    if benchmark.data and not generated and not (data_dir() / benchmark.data).is_dir():
        commands.append(f"act-gym download {benchmark.extra}")
    return tuple(commands)


def _cells(entry: Entry) -> tuple[str, ...]:
    state = "; ".join(entry.missing) or "ready"
    return entry.id, str(entry.tasks), str(entry.task_types), str(entry.max_turns), entry.engine, state


def _print_table(found: Sequence[Entry]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("environment")
    for name in ("tasks", "types", "turns"):
        table.add_column(name, justify="right")
    table.add_column("engine")
    table.add_column("ready, or command to run first")
    for entry in found:
        table.add_row(*_cells(entry), style=None if not entry.missing else "dim")
    Console().print(table, markup=False)
