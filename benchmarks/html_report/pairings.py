"""Agent against agent on the tasks that both played: how much better one is, and whether chance would do as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from benchmarks.html_report import charts
from benchmarks.html_report.markup import Markup, element
from benchmarks.html_report.runs import LoadedRun
from benchmarks.reporting.tables import bounds, chance, percent
from benchmarks.stats.measurement import Measurement
from benchmarks.stats.paired import Contrast, contrast
from benchmarks.stats.scores import Record

__all__ = ["pairings"]

_ALL = 4  # runs of which every two are compared; of more, each is compared with the first


def pairings(benchmark: str, runs: Sequence[LoadedRun]) -> Markup | None:
    """Return a table of every two runs that share tasks of a benchmark; None if no two do.

    Args:
        benchmark: Whose tasks.
        runs: In the order in which the first is named before the second.
    """
    played = {place: _by_split(run.records(), benchmark) for place, run in enumerate(runs)}
    places = [place for place, splits in played.items() if splits]
    few = len(places) <= _ALL
    compared = combinations(places, 2) if few else ((place, places[0]) for place in places[1:])
    rows = []
    for first, second in compared:
        labels = runs[first].summary.label, runs[second].summary.label
        for split in played[first]:
            found = _contrast(split, played[first][split], played[second].get(split, ()))
            if found is not None:
                titles = {_title(runs[place], benchmark, split) for place in (first, second)}
                rows.append(_row(labels, split, titles.pop() if len(titles) == 1 else split, found))
    if not rows:
        return None
    heads = (
        element("th", "first − second", scope="col"),
        element("th", "split", scope="col"),
        element("th", charts.scale(signed=True), element("span", "difference", class_="unseen-text"), scope="col"),
        *(
            element("th", name, scope="col", class_="number")
            for name in ("success", "only first", "only second", "errors", "p")
        ),
    )
    caption = element("caption", element("b", "Agent against agent"), element("span", _ABOUT, class_="soft small"))
    return element(
        "table", caption, element("thead", element("tr", *heads)), element("tbody", *rows), class_="pairings"
    )


_ABOUT = (
    "Success on the same tasks, in points with 95 % intervals for pairs; p of McNemar's exact test, or of a "
    "permutation of tasks where there are several seeds. Where episodes ended with an error there is neither."
)


def _title(run: LoadedRun, benchmark: str, split: str) -> str:
    """Return what a run calls a split."""
    suites = (one.suite for one in run.summary.measurements if (one.benchmark, one.split) == (benchmark, split))
    return next(suites, "") or split or "all"


def _by_split(records: Iterable[Record], benchmark: str) -> Mapping[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        if record["benchmark"] == benchmark:
            found.setdefault(record["split"], []).append(record)
    return found


def _contrast(split: str, first: Sequence[Record], second: Sequence[Record]) -> Contrast | None:
    common = {record["task_id"] for record in first} & {record["task_id"] for record in second}
    one, other = ([record for record in side if record["task_id"] in common] for side in (first, second))
    return contrast(split, "success", one, other, np.random.default_rng(0), tested=True) if common else None


def _row(labels: tuple[str, str], split: str, title: str, found: Contrast) -> Markup:
    difference, failed = found.difference, any(found.errors)
    one = Measurement.of("success", difference, ("", split))
    value, of = percent(difference.value, signed=True), f"n {found.tasks}"
    if failed:
        one = Measurement.plain("success", difference.value, difference.n, ("", split))
    else:
        of = f"{bounds(difference.low, difference.high, signed=True)} · {of}"
    return element(
        "tr",
        element("th", f"{labels[0]} − {labels[1]}", scope="row"),
        element("td", charts.key([(split, title)])),
        element("td", charts.strip([one], signed=True), class_="chart"),
        element(
            "td", element("span", value, class_="value"), " ", element("span", of, class_="range"), class_="number"
        ),
        element("td", found.only_first, class_="number"),
        element("td", found.only_second, class_="number"),
        element("td", " : ".join(map(str, found.errors)), class_="number"),
        element("td", chance(None if failed else found.p_value), class_="number"),
    )
