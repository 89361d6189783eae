"""Compares two evaluations task by task: `act-gym compare runs/a runs/b`.

Both must have played the same suites, by their hashes, under the same simulators and settings; anything else is
refused, with a table of what differs. A task that was played with several seeds counts once, with its mean.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional

from act_gym.config import parse
from act_gym.errors import FailedEpisodesError, RunError, UnknownNameError, UsageError
from act_gym.io.run_dir import difference_table, differences
from benchmarks.reporting.tables import bounds, chance, percent
from benchmarks.run.loader import FinishedRun
from benchmarks.stats.intervals import Interval
from benchmarks.stats.paired import Contrast, contrasts, gap

__all__ = ["CompareConfig", "compare", "main"]

_TESTS = {"mcnemar": "McNemar, exact", "permutation": "permutation of tasks"}
# Facts that decide a suite's numbers, except the agent. The number of tasks in the whole split does not.
_OF_SUITE = ("sha256", "env_id", "step_limit", "tasks", "catalogue", "generator", "games_sha256", "simulator")


@dataclass(frozen=True)
class CompareConfig:
    """Compare two evaluations on the same tasks."""

    first: Positional[Path]
    """A run folder of `act-gym eval` or `act-gym merge`."""
    second: Positional[Path]
    """Another, of the same suites. Differences are the first minus the second."""
    suite: tuple[str, ...] = ()
    """Only these suites, which both must have; all if none is given."""
    detect: float = 0.0
    """A difference of success or score, e.g. 0.05: says how many seeds it takes to see it with `--power`."""
    power: float = 0.8
    """How often that difference shall be seen."""
    count_errors: bool = False
    """Compare although episodes ended with an error, and count each of them as a failure."""
    task_types: bool = False
    """Show every type of task as well."""
    json: bool = False
    """Print JSON instead of tables."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(CompareConfig, sys.argv[1:] if argv is None else argv, program="act-gym compare")
    if arguments.detect and not 0 < arguments.detect <= 1:
        raise UsageError(f"--detect is a difference in 0-1, e.g. 0.05 for five per cent; got {arguments.detect:g}.")
    runs = FinishedRun.read(arguments.first), FinishedRun.read(arguments.second)
    if not arguments.count_errors:
        _check_errors(*runs, arguments.suite)
    found = compare(*runs, suites=arguments.suite, detect=arguments.detect, power=arguments.power)
    _note_versions(*runs)
    if arguments.json:
        listing = {"labels": [run.label for run in runs], "contrasts": [each.to_json() for each in found]}
        sys.stdout.write(json.dumps(listing, indent=2, ensure_ascii=False) + "\n")
    else:
        titles = {name: runs[0].title(name) for name in runs[0].suites}
        _print(found, _labels(*runs), titles, types=arguments.task_types)
    return 0


def compare(
    first: FinishedRun, second: FinishedRun, *, suites: Sequence[str] = (), detect: float = 0.0, power: float = 0.8
) -> list[Contrast]:
    """Compare two runs: every suite, and the gap between each pair of seen and unseen ones.

    Args:
        first: One run.
        second: Another of the same suites.
        suites: Only these; all if empty.
        detect: See `benchmarks.stats.paired.contrasts`.
        power: See there.

    Raises:
        UnknownNameError: A run has no such suite.
        RunError: They did not play the same under the same conditions.
    """
    for run in (first, second):
        for name in suites:
            if name not in run.suites:
                raise UnknownNameError(f"suite in {run.folder} named", name, run.suites)
    _check(first, second, suites)
    generator = np.random.default_rng(0)
    found: dict[str, list[Contrast]] = {}
    for name in suites or first.suites:
        if first.suites[name]["tasks"]:
            found[name] = contrasts(name, first.of(name), second.of(name), generator, detect=detect, power=power)
    listed = [contrast for group in found.values() for contrast in group]
    for seen, unseen in _pairs(first, list(found)):
        listed += [gap(near, far) for near, far in zip(found[seen][:2], found[unseen][:2], strict=True)]
    return listed


def _check(first: FinishedRun, second: FinishedRun, suites: Sequence[str]) -> None:
    changes = differences(*(_conditions(run, suites) for run in (first, second)))
    if changes:
        table = difference_table(changes, ("", str(first.folder), str(second.folder)))
        raise RunError(
            f"The two runs cannot be compared, because they did not measure the same:\n{table}\n"
            "Play the same suites under the same conditions and protocol, or name those that both have with --suite."
        )


