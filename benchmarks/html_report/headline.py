"""Headline strip: a warning of errors, then how well each agent does on seen and on unseen tasks, and the gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks.html_report import charts
from benchmarks.html_report.explained import EXPLAINED, GAP
from benchmarks.html_report.markup import Markup, element
from benchmarks.html_report.runs import LoadedRun
from benchmarks.reporting.tables import bounds, chance, percent
from benchmarks.stats.measurement import Measurement

__all__ = ["headline_strip", "meaning"]

_NO_GAP = "No gap: it needs seen and unseen tasks in one run."
_PLAYED = "Tasks in this run; with several seeds, each is played once a seed."


def headline_strip(runs: Sequence[LoadedRun]) -> Iterable[Markup]:
    """Yield a warning of errors if there were some, and a card for each run of episodes and each of its benchmarks."""
    failed = [run for run in runs if run.summary.errors]
    if failed:
        yield _failed(failed)
    played = [run for run in runs if run.summary.kind == "episodes"]
    labels = Counter(run.summary.label for run in played)
    for run in played:
        name = run.summary.label if labels[run.summary.label] == 1 else f"{run.summary.label} ({run.folder})"
        measured = [one for one in run.summary.measurements if not one.task_type]
        for benchmark in dict.fromkeys(one.benchmark for one in measured):
            yield _card(run, name, benchmark, [one for one in measured if one.benchmark == benchmark])


def _failed(runs: Sequence[LoadedRun]) -> Markup:
    """Return a warning of the runs in which episodes ended with an error."""
    rows = []
    for run in runs:
        summary = run.summary
        causes = [cause for cause in summary.failures if cause.startswith(("agent_error: ", "env_error: "))]
        counted = f"{summary.label}: {summary.errors:,} of {summary.observations:,} episodes."
        more = f" and {len(causes) - 1} other causes" if len(causes) > 1 else ""
        rows.append(element("li", element("b", counted), " ", element("code", causes[0] if causes else ""), more))
    head = (
        "Episodes ended with an error. They count as failures, and their splits have no interval and no test. "
        "Play them again with act-gym eval --resume."
    )
    return element("div", element("p", head), element("ul", *rows), class_="card errors", role="alert")


def meaning(gap: Measurement, sides: Sequence[Measurement]) -> str:
    """Return what a gap says, in one sentence.

    Args:
        gap: Seen minus unseen.
        sides: The two successes.
    """
    if gap.low is None or gap.high is None:
        return "Not judged, because episodes ended with an error."
    if not any(one.value for one in sides):
        return "Nothing was solved, so the gap says nothing."
    if gap.low > 0:
        return "Better on seen tasks: part of what it can do does not carry over."
    if gap.high < 0:
        return "Better on unseen tasks."
    return "No difference shown: the interval holds 0. More tasks narrow it."


def _card(run: LoadedRun, name: str, benchmark: str, measured: Sequence[Measurement]) -> Markup:
    def of(name: str) -> dict[str, Measurement]:
        return {one.split: one for one in measured if one.name == name}

    success, errors, tests = of("success"), of("errors"), of("success_p_value")
    splits = sorted(split for split in success if " - " not in split)
    tiles = [_split(success[split], errors.get(split)) for split in splits]
    gaps = [one for split, one in success.items() if " - " in split]
    for gap in gaps:
        sides = [success[split] for split in gap.split.split(" - ") if split in success]
        tiles.append(_gap(gap, sides, tests.get(gap.split), len(gaps) > 1))
    if not gaps:
        tiles.append(_tile("seen − unseen", "–", "", _NO_GAP, title=GAP, class_="soft"))
    count, episodes = (
        round(sum(values)) for values in ([e.value for e in errors.values()], [e.n for e in errors.values()])
    )
    tasks = sum(success[split].n for split in splits)
    tiles.append(_tile("tasks played", f"{tasks:,}", "", f"{episodes:,} episodes", title=_PLAYED))
    said = "They count as failures." if count else "Every episode came to its end."
    tiles.append(_tile("errors", f"{count:,}", "", said, title=EXPLAINED["errors"][1], class_="bad" if count else ""))
    return element(
        "section",
        element("h2", element("b", name), " ", element("span", benchmark, class_="soft")),
        element("p", *_facts(run), class_="small soft"),
        element("div", *tiles, class_="tiles"),
        class_="card headline",
        aria_label=f"{name}, {benchmark}",
    )


def _facts(run: LoadedRun) -> Iterable[object]:
    """Yield agent, checkpoint and protocol."""
    facts = {"agent": run.summary.subject, "checkpoint": run.checkpoint, "protocol": run.summary.protocol}
    for number, (name, value) in enumerate((name, value) for name, value in facts.items() if value):
        yield f"{' · ' if number else ''}{name} "
        yield element("code", value)


def _split(one: Measurement, errors: Measurement | None) -> Markup:
    side = charts.series_of(one.split)
    label, title = charts.key([(one.split, f"success, {one.split or 'all tasks'}")]), EXPLAINED["success"][1]
    if errors is not None and errors.value:
        of = f"{errors.value:.0f} of {errors.n} episodes ended with an error"
        if errors.value == errors.n:
            return _tile(label, "–", "", f"No result: {of}.", title=title, class_="soft")
        return _tile(label, f"≥ {percent(one.value)} %", "", f"{of}: no interval.", title=title, class_=side)
    return _tile(
        label, f"{percent(one.value)} %", _interval(one), one.suite or f"{one.n} tasks", title=title, class_=side
    )


def _gap(gap: Measurement, sides: Sequence[Measurement], test: Measurement | None, named: bool) -> Markup:
    label = gap.split.replace(" - ", " − ") if named else "seen − unseen"
    title = GAP if test is None else f"{GAP} p = {chance(test.value)} if there were no difference.".replace("= <", "<")
    if gap.low is None:
        return _tile(label, "–", "", meaning(gap, sides), title=title, class_="soft")
    return _tile(label, f"{percent(gap.value, signed=True)} points", _interval(gap), meaning(gap, sides), title=title)


def _interval(one: Measurement) -> str:
    if one.low is None or one.high is None:
        return ""
    return bounds(one.low, one.high, signed=" - " in one.split)


def _tile(label: object, value: str, interval: str, note: str, *, title: str, class_: str = "") -> Markup:
    """Return one number of a headline: what it is, the number, its interval, and a note."""
    return element(
        "div",
        element("span", label, class_="small soft"),
        element("span", value, class_=f"big {class_}"),
        element("span", interval, class_="small") if interval else None,
        element("span", note, class_="small soft"),
        title=title,
    )
