"""Suites: named, versioned lists of tasks with a step limit and a definition of success, frozen by a hash.

    act-gym suites
    act-gym eval --suite alfworld-seen-140 alfworld-unseen-134 --agent random --out runs/random

A number is comparable with another one of the same suite and version. `suites.json` defines every suite: its
tasks, and the sha256 over its ordered task ids, its step limit and its definition of success. A suite never changes;
a change is another version under the same name.
Where a new minor version of a simulator answers otherwise to the same actions, that version is part of the suite
as well: ScienceWorld's suites are those of scienceworld 1.2.
A suite called `-mini` is a sample that is stratified by task type; its ids are written out, because a
generator's stream may change between versions of numpy.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

from act_gym.benchmarks import Benchmark, benchmark, parse_id
from act_gym.benchmarks import tasks as list_tasks
from act_gym.cli.list_envs import entries
from act_gym.config import parse
from act_gym.errors import CorruptDataError, MissingDependencyError, UnknownNameError
from act_gym.paths import install_command
from act_gym.types import Task

__all__ = [
    "SIMULATORS",
    "SUCCESS",
    "Suite",
    "SuitesConfig",
    "content_hash",
    "installed",
    "limits_of",
    "main",
    "simulator_of",
    "success_of",
    "suite",
    "suites",
]

FILE = Path(__file__).with_name("suites.json")

SUCCESS: Mapping[str, str] = {
    "ALFWorld": "the simulator says won within the step limit",
    "ScienceWorld": "the simulator's raw score is 100 within the step limit; a time-out is never a success",
    "WebShop": "the reward of the purchase is 1.0; an episode without a purchase is never a success",
}
"""Definition of success of each benchmark of this project; part of every suite's hash."""

SIMULATORS: Mapping[str, str] = {"ScienceWorld": "scienceworld"}
"""The package whose minor version is part of a benchmark's suites."""


@dataclass(frozen=True)
class Suite:
    """One suite as it is frozen.

    Attributes:
        name: For example `alfworld-unseen-134`.
        version: Counts changes of the suite's content, from 1.
        env_id: The environment whose tasks they are.
        max_turns: The step limit.
        size: How many tasks it has.
        sha256: Of its content; see `content_hash`.
        task_ids: The tasks in their order; None for all tasks of the environment in theirs.
        simulator: The package with its minor version whose answers the numbers are of, e.g. `scienceworld 1.2`; empty
            where the engine is our own.
    """

    name: str
    version: int
    env_id: str
    max_turns: int
    size: int
    sha256: str
    task_ids: tuple[str, ...] | None = None
    simulator: str = ""

    @property
    def benchmark(self) -> str:
        """The benchmark's name."""
        return parse_id(self.env_id)[0].name

    def tasks(self) -> tuple[Task, ...]:
        """Return the tasks in the order in which they are played.

        Raises:
            CorruptDataError: They are not those that were frozen.
        """
        found = tuple(list_tasks(self.env_id))
        if self.task_ids is not None:
            by_id = {task.id: task for task in found}
            absent = [task_id for task_id in self.task_ids if task_id not in by_id]
            if absent:
                raise CorruptDataError(f"{self.name}: {self.env_id} has no task {absent[0]}. {_reinstall()}")
            found = tuple(by_id[task_id] for task_id in self.task_ids)
        digest = content_hash(self.benchmark, [task.id for task in found], self.max_turns)
        if digest != self.sha256:
            raise CorruptDataError(
                f"{self.name} version {self.version} has the hash {digest}; expected {self.sha256}. {_reinstall()}"
            )
        return found

    def limits(self, name: str = "") -> int | dict[str, int]:
        """Return the step limit under a named limit: a number, or one for each task type. Its own without a name.

        Raises:
            UnknownNameError: The benchmark has no such limit.
        """
        if not name:
            return self.max_turns
        entry = parse_id(self.env_id)[0]
        return limits_of(entry, name, self.tasks())

    def check_simulator(self) -> None:
        """Refuse a simulator of another minor version; one that is not installed is noticed when it is started.

        Raises:
            MissingDependencyError: Another one is installed.
        """
        package = self.simulator.partition(" ")[0]
        found = simulator_of(self.benchmark, installed(package)) if package else ""
        if found not in (self.simulator, ""):
            minor = self.simulator.partition(" ")[2]
            raise MissingDependencyError(
                f"{self.name} is a suite of {self.simulator}. Here is {package} {installed(package)}, which answers "
                f"otherwise to the same actions; {self.simulator}",
                command=f"pip install '{package}=={minor}.*'",
            )


