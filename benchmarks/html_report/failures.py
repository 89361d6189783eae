"""Where an agent fails: success and failure modes of every task type, seen and unseen in one row, the worst first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchmarks.html_report import charts
from benchmarks.html_report.explained import EXPLAINED
from benchmarks.html_report.markup import Markup, address, element, scrolled
from benchmarks.html_report.runs import LoadedRun
from benchmarks.reporting.tables import SHORT, bounds, percent
from benchmarks.stats.failure_modes import REWARD_PARTS, TURN_MODES
from benchmarks.stats.measurement import Measurement

__all__ = ["failure_tables"]

_MODES = ("truncated", "dead_end", *TURN_MODES, "off_plan", *REWARD_PARTS)
_ABOUT = "Success and failure modes of all episodes, in per cent; the task type with the lowest success comes first."


def _by_type(
    benchmark: str, run: LoadedRun, examples: Mapping[tuple[str, str, str], int], number: int | None
) -> Markup | None:
    """Return a table with a row for each task type; None if a run measured none.

    Args:
        benchmark: Whose tasks.
        run: A run of episodes.
        examples: Number on the page of an episode without success, by benchmark, split and task type.
        number: The run's number on the page; None if none of its episodes is there.
    """
    types: dict[str, dict[str, dict[str, Measurement]]] = {}  # task type, split, name
    for one in run.summary.measurements if run.summary.kind == "episodes" else ():
        if one.benchmark == benchmark and one.task_type:
            types.setdefault(one.task_type, {}).setdefault(one.split, {})[one.name] = one
    every = [found for splits in types.values() for found in splits.values()]
    types = {name: splits for name, splits in types.items() if all("success" in found for found in splits.values())}
    if not types:
        return None
    # A reward of 0 is the failure; any other mode that never occurred says nothing.
    modes = [name for name in _MODES if any(name in one and (name in REWARD_PARTS or one[name].value) for one in every)]
    heads = [element("th", "task type", scope="col", title="Kind of goal, as the benchmark names it.")]
    heads += [element("th", EXPLAINED[name][0], scope="col", title=EXPLAINED[name][1]) for name in ("success", *modes)]
    rows = []
    for name in sorted(types, key=lambda name: (min(found["success"].value for found in types[name].values()), name)):
        splits = types[name]
        successes = [_success(one["success"], examples, number) for _, one in sorted(splits.items())]
        cells = [element("td", *(_mode(one.get(mode)) for _, one in sorted(splits.items()))) for mode in modes]
        head = element("th", SHORT.get(name, name.replace("_", " ")), scope="row", title=name)
        rows.append(element("tr", head, element("td", *successes), *cells))
    titles = {(one.split, one.title) for found in every for one in found.values()}
    about = element("span", _ABOUT, class_="soft small")
    caption = element(
        "caption", element("b", f"Where it fails: {run.summary.label}"), charts.key(sorted(titles)), about
    )
    head = element("thead", element("tr", *heads))
    table = element("table", caption, head, element("tbody", *rows), class_="failures types")
    return scrolled(table, f"where it fails, {run.summary.label}, {benchmark}")


def _success(one: Measurement, examples: Mapping[tuple[str, str, str], int], number: int | None) -> Markup:
    side = charts.series_of(one.split)
    found = f"{bounds(one.low, one.high)} · n {one.n}" if one.low is not None and one.high is not None else f"n {one.n}"
    links: list[object] = []
    text: object = percent(one.value)
    if number is not None:
        group: dict[str, object] = {"run": number, "of": one.benchmark, "split": one.split, "type": one.task_type}
        text = element("a", text, href=address("episodes", **group), title="All its episodes")
        example = examples.get((one.benchmark, one.split, one.task_type))
        if example is not None:
            place = address("episodes", **group, e=example)
            links = [" ", element("a", "a failure", href=place, class_="small", title="An episode without success")]
    split = element("span", f"{one.split}: ", class_="unseen-text")
    shown = element("b", split, text, class_="value")
    return element(
        "div", charts.tail(one), shown, " ", element("span", found, class_="range"), *links, class_=f"line {side}"
    )


def _mode(one: Measurement | None) -> Markup:
    if one is None:
        return element("div", "–", class_="soft line")
    value = f"{one.value:.1f}" if one.name == "off_plan" else percent(one.value)
    return element("div", element("span", f"{one.split}: ", class_="unseen-text"), value, class_="line")


def failure_tables(
    benchmark: str,
    runs: Iterable[LoadedRun],
    shown: Mapping[int, int],
    examples: Mapping[tuple[int, str, str, str], int],
) -> Iterable[Markup]:
    """Yield the table of each run.

    Args:
        benchmark: Whose tasks.
        runs: In the order of the page.
        shown: Numbers on the page, by place in `runs`.
        examples: As `Archive.failed`.
    """
    for place, run in enumerate(runs):
        own = {key[1:]: number for key, number in examples.items() if key[0] == shown.get(place)}
        table = _by_type(benchmark, run, own, shown.get(place))
        if table is not None:
            yield table
