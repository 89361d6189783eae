"""Learning curves of trainings: loss, reward, token accuracy, and games solved on the evaluation panel, over steps.

Read from the `metrics.jsonl` and `evals.jsonl` of run folders, those of a pipeline's stages and of DAgger's rounds too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from pathlib import Path
from typing import Any

from act_gym.errors import UsageError
from act_gym.io.jsonl import read_records
from benchmarks.html_report import charts
from benchmarks.html_report.markup import Markup, element, plain

__all__ = ["Curve", "Training", "learning_curves", "trainings"]

Point = tuple[int, float]

_SHOWN = {
    "loss": "Loss",
    "reward": "Reward",
    "success": "Episodes solved while training",
    "accuracy": "Expert's action chosen",
    "preferred": "Expert's action preferred",
    "token_accuracy": "Token accuracy",
    "format_error_rate": "Malformed replies",
}
"""Metrics that are drawn, with their headings."""

_SAMPLES = 12  # steps whose reply to a question is shown
_REPLY, _PROMPT = 2000, 20_000  # characters
_POINTS = 240  # of a line; more steps are averaged in groups
_WIDTH, _HEIGHT, _LEFT, _TOP = 420, 150, 44, 10


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        label: Its folder, as the reader named it.
        metrics: The values of each metric by step.
        evals: Lines of `evals.jsonl`.
        samples: Lines of `samples.jsonl`, by the number of the question.
    """

    label: str
    metrics: Mapping[str, Sequence[Point]]
    evals: Sequence[Mapping[str, Any]]
    samples: Mapping[int, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Curve:
    """One line of a chart: values by step, and the bounds of those that have an interval."""

    side: str
    title: str
    points: Sequence[Point]
    bounds: Mapping[int, tuple[float, float]]


def trainings(path: Path) -> list[Training]:
    """Return the trainings in a folder or below it, in the order of their names; none if there is none.

    Raises:
        UsageError: A file of metrics holds something else than numbers.
    """
    folders = sorted(
        {file.parent for name in ("metrics.jsonl", "evals.jsonl") for file in path.rglob(name)}, key=_by_number
    )
    read = (_read(folder, path) for folder in folders)
    return [training for training in read if training.metrics or training.evals]


def _by_number(folder: Path) -> list[tuple[int, str]]:
    """Sort `round-10` behind `round-9`."""
    return [(int(tail) if (tail := part.rpartition("-")[2]).isdecimal() else 0, part) for part in folder.parts]


def _read(folder: Path, root: Path) -> Training:
    metrics: dict[str, dict[int, float]] = {}
    try:
        for line in _lines(folder / "metrics.jsonl"):
            for name in _SHOWN.keys() & line.keys() if "step" in line else ():
                if isfinite(line[name]):
                    metrics.setdefault(name, {})[int(line["step"])] = float(line[name])
        evals = [
            {**line, "step": int(line["step"]), "success": float(line["success"]), "split": str(line["split"])}
            for line in _lines(folder / "evals.jsonl")
        ]
    except (KeyError, TypeError, ValueError) as cause:
        raise UsageError(f"{folder} holds no metrics of a training: {cause}.") from cause
    label = folder.name if folder == root else str(Path(root.name) / folder.relative_to(root))
    ordered = {name: sorted(metrics[name].items()) for name in _SHOWN if name in metrics}
    samples: dict[int, list[Mapping[str, Any]]] = {}
    for line in _lines(folder / "samples.jsonl"):
        samples.setdefault(line["number"], []).append(line)
    return Training(label, ordered, evals, samples)


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    return read_records(path) if path.is_file() else ()


def learning_curves(found: Sequence[Training]) -> Iterable[Markup]:
    """Yield the charts of each training."""
    if not found:
        return
    yield element("h2", "Training")
    for training in found:
        yield element("h3", training.label)
        figures = [_panel(training.evals)] if training.evals else []
        figures += [
            _figure(_SHOWN[name], [Curve("all", _SHOWN[name], points, {})]) for name, points in training.metrics.items()
        ]
        yield element("div", *figures, class_="figures")
        yield from (_sampled(number, lines) for number, lines in sorted(training.samples.items()))


def _panel(lines: Sequence[Mapping[str, Any]]) -> Markup:
    """Return how many of the panel's games were solved, as a chart and as a table."""
    curves = []
    for split in dict.fromkeys(line["split"] for line in lines):
        own = [line for line in lines if line["split"] == split]
        bounds = {
            line["step"]: (float(line["low"]), float(line["high"])) for line in own if line.get("low") is not None
        }
        points = sorted((line["step"], line["success"]) for line in own)
        side = next((side for side in ("unseen", "seen") if split.endswith(side)), "all")
        curves.append(Curve(side, split, points, bounds))
    rows = [
        element(
            "tr",
            element("th", line["step"], scope="row"),
            element("td", line["split"]),
            element("td", f"{line.get('solved', '–')} of {line.get('games', '–')}", class_="number"),
            element("td", f"{line.get('turns', 0):.1f}", class_="number"),
        )
        for line in sorted(lines, key=lambda line: line["step"])
    ]
    heads = (element("th", head, scope="col") for head in ("step", "split", "solved", "turns"))
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows))
    fold = element("details", element("summary", "numbers", class_="small soft"), table)
    return _figure("Games solved, per cent", curves, fold, share=True)


