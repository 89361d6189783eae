"""Runs side by side: one row a label, one column a measurement and split. For the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.stats.measurement import Measurement, Summary

__all__ = ["Column", "Headline", "headlines"]

# What is compared: kind of run, measurement, heading.
_COMPARED = (
    ("judgement", "accuracy", "judgement, both orders"),
    ("judgement", "accuracy_suppressed", "judgement, reasoning suppressed"),
    ("judgement", "accuracy_injected", "judgement, wrong rationale"),
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
    """One measurement of one split."""

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
    columns = tuple(
        Column(kind, name, split, heading, suite)
        for kind, name, heading in _COMPARED
        for split, suite in sorted({key[3:] for key in found if key[1:3] == (kind, name) and " - " not in key[3]})
    )
    cells = {
        (label, column): found[label, column.kind, column.name, column.split, column.suite]
        for label in labels
        for column in columns
        if (label, column.kind, column.name, column.split, column.suite) in found
    }
    gaps = {(label, name): one for (label, _, name, split, _), one in found.items() if " - " in split}
    return Headline(benchmark, tuple(labels), columns, cells, gaps)
