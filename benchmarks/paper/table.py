"""Table of measured and published numbers, for a terminal, Markdown and CSV.

A cell without a measurement stays empty. Several seeds give mean and population standard deviation, as in the
paper; fewer seeds than were asked for are counted in brackets.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from statistics import fmean, pstdev
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from benchmarks.paper.rows import Column, Row

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """The paper's table with ours in it.

    Attributes:
        title: Its heading.
        rows: From top to bottom.
        columns: From left to right.
        values: Ours: a row's and column's number by seed, 0–1.
        seeds: How many seeds a full cell has.
        published: Theirs by row: for each of the paper's columns mean and, if given, deviation, in per cent.
        source: Whose numbers those are.
        notes: Remarks under the table.
    """

    title: str
    rows: Sequence[Row]
    columns: Sequence[Column]
    values: Mapping[tuple[str, Column], Mapping[int, float]]
    seeds: int
    published: Mapping[str, Sequence[Sequence[float]]]
    source: str
    notes: Sequence[str] = ()

    def ours(self, row: Row, column: Column) -> str:
        """Return a cell of ours, e.g. `62.14 ± 7.72`; empty if nothing was measured."""
        found = [100 * value for value in self.values.get((row.name, column), {}).values()]
        if not found:
            return ""
        spread = f" ± {pstdev(found):.2f}" if len(found) > 1 else ""
        missing = f" ({len(found)} of {self.seeds})" if len(found) < self.seeds else ""
        return f"{fmean(found):.2f}{spread}{missing}"

    def theirs(self, row: Row, column: Column) -> str:
        """Return a published cell; empty if there is none."""
        cells = self.published.get(row.name, ())
        cell = cells[column.place] if 0 <= column.place < len(cells) else ()
        return " ± ".join(f"{number:.2f}" for number in cell)

    def print(self, file: TextIO | None = None) -> None:
        """Print it for a terminal: published numbers below ours."""
        file = file or sys.stdout
        console = Console(file=file, highlight=False, width=None if file.isatty() else 160)
        drawn = RichTable(
            title=escape(self.title), title_justify="left", caption=escape(f"per cent; below: {self.source}")
        )
        drawn.add_column("")
        for column in self.columns:
            drawn.add_column(escape(column.title), justify="right")
        for row in self.rows:
            cells = (f"{self.ours(row, column)}\n[dim]{self.theirs(row, column)}[/dim]" for column in self.columns)
            drawn.add_row(escape(row.title), *cells, end_section=True)
        console.print(drawn)
        for note in self.notes:
            console.print(escape(note), soft_wrap=True)

    def markdown(self) -> str:
        """Return it as Markdown: ours / published."""
        heads = ["", *(column.title for column in self.columns)]
        lines = [f"### {self.title}", "", f"Ours / {self.source}; per cent.", ""]
        lines += [f"| {' | '.join(heads)} |", f"|---|{'--:|' * len(self.columns)}"]
        for row in self.rows:
            cells = [self._both(row, column) for column in self.columns]
            lines.append(f"| {' | '.join([row.title, *cells])} |")
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)]).rstrip() + "\n"

    def csv(self) -> str:
        """Return it as CSV: one line a row and column, seeds apart."""
        out = StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            ["row", "benchmark", "column", "mean", "std", "seeds", "values", "published_mean", "published_std"]
        )
        for row in self.rows:
            for column in self.columns:
                found = [100 * value for _, value in sorted(self.values.get((row.name, column), {}).items())]
                cells = self.published.get(row.name, ())
                cell = [*(cells[column.place] if 0 <= column.place < len(cells) else ()), "", ""][:2]
                ours = [f"{fmean(found):.4f}", f"{pstdev(found):.4f}"] if found else ["", ""]
                each = " ".join(f"{value:.4f}" for value in found)
                writer.writerow([row.name, column.benchmark, column.title, *ours, len(found), each, *cell])
        return out.getvalue()

    def _both(self, row: Row, column: Column) -> str:
        ours, theirs = self.ours(row, column), self.theirs(row, column)
        return f"{ours} / {theirs}".strip() if ours or theirs else ""