def _sampled(number: int, lines: Sequence[Mapping[str, Any]]) -> Markup:
    """Return a question with the replies to it, folded: those of a dozen steps, evenly spread, the last among them."""
    shown = lines[:: -1 - len(lines) // _SAMPLES][::-1]
    rows = []
    for line in shown:
        reward = element("td", f"{line['reward']:g}", class_="number") if "reward" in line else None
        reply = element("td", element("pre", plain(str(line["reply"]), _REPLY)))
        rows.append(element("tr", element("th", line["step"], scope="row"), reply, reward))
    names = ("step", "greedy reply", "reward") if "reward" in lines[0] else ("step", "greedy reply")
    heads = (element("th", name, scope="col") for name in names)
    target = [element("p", "target: ", element("code", lines[0]["target"]))] if "target" in lines[0] else []
    return element(
        "details",
        element("summary", element("b", f"Question {number}"), element("span", f"{len(lines)} replies", class_="soft")),
        element(
            "div",
            element("pre", plain(str(lines[0]["prompt"]), _PROMPT), class_="said raw"),
            *target,
            element("table", element("thead", element("tr", *heads)), element("tbody", *rows)),
        ),
        class_="card run",
    )


def _figure(title: str, curves: Sequence[Curve], *more: Markup, share: bool = False) -> Markup:
    """Return a chart of curves over steps.

    Args:
        title: Title of the chart.
        curves: At least one, each with a point.
        more: Elements after the chart.
        share: Whether the axis is from 0 to 100 per cent.
    """
    values = [value for curve in curves for _, value in curve.points]
    steps = [step for curve in curves for step, _ in curve.points]
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0] if share else _ticks(min(values), max(values))
    first, last, low, high = min(steps), max(max(steps), min(steps) + 1), ticks[0], ticks[-1]

    def across(step: float) -> float:
        return _LEFT + 8 + (_WIDTH - _LEFT - 24) * (step - first) / (last - first)

    def down(value: float) -> float:
        return _TOP + _HEIGHT * (1 - (value - low) / (high - low))

    parts: list[Markup] = []
    for tick in ticks:
        text = f"{100 * tick:.0f}" if share else f"{tick:g}"
        parts.append(
            element("line", x1=_LEFT, x2=_WIDTH, y1=f"{down(tick):.1f}", y2=f"{down(tick):.1f}", class_="grid")
        )
        parts.append(element("text", text, x=_LEFT - 6, y=f"{down(tick) + 4:.1f}", text_anchor="end"))
    for step in dict.fromkeys((first, (first + last) // 2, last)):
        parts.append(element("text", step, x=f"{across(step):.1f}", y=_TOP + _HEIGHT + 18, text_anchor="middle"))
    for number, curve in enumerate(curves):
        shift = 6 * (number - (len(curves) - 1) / 2)  # so that no interval hides another
        points = _averaged(curve.points)
        line = " ".join(f"{across(step) + shift:.1f},{down(value):.1f}" for step, value in points)
        inside = [element("polyline", points=line, class_="line")]
        for step, (below, above) in curve.bounds.items():
            x = f"{across(step) + shift:.1f}"
            ends = {"y1": f"{down(below):.1f}", "y2": f"{down(above):.1f}"}
            inside.append(element("line", x1=x, x2=x, **ends, class_="whisker"))
        if share or len(points) == 1:
            inside += [charts.mark(across(step) + shift, down(value), curve.side) for step, value in points]
        parts.append(element("g", *inside, class_=curve.side))
    said = "; ".join(
        f"{curve.title}: {curve.points[0][1]:.3g} at step {curve.points[0][0]}, "
        f"{curve.points[-1][1]:.3g} at step {curve.points[-1][0]}"
        for curve in curves
    )
    picture = element(
        "svg",
        *parts,
        class_="learning",
        viewBox=f"0 0 {_WIDTH} {_TOP + _HEIGHT + 26}",
        width=_WIDTH,
        role="img",
        aria_label=f"{title} over optimizer steps. {said}",
    )
    legend = charts.key([(curve.side, curve.title) for curve in curves]) if share else None
    caption = element("figcaption", element("b", title), legend)
    return element("figure", caption, picture, *more, class_="card")


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers that reach from below the lowest value to above the highest."""
    span = (high - low) or abs(high) or 1.0
    step = 10.0 ** floor(log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step * 4 >= span)
    first = floor(low / step)
    count = next(number for number in range(1, 8) if (first + number) * step >= high)
    return [round((first + number) * step, 12) for number in range(count + 1)]


def _averaged(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Return at most `_POINTS` points, each the mean of as many neighbours."""
    size = -(-len(points) // _POINTS)
    groups = (points[start : start + size] for start in range(0, len(points), size))
    return [
        (sum(step for step, _ in group) / len(group), sum(value for _, value in group) / len(group)) for group in groups
    ]
