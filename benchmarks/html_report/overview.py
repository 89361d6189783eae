"""The static part of a report: headlines, seen against unseen, task types, settings, paired comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from benchmarks.html_report import charts
from benchmarks.html_report.explained import CHART, EXPLAINED, GAP
from benchmarks.html_report.failures import failure_tables
from benchmarks.html_report.markup import Markup, address, element, joined, scrolled
from benchmarks.html_report.runs import KINDS, LoadedRun
from benchmarks.reporting.tables import (
    SHORT,
    Column,
    Headline,
    bounds,
    chance,
    columns_of,
    headlines,
    in_words,
    percent,
    where_it_fails,
)
from benchmarks.stats.measurement import Measurement, Summary
from benchmarks.stats.paired import Contrast, contrast
from benchmarks.stats.scores import Record

__all__ = ["overview", "pairings"]


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
                rows.append(_row(labels, split, found))
    if not rows:
        return None
    heads = (
        element("th", "first − second", scope="col"),
        element("th", "split", scope="col"),
        element("th", charts.scale(signed=True), element("span", "difference", class_="unseen-text"), scope="col"),
        *(element("th", name, scope="col", class_="number", title=said) for name, said in _PAIRED.items()),
    )
    caption = element("caption", element("b", "Agent against agent"), element("span", _ABOUT, class_="soft small"))
    return element(
        "table", caption, element("thead", element("tr", *heads)), element("tbody", *rows), class_="pairings"
    )


_PAIRED = {
    "success": "Success of the first agent minus that of the second, in points, on the tasks that both played.",
    "solved by first only": "Tasks that only the first agent solved.",
    "solved by second only": "Tasks that only the second agent solved.",
    "errors": "Episodes of the first and of the second agent that ended with an error.",
    "p": "Chance of a difference at least as large if the two agents were equally good.",
}
_ABOUT = (
    "Success on the same tasks, in points with 95 % intervals for pairs; p of McNemar's exact test, or of a "
    "permutation of tasks where there are several seeds. Where episodes ended with an error there is neither."
)


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


def _row(labels: tuple[str, str], split: str, found: Contrast) -> Markup:
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
        element("td", charts.key([(split, split or "all")])),
        element("td", charts.strip([one], signed=True), class_="chart"),
        element(
            "td", element("span", value, class_="value"), " ", element("span", of, class_="range"), class_="number"
        ),
        element("td", found.only_first, class_="number"),
        element("td", found.only_second, class_="number"),
        element("td", " : ".join(map(str, found.errors)), class_="number"),
        element("td", chance(None if failed else found.p_value), class_="number"),
    )


# Kind of run: measurement by task type, its heading, and the linked part of the page.
_OF_TYPES = {
    "episodes": ("success", "episode success", "episodes"),
    "judge": ("accuracy", "judgement, both orders", "pairs"),
    "next_action": ("accuracy", "next action", "actions"),
}


def overview(
    runs: Sequence[LoadedRun],
    shown: Mapping[int, int],
    failed: Mapping[tuple[int, str, str, str], int],
    *,
    stages: bool | None = None,
) -> Iterable[Markup]:
    """Yield everything that is measured, benchmark by benchmark, and then each run with its settings.

    Args:
        runs: In the order in which rows appear.
        shown: Numbers of the runs whose episodes or questions are on the page, by their place in `runs`.
        failed: See `Archive.failed`.
        stages: Whether the runs are stages of one training, in order, so that lines join their numbers; None for
            finding out from their labels.
    """
    for headline in headlines([(str(run.folder), run.summary) for run in runs]):
        yield element("h2", headline.benchmark, id=f"of-{headline.benchmark}")
        shares = [column for column in headline.columns if column.name != "errors"]
        measures = dict.fromkeys((column.kind, column.name, column.heading) for column in shares)
        cards = [
            _measure(headline, [c for c in headline.columns if (c.kind, c.name) == (kind, name)])
            for kind, name, _ in measures
        ]
        yield element("div", *cards, class_="measures")
        figures = [figure for measure in measures if (figure := _stages(headline, *measure, stages)) is not None]
        if figures:
            yield element("h3", "Stage by stage")
            yield element("div", *figures, class_="figures")
        against = pairings(headline.benchmark, runs)
        if against is not None:
            yield scrolled(against, f"agent against agent, {headline.benchmark}")
        yield from failure_tables(headline.benchmark, runs, shown, failed)
        yield from _types(headline.benchmark, runs, shown)
    if runs:
        yield element("h2", "How it was run")
    yield from (_run(run) for run in runs)


def _measure(headline: Headline, columns: Sequence[Column]) -> Markup:
    """Return one measurement of all runs: a chart and the numbers of every split."""
    kind, name, heading = columns[0].kind, columns[0].name, columns[0].heading
    with_gap = kind == "episodes" and any((label, name) in headline.gaps for label in headline.labels)
    rows = []
    for label in headline.labels:
        numbers = [headline.cells[label, column] for column in columns if (label, column) in headline.cells]
        if not numbers:
            continue
        cells = [_number(headline.cells.get((label, column)), column.title) for column in columns]
        if with_gap:
            test = headline.gaps.get((label, f"{name}_p_value"))
            cells.append(_number(headline.gaps.get((label, name)), "seen − unseen", test))
        if kind == "episodes":
            cells.append(element("td", headline.errors(label), class_="number", role="cell", data_name="errors"))
        chart = element("td", charts.strip(numbers), class_="chart", role="cell")
        rows.append(element("tr", element("th", label, scope="row", role="rowheader"), chart, *cells, role="row"))
    heads = [
        element("th", element("span", "run", class_="unseen-text"), scope="col", role="columnheader"),
        element(
            "th",
            charts.scale(),
            element("span", "chart", class_="unseen-text"),
            scope="col",
            title=CHART,
            class_="chart",
            role="columnheader",
        ),
    ]
    splits = [column.title for column in columns] + (["seen − unseen"] if with_gap else [])
    splits += ["errors"] if kind == "episodes" else []
    said = {"seen − unseen": GAP, "errors": EXPLAINED["errors"][1]}
    heads += [
        element(
            "th",
            split,
            scope="col",
            class_="number",
            role="columnheader",
            title=said.get(split, f"{EXPLAINED[name][1]} n: tasks or questions."),
        )
        for split in splits
    ]
    caption = element("caption", element("b", heading.capitalize()), charts.key([(c.split, c.title) for c in columns]))
    table = element(
        "table",
        caption,
        element("thead", element("tr", *heads, role="row"), role="rowgroup"),
        element("tbody", *rows, role="rowgroup"),
        class_="measure",
        role="table",
    )
    return scrolled(table, f"{heading}, {headline.benchmark}")


def _number(one: Measurement | None, name: str, test: Measurement | None = None) -> Markup:
    if one is None:
        return element("td", "–", class_="number soft", role="cell", data_name=name)
    value, _, bounds = in_words(one).partition(" ")
    rest = f"n {one.n}" if test is None else f"p {chance(test.value)}"
    of = f"{bounds} · {rest}" if bounds else rest
    parts = (element("span", value, class_="value"), " ", element("span", of, class_="range"))
    return element("td", *parts, class_="number", role="cell", data_name=name)


def _stages(headline: Headline, kind: str, name: str, heading: str, stages: bool | None) -> Markup | None:
    """Join one measurement of stages by lines; unless it is said which runs are some, their labels tell."""
    columns = [column for column in headline.columns if (column.kind, column.name) == (kind, name)]
    measured = [label for label in headline.labels if any((label, column) in headline.cells for column in columns)]
    if stages is None:
        stages = any(label == "base" or label.startswith("after ") for label in measured)
    if len(measured) < 2 or not stages:
        return None
    lines = {
        (column.split, column.title): [headline.cells.get((label, column)) for label in measured] for column in columns
    }
    return charts.learning(heading.capitalize(), measured, lines)


def _types(benchmark: str, runs: Sequence[LoadedRun], shown: Mapping[int, int]) -> Iterable[Markup]:
    """Yield a table for each kind of run: a row for each task type of each split, a column for each run."""
    for kind, (name, heading, view) in _OF_TYPES.items():
        found: dict[tuple[str, str, str], dict[int, Measurement]] = {}
        for place, run in enumerate(runs):
            for one in run.summary.measurements if run.summary.kind == kind else ():
                if one.benchmark == benchmark and one.name == name and one.task_type:
                    found.setdefault((one.split, one.suite, one.task_type), {})[place] = one
        if not found:
            continue
        places = sorted({place for cells in found.values() for place in cells})
        if kind == "episodes" and len(places) == 1:  # "Where it fails" has the same numbers
            continue
        yield element("h3", f"{heading.capitalize()} by task type")
        table = element(
            "table",
            element(
                "thead",
                element(
                    "tr",
                    element("th", element("span", "task type", class_="unseen-text"), scope="col"),
                    *(element("th", runs[place].summary.label, scope="col") for place in places),
                ),
            ),
            *_type_rows(benchmark, found, places, view, shown),
            class_="types",
        )
        yield scrolled(table, f"{heading} by task type, {benchmark}")


def _type_rows(
    benchmark: str,
    found: Mapping[tuple[str, str, str], Mapping[int, Measurement]],
    places: Sequence[int],
    view: str,
    shown: Mapping[int, int],
) -> Iterable[Markup]:
    for split, suite in sorted({key[:2] for key in found}):
        head = element("th", charts.key([(split, suite or split or "all")]), colspan=len(places) + 1, scope="colgroup")
        rows = [element("tr", head, class_="group")]
        for task_type in sorted(key[2] for key in found if key[:2] == (split, suite)):
            cells = []
            for place in places:
                one = found[split, suite, task_type].get(place)
                if one is None:
                    cells.append(element("td", "–", class_="soft"))
                    continue
                value, _, bounds = in_words(one).partition(" ")
                text: object = element("span", value, class_="value")
                if place in shown:
                    href = address(view, run=shown[place], of=benchmark, split=split, type=task_type)
                    text = element("a", value, href=href, class_="value")
                cells.append(
                    element("td", text, " ", element("span", f"{bounds} · n {one.n}", class_="range"), charts.tail(one))
                )
            rows.append(
                element(
                    "tr",
                    element("th", _breakable(SHORT.get(task_type, task_type)), scope="row", title=task_type),
                    *cells,
                )
            )
        yield element("tbody", *rows)


def _breakable(name: str) -> Markup:
    """Return a name that a narrow column breaks after an underscore."""
    return Markup(Markup("_<wbr>").join(joined([word]) for word in name.split("_")))


def _run(run: LoadedRun) -> Markup:
    summary = run.summary
    head = element(
        "summary",
        element("b", summary.label),
        element("span", f"{KINDS[summary.kind]} · {summary.subject}", class_="soft"),
    )
    causes = (element("li", f"{count:,} × {cause}") for cause, count in summary.failures.items())
    failed = (element("h4", "Without success"), element("ul", *causes)) if summary.failures else ()
    lost = where_it_fails(summary)
    if lost:
        failed = (element("h4", "Where it fails"), element("ul", *(element("li", line) for line in lost)), *failed)
    entries = [part for key, value in run.settings.items() for part in (element("dt", key), element("dd", value))]
    settings = (element("h4", "Arguments and versions"), element("dl", *entries)) if entries else ()
    inside = element("div", element("p", element("code", str(run.folder))), _splits(summary), *failed, *settings)
    return element("details", head, inside, class_="card run")


def _splits(summary: Summary) -> Markup:
    """Return every number of every split that a run measured."""
    columns = columns_of(summary)
    groups: dict[str, dict[str, Measurement]] = {}
    for one in summary.measurements:
        if not one.task_type:
            groups.setdefault(one.title, {})[one.name] = one
    rows = [
        element(
            "tr",
            element("th", group, scope="row"),
            *(element("td", in_words(found.get(name)), class_="number") for name, _ in columns),
        )
        for group, found in groups.items()
    ]
    heads = (
        element("th", EXPLAINED[name][0], scope="col", class_="number", title=EXPLAINED[name][1]) for name, _ in columns
    )
    head = element("tr", element("th", element("span", "split", class_="unseen-text"), scope="col"), *heads)
    return scrolled(element("table", element("thead", head), element("tbody", *rows)), f"numbers of {summary.label}")