def _check_errors(first: FinishedRun, second: FinishedRun, suites: Sequence[str]) -> None:
    rows = [
        f"  {run.folder}  {name}: {run.errors(name):,} of {len(run.of(name)):,} episodes"
        for run in (first, second)
        for name in run.suites
        if (not suites or name in suites) and run.errors(name)
    ]
    if rows:
        listed = "\n".join(rows)
        raise FailedEpisodesError(
            f"Episodes ended with an error, so that the runs do not show how well the agents play:\n{listed}\n"
            "Play them again with act-gym eval --resume, or count each as a failure with --count-errors."
        )


def _note_versions(first: FinishedRun, second: FinishedRun) -> None:
    changes = differences(first.manifest["versions"], second.manifest["versions"])
    if changes:
        words = ", ".join(f"{each.place} {each.first} and {each.second}" for each in changes)
        sys.stderr.write(f"Note: the runs were made with different versions: {words}.\n")


def _conditions(run: FinishedRun, suites: Sequence[str]) -> dict[str, Any]:
    chosen = {name: entry for name, entry in run.suites.items() if not suites or name in suites}
    played = {record["benchmark"] for name in chosen for record in run.of(name)[:1]}
    simulators: Mapping[str, Any] = run.manifest["simulators"]
    return {
        "suites": {name: {key: entry[key] for key in _OF_SUITE if key in entry} for name, entry in chosen.items()},
        "shard": run.manifest["shard"],
        "protocol": run.manifest.get("protocol", "none"),
        "env_options": run.manifest["env_options"],
        "env_option_files": run.manifest.get("env_option_files", {}),
        "simulators": {name: simulators[name] for name in simulators if name in played},
        "success": {name: text for name, text in run.manifest["success"].items() if name in played},
    }


def _pairs(run: FinishedRun, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the suites of seen tasks, each with its suite of unseen tasks."""
    by_environment = {run.suites[name]["env_id"]: name for name in names}
    return [
        (by_environment[f"{env_id.removesuffix('unseen')}seen"], name)
        for env_id, name in by_environment.items()
        if env_id.endswith("unseen") and f"{env_id.removesuffix('unseen')}seen" in by_environment
    ]


def _labels(first: FinishedRun, second: FinishedRun) -> tuple[str, str]:
    alike = first.label == second.label
    return (str(first.folder), str(second.folder)) if alike else (first.label, second.label)


def _print(found: Sequence[Contrast], labels: tuple[str, str], titles: Mapping[str, str], *, types: bool) -> None:
    table = Table(title=escape(" against ".join(labels)), title_justify="left", caption_justify="left")
    table.caption = "per cent with 95 % intervals; the difference is the first minus the second"
    if any(any(each.errors) for each in found):
        table.caption += "\nepisodes that ended with an error are counted as failures"
    for heading in ("suite", "", "n", "errors", *labels, "difference", "better : worse", "p"):
        table.add_column(escape(heading), justify="left" if heading == "suite" else "right")
    previous = ""
    for each in found:
        if each.task_type and not types:
            continue
        if previous and each.suite != previous:
            table.add_section()
        title = " − ".join(titles[name] for name in each.suite.split(" - "))
        heading = f"  {escape(each.task_type)}" if each.task_type else escape(title)
        signed = " - " in each.suite
        table.add_row(
            heading if each.suite != previous or each.task_type else "",
            each.name,
            str(each.tasks),
            " : ".join(map(str, each.errors)),
            _words(each.first, signed=signed),
            _words(each.second, signed=signed),
            _words(each.difference, signed=True),
            "" if each.bootstrap is None else f"{each.only_first} : {each.only_second}",
            "" if each.p_value is None else chance(each.p_value),
        )
        previous = each.suite
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)
    tests = dict.fromkeys(f"{each.name}: {_TESTS[each.test]}" for each in found if each.test)
    console.print(f"p by {', '.join(tests)}; two-sided, for one comparison alone", soft_wrap=True, markup=False)
    for each in found:
        if each.needed is not None:
            console.print(_in_words(each), soft_wrap=True, markup=False)


def _in_words(each: Contrast) -> str:
    needed = each.needed
    assert needed is not None
    asked = f"{each.suite}, {each.name}: a difference of {100 * needed.difference:g} points"
    seen = f"the played episodes can show {100 * needed.smallest:.1f} points"
    often = f"with power {needed.power:g}"
    if needed.seeds is None:
        return f"{asked} is shown by no number of seeds {often}; it takes {needed.tasks:,} such tasks. {seen}."
    least = "at least " if needed.bound else ""
    why = " (each task was played once; two seeds would say how much seeds matter)" if needed.bound else ""
    plural = "seed" if needed.seeds == 1 else "seeds"
    return f"{asked} takes {least}{needed.seeds} {plural} of each agent {often}{why}; {seen}."


def _words(interval: Interval, *, signed: bool) -> str:
    return f"{percent(interval.value, signed=signed)} {bounds(interval.low, interval.high, signed=signed)}"


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
