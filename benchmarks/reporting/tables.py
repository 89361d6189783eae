"""Tables of summaries for the terminal, and the headline table of several runs for terminal and page."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.html_report.markup import plain
from benchmarks.stats.measurement import Measurement, Summary

__all__ = [
    "COLUMNS",
    "COUNTS",
    "Column",
    "Headline",
    "bounds",
    "chance",
    "columns_of",
    "headlines",
    "in_words",
    "percent",
    "print_headline",
    "print_summary",
    "show_summary",
    "where_it_fails",
]


# Compared numbers: kind of run, measurement, heading.
_COMPARED = (
    ("judge", "accuracy", "judgement, both orders"),
    ("judge", "accuracy_suppressed", "judgement, reasoning suppressed"),
    ("judge", "accuracy_injected", "judgement, wrong rationale"),
    ("next_action", "accuracy", "next action"),
    ("next_action", "accuracy_suppressed", "next action, reasoning suppressed"),
    ("next_action", "accuracy_injected", "next action, wrong rationale"),
    ("reasoning", "accuracy", "right"),
    ("episodes", "errors", "errors"),
    ("episodes", "success", "episode success"),
    ("episodes", "score", "episode score"),
)


@dataclass(frozen=True)
class Column:
    """One measurement of one split.

    Attributes:
        kind: Kind of run.
        name: The measurement.
        split: Whose tasks.
        heading: Title of the measurement.
        suite: The suite, or which part of the split, where all runs have the same one.
    """

    kind: str
    name: str
    split: str
    heading: str
    suite: str = ""

    @property
    def title(self) -> str:
        """Which tasks: the suite, or the split of the benchmark in question."""
        return self.suite or self.split or "all"


@dataclass(frozen=True)
class Headline:
    """All runs on one benchmark.

    Attributes:
        benchmark: Whose tasks.
        labels: The rows, in the order of the runs.
        columns: Those that some run fills.
        cells: The numbers; a run that did not measure something has none there.
        gaps: Seen minus unseen, by label and measurement.
    """

    benchmark: str
    labels: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[str, Column], Measurement]
    gaps: Mapping[tuple[str, str], Measurement]

    @property
    def has_errors(self) -> bool:
        """Whether an episode of any run ended with an error."""
        return any(one.value for one in self.cells.values() if one.name == "errors")

    def errors(self, label: str) -> int | None:
        """Return how many episodes of a run ended with an error; None for a run of another kind."""
        counts = [one.value for (row, _), one in self.cells.items() if row == label and one.name == "errors"]
        return round(sum(counts)) if counts else None


def headlines(runs: Sequence[tuple[str, Summary]]) -> tuple[Headline, ...]:
    """Join runs by their labels, benchmark by benchmark.

    Args:
        runs: Folder and summary of each; the folder tells two runs of one kind and label apart.
    """
    names = sorted({one.benchmark for _, summary in runs for one in summary.measurements})
    return tuple(_headline(name, runs) for name in names)


def _headline(benchmark: str, runs: Sequence[tuple[str, Summary]]) -> Headline:
    found: dict[tuple[str, str, str, str, str], Measurement] = {}  # label, kind, name, split, suite
    labels: dict[str, None] = {}
    for folder, summary in runs:
        taken = any(key[:2] == (summary.label, summary.kind) for key in found)
        label = f"{summary.label} ({folder})" if taken else summary.label
        for one in summary.measurements:
            if one.benchmark == benchmark and not one.task_type:
                found[label, summary.kind, one.name, one.split, one.suite] = one
                labels.setdefault(label)
    columns: list[Column] = []
    cells: dict[tuple[str, Column], Measurement] = {}
    for kind, name, heading in _COMPARED:
        if name == "score" and all(one.value == _success(found, key) for key, one in found.items() if key[2] == name):
            continue
        chosen = {key: one for key, one in found.items() if key[1:3] == (kind, name) and " - " not in key[3]}
        for split in sorted({key[3] for key in chosen}):
            for suite, of_suite in _by_suite({key: one for key, one in chosen.items() if key[3] == split}):
                columns.append(column := Column(kind, name, split, heading, suite))
                cells |= {(key[0], column): one for key, one in of_suite.items()}
    gaps = {(label, name): one for (label, _, name, split, _), one in found.items() if " - " in split}
    return Headline(benchmark, tuple(labels), tuple(columns), cells, gaps)


_Key = tuple[str, str, str, str, str]


def _success(found: Mapping[_Key, Measurement], key: _Key) -> float | None:
    one = found.get((key[0], key[1], "success", *key[3:]))
    return None if one is None else one.value


def _by_suite(found: Mapping[_Key, Measurement]) -> list[tuple[str, Mapping[_Key, Measurement]]]:
    """Return the columns of one split: one for all runs, unless a run has several suites of it."""
    suites = sorted({key[4] for key in found})
    if len({key[0] for key in found}) == len(found):
        return [(suites[0] if len(suites) == 1 else "", found)]
    return [(suite, {key: one for key, one in found.items() if key[4] == suite}) for suite in suites]


# Kind of run: the measurements it shows, each with its heading.
COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "episodes": (
        ("errors", "errors"),
        ("success", "success"),
        ("success_sampled", "of samples"),
        ("score", "score"),
        ("turns", "turns"),
        ("invalid_actions", "invalid"),
        ("prompt_tokens", "tokens read"),
        ("completion_tokens", "tokens written"),
    ),
    "judge": (
        ("accuracy", "both orders"),
        ("accuracy_expert_first", "expert first"),
        ("accuracy_expert_second", "expert second"),
        ("right_in_both", "right in both"),
        ("first_chosen", "chose first"),
        ("format_error_rate", "malformed"),
        ("numbered", "by number"),
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
        ("format_error_rate", "malformed"),
        ("candidates", "candidates"),
        ("accuracy_suppressed", "reasoning suppressed"),
        ("accuracy_injected", "wrong rationale"),
        ("alternative_chosen", "took the alternative"),
        ("alternative_chosen_injected", "followed the rationale"),
    ),
}
COUNTS = frozenset({"errors", "turns", "prompt_tokens", "completion_tokens", "candidates"})
_RARE = frozenset({*COUNTS, "invalid_actions", "format_error_rate", "numbered", "no_answer"})  # not shown if all zero
SHORT = {
    "look_at_obj_in_light": "look in light",
    "pick_and_place_simple": "pick and place",
    "pick_clean_then_place_in_recep": "clean and place",
    "pick_cool_then_place_in_recep": "cool and place",
    "pick_heat_then_place_in_recep": "heat and place",
    "pick_two_obj_and_place": "pick two and place",
}
"""Task types with long names, and what a table for people calls them."""
_TITLE_WIDTH = 30


def columns_of(summary: Summary) -> tuple[tuple[str, str], ...]:
    """Return the measurements that a table of a summary shows, each with its heading; none that it lacks throughout."""
    measured = {one.name for one in summary.measurements}
    return tuple(column for column in COLUMNS[summary.kind] if column[0] in measured)


def in_words(measurement: Measurement | None) -> str:
    """Return a number as a table shows it: shares in per cent, the interval in brackets."""
    if measurement is None:
        return "–"
    if measurement.name == "errors":
        return f"{measurement.value:,.0f}"
    if measurement.name in COUNTS:
        return f"{measurement.value:,.1f}"
    signed = " - " in measurement.split
    value = percent(measurement.value, signed=signed)
    if measurement.low is None or measurement.high is None:
        return value
    return f"{value} {bounds(measurement.low, measurement.high, signed=signed)}"


def percent(share: float, *, signed: bool = False, digits: int = 1) -> str:
    """Return a share in per cent, e.g. `12.5`, or a difference with its sign, e.g. `−8.2`."""
    text = f"{100 * share:{'+' if signed else ''}.{digits}f}".replace("-", "−")
    zero = f"−{0:.{digits}f}"
    return text.replace("−", "+" if signed else "") if text == zero else text


def bounds(low: float, high: float, *, signed: bool = False) -> str:
    """Return an interval in per cent, in brackets."""
    return f"[{percent(low, signed=signed)}, {percent(high, signed=signed)}]"


def chance(p_value: float | None) -> str:
    """Return a p-value as all tables show it; a dash where nothing was tested."""
    if p_value is None:
        return "–"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


_OF_TURNS = {
    "unparsable": "without an action",
    "inadmissible": "inadmissible",
    "no_effect": "without effect",
    "repeated": "repeated",
}
_OF_EPISODES = {"truncated": "reached the step limit", "dead_end": "ended in a dead end"}
_OF_PURCHASES = {
    "reward_type": "type",
    "reward_attributes": "attributes",
    "reward_options": "options",
    "reward_price": "price",
}


def where_it_fails(summary: Summary) -> list[str]:
    """Return a line for each split on lost turns, limits, dead ends, reward parts and pass@k; shares in per cent."""
    groups: dict[str, dict[str, float]] = {}
    for one in summary.measurements:
        if not one.task_type and " - " not in one.split:
            groups.setdefault(one.title, {})[one.name] = one.value
    lines = []
    for title, found in groups.items():
        parts = [
            f"{kind}: {', '.join(f'{percent(found[name])} {word}' for name, word in words.items() if name in found)}"
            for kind, words in (("of turns", _OF_TURNS), ("of episodes", _OF_EPISODES), ("reward", _OF_PURCHASES))
            if any(name in found for name in words)
        ]
        if "off_plan" in found:
            parts.append(f"first turn off the expert's plan: {found['off_plan']:.1f}")
        passes = [f"{name} {percent(value)}" for name, value in found.items() if name.startswith("pass@")]
        parts += [f"pass@1 {percent(found['success'])}, {', '.join(passes)}"] if passes else []
        lines += [f"{title}: {'; '.join(parts)}"] if parts else []
    return lines


def show_summary(summary: Summary, *, as_json: bool, folder: Path | None = None) -> None:
    """Write a summary to stdout, as a table for people or as JSON for programs.

    Args:
        summary: The numbers of a run.
        as_json: Whether to write JSON.
        folder: The run folder, which the last line names together with the next command.
    """
    if as_json:
        sys.stdout.write(json.dumps(summary.to_json(), indent=2, ensure_ascii=False) + "\n")
        return
    print_summary(summary)
    if folder is not None:
        quoted = shlex.quote(str(folder))
        sys.stdout.write(f"\nIn {folder}. Next: act-gym report {quoted} --out report.html\n")


def print_summary(summary: Summary, file: TextIO | None = None) -> None:
    """Print a summary: all splits, then their task types, the gap, and why episodes failed."""
    console = _console(file)
    console.print(_table(summary))
    for line in _tests(summary):
        console.print(line, soft_wrap=True, markup=False)
    for line in where_it_fails(summary):
        console.print(_inert(line), soft_wrap=True)
    if summary.failures:
        console.print("without success:")
        for cause, count in list(summary.failures.items())[:8]:
            console.print(f"  {count:>5}  {_inert(cause)}", soft_wrap=True)


def print_headline(headline: Headline, file: TextIO | None = None) -> None:
    """Print runs side by side: a table for each measurement, one row a label, one column a split."""
    console = _console(file)
    shares = [column for column in headline.columns if column.name != "errors"]
    for heading in dict.fromkeys(column.heading for column in shares):
        columns = [column for column in shares if column.heading == heading]
        with_gap = any((label, columns[0].name) in headline.gaps for label in headline.labels)
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("")
        for column in columns:
            table.add_column(_inert(column.title), justify="right", overflow="fold")
            table.add_column("n", justify="right")
        for name in ["seen − unseen"] * with_gap + ["errors"] * headline.has_errors:
            table.add_column(name, justify="right")
        for label in headline.labels:
            found = [headline.cells.get((label, column)) for column in columns]
            if not any(found):
                continue
            cells = [cell for one in found for cell in (_brief(one), "" if one is None else str(one.n))]
            cells += [_brief(headline.gaps.get((label, columns[0].name)))] * with_gap
            errors = headline.errors(label) if headline.has_errors else None
            table.add_row(_inert(label), *cells, *([] if errors is None else [str(errors)]))
        console.print(f"{headline.benchmark}: {heading}", markup=False)
        console.print(table)
    console.print(_about_errors(headline.has_errors))


def _console(file: TextIO | None) -> Console:
    file = file or sys.stdout
    return Console(file=file, highlight=False, width=None if file.isatty() else 160)


def _table(summary: Summary) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=_inert(" · ".join(dict.fromkeys((summary.label, summary.subject)))),
        title_justify="left",
        caption=_caption(summary),
        caption_justify="left",
    )
    table.add_column("split")
    table.add_column("n", justify="right")
    columns = [column for column in columns_of(summary) if _informs(summary, column[0])]
    for _, heading in columns:
        table.add_column(heading, justify="right")
    groups: dict[tuple[str, str, str], dict[str, Measurement]] = {}
    titles = {}
    for measurement in summary.measurements:
        groups.setdefault(measurement.group, {})[measurement.name] = measurement
        titles[measurement.group[:2]] = measurement.title
    previous = None
    for group, found in sorted(groups.items(), key=lambda item: _place(item[0])):
        if previous is not None and group[:2] != previous[:2]:
            table.add_section()
        previous = group
        # Tasks, of which each may have many seeds; errors are counted by episode.
        n = next(found[name].n for name, _ in columns if name in found and name != "errors")
        cells = [_brief(found.get(name)) + _spread(found.get(f"{name}_std_over_seeds")) for name, _ in columns]
        table.add_row(_title(group[2], titles[group[:2]]), str(n), *cells, style="" if group[2] else "bold")
    return table


def _informs(summary: Summary, name: str) -> bool:
    """Return whether a column says something: rare events that occurred, and a score that is not the success."""
    values = {one.group: one.value for one in summary.measurements if one.name == name}
    if name == "score":
        return values != {one.group: one.value for one in summary.measurements if one.name == "success"}
    return name not in _RARE or any(values.values())


def _brief(measurement: Measurement | None) -> str:
    """Return a number with an interval in whole per cent, so that a table fits in 80 columns."""
    value, _, interval = in_words(measurement).partition(" ")
    if not interval or measurement is None or measurement.low is None or measurement.high is None:
        return value
    signed = " - " in measurement.split
    low, high = (percent(share, signed=signed, digits=0) for share in (measurement.low, measurement.high))
    return f"{value} [{low}, {high}]"


def _caption(summary: Summary) -> str:
    words = _about_errors(summary.errors > 0)
    names = {one.name for one in summary.measurements}
    if any(name.endswith("_std_over_seeds") for name in names):
        words += "; ± is the population standard deviation over seeds"
    if "success_sampled" in names:
        words += "; of samples: 95 of 100 samples of tasks that the protocol's papers draw have a success in this range"
    return words


def _about_errors(has_errors: bool) -> str:
    errors = "; an error counts as a failure, and a split that holds one has no interval" if has_errors else ""
    return f"per cent with 95 % intervals{errors}"


def _spread(measurement: Measurement | None) -> str:
    return "" if measurement is None else f" ±{100 * measurement.value:.1f}"


def _tests(summary: Summary) -> list[str]:
    """Return a line for each gap with how likely it is to come of chance alone."""
    found: dict[str, list[str]] = {}
    for one in summary.measurements:
        name, is_test, _ = one.name.partition("_p_value")
        if is_test:
            found.setdefault(one.title, []).append(f"p = {chance(one.value)} for {name}".replace("= <", "<"))
    return [f"{title}: {', '.join(words)} if there were no difference" for title, words in found.items()]


def _title(task_type: str, title: str) -> str:
    if task_type:
        return f"  {_inert(SHORT.get(task_type, task_type))[:_TITLE_WIDTH]}"
    first, gap, second = title.partition(" − ")
    return _inert(_gap_title(first, second)) if gap and len(title) > _TITLE_WIDTH else _inert(title)


def _gap_title(first: str, second: str) -> str:
    """Return the title of a gap without what both names share: `webshop-seen − -unseen` is `seen − unseen`."""
    ones, others = (title.replace(" ", "-").split("-") for title in (first, second))
    while len(ones) > 1 and len(others) > 1 and ones[0] == others[0]:
        ones, others = ones[1:], others[1:]
    while len(ones) > 1 and len(others) > 1 and ones[-1] == others[-1]:
        ones, others = ones[:-1], others[:-1]
    return f"{'-'.join(ones)} − {'-'.join(others)}"


def _place(group: tuple[str, str, str]) -> tuple[str, bool, str, str]:
    benchmark, split, task_type = group
    return benchmark, " - " in split, split, task_type


def _inert(text: str) -> str:
    """Return text that acts neither on a terminal nor as markup; names and errors come from anybody."""
    return escape(plain(" ".join(text.split())))
