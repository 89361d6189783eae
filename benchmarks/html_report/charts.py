"""Numbers with their intervals as inline SVG. Colour is never alone: seen is a disc, unseen a diamond, others a square.

Only attributes and classes, no inline style: the page's content policy forbids it, and colours follow the theme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.html_report.markup import Markup, element
from benchmarks.reporting.tables import in_words
from benchmarks.stats.measurement import Measurement

__all__ = ["key", "learning", "mark", "scale", "series_of", "strip", "tail"]

_SIDES = ("seen", "unseen")
_WIDTH, _ROW, _EDGE = 360, 17, 12  # of a strip, in pixels: its width, one series, and room for a mark at 0 and 100


def series_of(split: str) -> str:
    """Return how a split is drawn: `seen`, `unseen` or `all`."""
    side = split.removeprefix("generated-").removeprefix("train-")
    return side if side in _SIDES else "all"


def key(splits: Sequence[tuple[str, str]]) -> Markup:
    """Return the legend of the marks: each split with its title."""
    entries = []
    for split, title in dict.fromkeys(splits):
        sign = element("svg", mark(8, 8, series_of(split)), viewBox="0 0 16 16", class_="mark", aria_hidden="true")
        entries.append(element("span", sign, title, class_=f"{series_of(split)} entry"))
    return element("span", *entries, class_="key")


def strip(numbers: Sequence[Measurement], *, signed: bool = False) -> Markup:
    """Return one row of a chart: a mark and a line from bound to bound for each number.

    Args:
        numbers: Shares, drawn one below the other.
        signed: Whether the chart reaches from -100 to 100 per cent, for differences, and not from 0.
    """
    height = _ROW * max(len(numbers), 1) + 4
    begin = -1.0 if signed else 0.0
    parts = []
    for step in range(5):
        x = _across(step / 4)
        middle = "grid zero" if signed and step == 2 else "grid"
        parts.append(element("line", x1=x, x2=x, y1=0, y2=height, class_=middle))
    for row, one in enumerate(numbers):
        parts.append(_interval(one, 2 + _ROW * row + _ROW / 2, begin))
    said = "; ".join(f"{one.title} {in_words(one)} per cent" for one in numbers)
    return element(
        "svg", *parts, class_="strip", viewBox=f"0 0 {_WIDTH} {height}", role="img", aria_label=said or "not measured"
    )


def scale(*, signed: bool = False) -> Markup:
    """Return the numbers above a column of strips."""
    numbers = ("−100", "−50", "0", "+50", "+100") if signed else ("0", "25", "50", "75", "100")
    return element("span", *(element("span", number) for number in numbers), class_="scale", aria_hidden="true")


def tail(one: Measurement) -> Markup:
    """Return a small strip of one number, for a cell of a table; the cell says the number."""
    parts = [
        element("line", x1=4, x2=96, y1=6, y2=6, class_="grid"),
        *(
            [element("line", x1=4 + 92 * _share(one.low), x2=4 + 92 * _share(one.high), y1=6, y2=6, class_="whisker")]
            if one.low is not None and one.high is not None
            else []
        ),
        mark(4 + 92 * _share(one.value), 6, series_of(one.split), size=3.5),
    ]
    return element("svg", *parts, class_=f"tail {series_of(one.split)}", viewBox="0 0 100 12", aria_hidden="true")


def learning(
    title: str, labels: Sequence[str], lines: Mapping[tuple[str, str], Sequence[Measurement | None]]
) -> Markup:
    """Return how a number changes from stage to stage, one line a split.

    Args:
        title: Name of the measurement.
        labels: The stages, in order.
        lines: For each split and its title a number of each stage, or None where it was not measured.
    """
    left, top, height = 34, 10, 150
    step = max(72, min(130, 360 // max(len(labels), 1)))
    width = left + step * len(labels)

    def at(place: int, share: float) -> tuple[float, float]:
        return left + step * (place + 0.5), top + height * (1 - _share(share))

    parts: list[Markup] = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = at(0, share)[1]
        parts.append(element("line", x1=left, x2=width, y1=y, y2=y, class_="grid"))
        parts.append(element("text", str(round(100 * share)), x=left - 6, y=y + 4, text_anchor="end"))
    for place, label in enumerate(labels):
        room = step // 5  # letters
        short = label if len(label) <= room else label[: room - 1] + "…"
        parts.append(element("text", short, x=at(place, 0)[0], y=top + height + 18, text_anchor="middle"))
    for number, ((split, _), values) in enumerate(lines.items()):
        shift = 7 * (number - (len(lines) - 1) / 2)
        shown = [(place, one) for place, one in enumerate(values) if one is not None]
        points = [(at(place, one.value)[0] + shift, at(place, one.value)[1]) for place, one in shown]
        inside = [element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_="line")]
        for (_, one), (x, y) in zip(shown, points, strict=True):
            if one.low is not None and one.high is not None:
                low, high = (f"{at(0, bound)[1]:.1f}" for bound in (one.low, one.high))
                inside.append(element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=low, y2=high, class_="whisker"))
            inside.append(mark(x, y, series_of(split)))
        parts.append(element("g", *inside, class_=series_of(split)))
    said = ". ".join(
        f"{name}: " + ", ".join(f"{label} {in_words(one)}" for label, one in zip(labels, values, strict=True))
        for (_, name), values in lines.items()
    )
    picture = element(
        "svg",
        *parts,
        class_="learning",
        viewBox=f"0 0 {width} {top + height + 26}",
        width=width,
        role="img",
        aria_label=f"{title}, per cent. {said}",
    )
    return element("figure", element("figcaption", element("b", title), key(tuple(lines))), picture, class_="card")


def _interval(one: Measurement, y: float, begin: float) -> Markup:
    """Return a number on an axis that ends at 1."""

    def at(value: float) -> str:
        return _across((value - begin) / (1 - begin))

    parts = []
    if one.low is not None and one.high is not None:
        low, high = at(one.low), at(one.high)
        parts.append(element("line", x1=low, x2=high, y1=y, y2=y, class_="whisker"))
        parts += [element("line", x1=x, x2=x, y1=y - 3, y2=y + 3, class_="whisker") for x in (low, high)]
    return element("g", *parts, mark(float(at(one.value)), y, series_of(one.split)), class_=series_of(one.split))


def mark(x: float, y: float, side: str, size: float = 5) -> Markup:
    """Return the mark of a series at a place of a chart."""
    if side == "seen":
        return element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=size, class_="mark")
    if side == "unseen":
        far = 1.3 * size
        corners = ((x - far, y), (x, y - far), (x + far, y), (x, y + far))
    else:
        near = 0.9 * size
        corners = ((x - near, y - near), (x + near, y - near), (x + near, y + near), (x - near, y + near))
    return element("polygon", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in corners), class_="mark")


def _across(share: float) -> str:
    return f"{_EDGE + (_WIDTH - 2 * _EDGE) * _share(share):.1f}"


def _share(value: float | None) -> float:
    return min(max(value or 0.0, 0.0), 1.0)
