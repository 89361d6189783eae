"""Summaries as tables for a terminal."""

from __future__ import annotations

import json
import sys
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.pages.markup import plain
from benchmarks.shown.headline import Headline
from benchmarks.statistics.measurement import Measurement, Summary

__all__ = ["COLUMNS", "COUNTS", "columns_of", "in_words", "print_headline", "print_summary", "show_summary"]

# Kind of run: the measurements it shows, each with its heading.
COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "episodes": (
        ("success", "success"),
        ("score", "score"),
        ("turns", "turns"),
        ("invalid_actions", "invalid"),
        ("prompt_tokens", "tokens read"),
        ("completion_tokens", "tokens written"),
    ),
    "judgement": (
        ("accuracy", "both orders"),
        ("accuracy_expert_first", "expert first"),
        ("accuracy_expert_second", "expert second"),
        ("right_in_both", "right in both"),
        ("first_chosen", "chose first"),
        ("malformed", "malformed"),
        ("accuracy_suppressed", "reasoning suppressed"),
        ("accuracy_injected", "wrong rationale"),
        ("alternative_chosen_injected", "followed it"),
    ),
    "reasoning": (
        ("accuracy", "right"),
        ("no_answer", "no answer"),
    ),
    "next_action": (
        ("accuracy", "next action"),
        ("admissible", "admissible"),
        ("malformed", "malformed"),
        ("candidates", "candidates"),
        ("accuracy_suppressed", "reasoning suppressed"),
        ("accuracy_injected", "wrong rationale"),
        ("alternative_chosen", "took the alternative"),
        ("alternative_chosen_injected", "followed the rationale"),
    ),
}
COUNTS = frozenset({"turns", "prompt_tokens", "completion_tokens", "candidates"})


def columns_of(summary: Summary) -> tuple[tuple[str, str], ...]:
    """Return the measurements that a table of a summary shows, each with its heading; none that it lacks throughout."""
    measured = {one.name for one in summary.measurements}
    return tuple(column for column in COLUMNS[summary.kind] if column[0] in measured)


def in_words(measurement: Measurement | None) -> str:
    """Return a number as a table shows it: shares in per cent, the interval in brackets."""
    if measurement is None:
        return "–"
    if measurement.name in COUNTS:
        return f"{measurement.value:,.1f}"
    sign = "+" if " - " in measurement.split else ""
    value = f"{100 * measurement.value:{sign}.1f}"
    if measurement.low is None or measurement.high is None:
        return value
    return f"{value} [{100 * measurement.low:{sign}.1f}, {100 * measurement.high:{sign}.1f}]"


def show_summary(summary: Summary, *, as_json: bool) -> None:
    """Write a summary to stdout, as a table for people or as JSON for programs."""
    if as_json:
        sys.stdout.write(json.dumps(summary.to_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        print_summary(summary)


def print_summary(summary: Summary, file: TextIO | None = None) -> None:
    """Print a summary: all splits, then their task types, the gap, and why episodes failed."""
    file = file or sys.stdout
    console = Console(file=file, highlight=False, width=None if file.isatty() else 140)
    console.print(_table(summary))
    for line in _tests(summary):
        console.print(line, soft_wrap=True, markup=False)
    if summary.failures:
        console.print("without success:")
        for cause, count in list(summary.failures.items())[:8]:
            console.print(f"  {count:>5}  {_inert(cause)}", soft_wrap=True)


def print_headline(headline: Headline, file: TextIO | None = None) -> None:
    """Print runs side by side, one row a label."""
    file = file or sys.stdout
    table = Table(title=_inert(headline.benchmark), title_justify="left", caption="per cent with 95 % intervals")
    table.add_column("")
    for column in headline.columns:
        table.add_column(f"{_inert(column.heading)}\n{_inert(column.split or 'all')}", justify="right")
    for label in headline.labels:
        cells = [in_words(headline.cells.get((label, column))).replace(" ", "\n", 1) for column in headline.columns]
        table.add_row(_inert(label), *cells, end_section=True)
    Console(file=file, highlight=False, width=None if file.isatty() else 140).print(table)


def _table(summary: Summary) -> Table:
    table = Table(
        title=_inert(" · ".join(dict.fromkeys((summary.label, summary.subject)))),
        title_justify="left",
        caption=_caption(summary),
        caption_justify="left",
    )
    table.add_column("split")
    table.add_column("n", justify="right")
    columns = columns_of(summary)
    for _, heading in columns:
        table.add_column(heading, justify="right")
    groups: dict[tuple[str, str, str], dict[str, Measurement]] = {}
    for measurement in summary.measurements:
        groups.setdefault(measurement.group, {})[measurement.name] = measurement
    previous = None
    for group, found in sorted(groups.items(), key=lambda item: _place(item[0])):
        if previous is not None and group[:2] != previous[:2]:
            table.add_section()
        previous = group
        n = next(found[name].n for name, _ in columns if name in found)  # tasks, of which each may have many seeds
        cells = [in_words(found.get(name)) + _spread(found.get(f"{name}_std_over_seeds")) for name, _ in columns]
        table.add_row(_title(group), str(n), *cells, style="" if group[2] else "bold")
    return table


def _caption(summary: Summary) -> str:
    words = "per cent with 95 % intervals"
    spread = any(one.name.endswith("_std_over_seeds") for one in summary.measurements)
    return f"{words}; ± is the population standard deviation over seeds" if spread else words


def _spread(measurement: Measurement | None) -> str:
    return "" if measurement is None else f" ±{100 * measurement.value:.1f}"


def _tests(summary: Summary) -> list[str]:
    """Return a line for each gap with how likely it is to come of chance alone."""
    values = {(*one.group[:2], one.name): one.value for one in summary.measurements if one.name.endswith("_p_value")}
    groups = dict.fromkeys((benchmark, split) for benchmark, split, _ in values)
    lines = []
    for benchmark, split in groups:
        found = [(name, values.get((benchmark, split, f"{name}_p_value"))) for name in ("success", "score")]
        words = ", ".join(f"p = {value:.2g} for {name}" for name, value in found if value is not None)
        lines.append(f"{benchmark} {split}: {words} if there were no difference")
    return lines


def _title(group: tuple[str, str, str]) -> str:
    benchmark, split, task_type = group
    return f"  {_inert(task_type)}" if task_type else _inert(" ".join(filter(None, (benchmark, split))) or "all")


def _place(group: tuple[str, str, str]) -> tuple[str, bool, str, str]:
    benchmark, split, task_type = group
    return benchmark, " - " in split, split, task_type


def _inert(text: str) -> str:
    """Return text that acts neither on a terminal nor as markup; names and errors come from anybody."""
    return escape(plain(" ".join(text.split())))