def limits_of(entry: Benchmark, name: str, chosen: Iterable[Task]) -> int | dict[str, int]:
    """Return a benchmark's named step limit for some tasks: a number, or one for each of their types."""
    by_type = {kind: entry.step_limit(name, kind) for kind in sorted({task.task_type for task in chosen})}
    return next(iter(by_type.values())) if len(set(by_type.values())) == 1 else by_type


def installed(package: str) -> str:
    """Return the version of a package; empty if it is not installed or has no name."""
    if not package:
        return ""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def simulator_of(benchmark: str, found: str) -> str:
    """Return a benchmark's simulator with its minor version, as suites have it; empty if it is no part of them.

    Args:
        benchmark: The benchmark's name.
        found: The version of its package, e.g. `1.2.3`.
    """
    package = SIMULATORS.get(benchmark, "")
    return f"{package} {'.'.join(found.split('.')[:2])}" if package and found else ""


def _reinstall() -> str:
    return f"Run: {install_command(again=True)}"


def success_of(name: str) -> str:
    """Return a benchmark's definition of success.

    Raises:
        UnknownNameError: The benchmark is not registered here.
    """
    return SUCCESS[name] if name in SUCCESS else benchmark(name).success


def content_hash(
    benchmark: str, task_ids: Sequence[str], step_limit: int | Mapping[str, int], success: str = ""
) -> str:
    """Return the sha256 of a suite's content: ordered task ids, step limit and definition of success.

    Args:
        benchmark: The benchmark's name.
        task_ids: In their order.
        step_limit: Actions in an episode, or that for each task type.
        success: Its definition of success; empty for that of the registered benchmark.
    """
    content = {
        "benchmark": benchmark,
        "task_ids": list(task_ids),
        "step_limit": step_limit if isinstance(step_limit, int) else dict(step_limit),
        "success": success or success_of(benchmark),
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


@cache
def suites() -> Mapping[str, Suite]:
    """Return every suite by its name: those of the file in its order, then those of installed packages.

    A package names a mapping of such entries, or a function that returns one, under the group `act_gym.suites`.
    """
    content = json.loads(FILE.read_text(encoding="utf-8"))
    for point in entry_points(group="act_gym.suites"):
        found = point.load()
        content |= {
            name: entry for name, entry in (found() if callable(found) else found).items() if name not in content
        }
    return {name: _suite(name, entry) for name, entry in content.items()}


def suite(name: str) -> Suite:
    """Return a suite by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in suites():
        raise UnknownNameError("suite", name, suites())
    return suites()[name]


def _suite(name: str, entry: Mapping[str, Any]) -> Suite:
    ids = entry.get("task_ids")
    fields = {key: value for key, value in entry.items() if key != "task_ids"}
    return Suite(name=name, **fields, task_ids=None if ids is None else tuple(ids))


@dataclass(frozen=True)
class SuitesConfig:
    """Show every suite with its number of tasks, its hash, and what to run before it can be played."""

    json: bool = False
    """Print one JSON list instead of a table; it has whole hashes and the ids of small suites."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(SuitesConfig, sys.argv[1:] if argv is None else argv, program="act-gym suites")
    missing = {entry.id: entry.missing for entry in entries()}
    for each in suites().values():
        each.tasks()  # a suite that is listed is as it was frozen
    if arguments.json:
        listing = [
            {**asdict(each), "success": success_of(each.benchmark), "missing": missing[each.env_id]}
            for each in suites().values()
        ]
        sys.stdout.write(json.dumps(listing, indent=2) + "\n")
        return 0
    rows = [_cells(each, missing[each.env_id]) for each in suites().values()]
    if sys.stdout.isatty():
        _print_table(rows)
    else:
        sys.stdout.writelines("\t".join(row) + "\n" for row in rows)
    return 0


def _cells(each: Suite, missing: Sequence[str]) -> tuple[str, ...]:
    state = "; ".join(missing) or "ready"
    name = f"v{each.version}, {each.simulator}" if each.simulator else f"v{each.version}"
    return each.name, name, str(each.size), str(each.max_turns), each.env_id, each.sha256[:12], state


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("suite", no_wrap=True)
    table.add_column("version")
    for name in ("tasks", "turns"):
        table.add_column(name, justify="right")
    for name in ("environment", "hash", "ready, or what to run first"):
        table.add_column(name)
    for row in rows:
        table.add_row(*row, style=None if row[-1] == "ready" else "dim")
    Console().print(table, markup=False)


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
