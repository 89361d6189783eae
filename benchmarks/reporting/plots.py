"""Pictures of a run's numbers as PNG and SVG: success of every split, of every task type, seen against unseen.

Colours are Okabe and Ito's (2008), which people who see colours differently can tell apart; a split also has a
marker of its own, so that the pictures can be read in grey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from act_gym.errors import MissingDependencyError
from benchmarks.reporting.tables import percent
from benchmarks.stats.measurement import Measurement, Summary

__all__ = ["check_plots", "draw", "write_plots"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_INK, _GRID = "#222222", "#dddddd"
_FORMATS = ("png", "svg")
Errors = Mapping[tuple[str, str, str], int]  # how many episodes of a group ended with an error


def write_plots(summary: Summary, folder: Path) -> list[Path]:
    """Write a summary's pictures into a folder and return their paths.

    Args:
        summary: Of the kind `episodes`.
        folder: Where to; made if it is not there.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in draw(summary):
        for kind in _FORMATS:
            path = folder / f"{name}.{kind}"
            # Without a date, the same numbers give the same bytes.
            figure.savefig(path, dpi=160, metadata={"Date": None} if kind == "svg" else None)
            written.append(path)
    return written


def check_plots() -> None:
    """Raise a MissingDependencyError if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", "plots")


def draw(summary: Summary) -> Iterator[tuple[str, Any]]:
    """Yield each picture's name with its matplotlib figure.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    check_plots()
    import matplotlib as mpl
    from matplotlib.figure import Figure  # draws into files, whatever display there is

    style: dict[Any, Any] = {  # matplotlib's own type for the keys lists every one of them
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "text.parse_math": False,  # names are data, and a $ in one is no formula
        "svg.hashsalt": "act-gym",
        "svg.fonttype": "none",
    }
    errors = {one.group: round(one.value) for one in summary.measurements if one.name == "errors"}
    success = [one for one in summary.measurements if one.name == "success"]
    splits = [one for one in success if not one.task_type and " - " not in one.split]
    with mpl.rc_context(style):
        if splits:
            yield "splits", _splits(Figure, splits, summary.label, errors)
        for benchmark in dict.fromkeys(one.benchmark for one in splits):
            own = [one for one in success if one.benchmark == benchmark]
            types = [one for one in own if one.task_type]
            if types:
                yield f"task-types-{benchmark.lower()}", _types(Figure, types, summary.label, benchmark)
            gaps = [one for one in own if not one.task_type and " - " in one.split]
            if gaps:
                sides = [one for one in splits if one.benchmark == benchmark]
                yield f"seen-unseen-{benchmark.lower()}", _gap(Figure, sides, gaps, summary.label, errors)


def _splits(figure_type: Any, splits: Sequence[Measurement], label: str, errors: Errors) -> Any:
    figure, axes = _figure(figure_type, len(splits), f"{label}: success by split")
    for place, one in enumerate(splits):
        _point(axes, one, place, place, one.title)
    _finish(axes, [_counted(one, errors) for one in splits])
    return figure


def _types(figure_type: Any, types: Sequence[Measurement], label: str, benchmark: str) -> Any:
    splits = list(dict.fromkeys(one.title for one in types))
    rows = sorted({one.task_type for one in types})
    figure, axes = _figure(figure_type, len(rows) * max(1.0, 0.6 * len(splits)), f"{label}: {benchmark} by task type")
    for kind, split in enumerate(splits):
        shift = 0.24 * (kind - (len(splits) - 1) / 2)
        for one in (one for one in types if one.title == split):
            _point(axes, one, rows.index(one.task_type) + shift, kind, split)
    _finish(axes, rows)
    _legend(axes)
    return figure


def _gap(
    figure_type: Any, sides: Sequence[Measurement], gaps: Sequence[Measurement], label: str, errors: Errors
) -> Any:
    """Draw both sides and, below a line, what one has over the other."""
    rows, benchmark = [*sides, *gaps], sides[0].benchmark
    figure, axes = _figure(figure_type, len(rows), f"{label}: {benchmark}, seen against unseen")
    for place, one in enumerate(rows):
        _point(axes, one, place, place if place < len(sides) else 3, one.split)
    axes.axhline(len(sides) - 0.5, color=_GRID, linewidth=1)
    axes.axvline(0, color=_INK, linewidth=0.8, linestyle=":")
    names = [_counted(one, errors) for one in sides] + [f"{one.title}\n(difference)" for one in gaps]
    _finish(axes, names, min(min(0.0, one.value) if one.low is None else one.low for one in gaps))
    return figure


def _counted(one: Measurement, errors: Errors) -> str:
    """Return which tasks were measured, how many, and how many episodes ended with an error."""
    failed = errors.get(one.group, 0)
    return f"{one.title} (n = {one.n:,}" + (f", {failed:,} errors: no interval)" if failed else ")")


def _figure(figure_type: Any, rows: float, title: str) -> tuple[Any, Any]:
    figure = figure_type(figsize=(7.2, 1.5 + 0.42 * rows), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", wrap=True)
    return figure, axes


def _point(axes: Any, one: Measurement, place: float, kind: int, name: str) -> None:
    high, width = one.value, None  # without an interval no line is drawn: one of no width would look certain
    if one.low is not None and one.high is not None:
        high = one.high
        width = [[max(0.0, 100 * (one.value - one.low))], [max(0.0, 100 * (high - one.value))]]
    axes.errorbar(
        100 * one.value,
        place,
        xerr=width,
        fmt=_MARKERS[kind % len(_MARKERS)],
        color=_COLOURS[kind % len(_COLOURS)],
        markersize=6,
        capsize=3,
        linewidth=1.6,
        label=name,
    )
    axes.annotate(
        percent(one.value, signed=" - " in one.split),
        (100 * high, place),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def _finish(axes: Any, names: Sequence[str], lowest: float = 0.0) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)  # the first on top
    axes.set_xlim(min(-2, 100 * lowest - 4), 108)  # a marker at 0 is not cut
    axes.set_xlabel("success, % (95 % interval)")
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _legend(axes: Any) -> None:
    handles, names = axes.get_legend_handles_labels()
    kept = dict(zip(names, handles, strict=True))
    if len(kept) > 1:
        axes.legend(
            kept.values(), kept.keys(), loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=len(kept), frameon=False
        )
