"""The report: numbers that need no script, and empty rooms that scripts fill with episodes and with questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.html_report.archive import Archive
from benchmarks.html_report.document import document
from benchmarks.html_report.headline import headline_strip
from benchmarks.html_report.learning_curves import Training, learning_curves
from benchmarks.html_report.markup import Markup, element
from benchmarks.html_report.overview import overview
from benchmarks.html_report.runs import KINDS, LoadedRun

__all__ = ["report"]

_STYLES = ("theme.css", "numbers.css", "explorer.css")
_SCRIPTS = ("elements.js", "theme.js", "archive.js", "list.js", "turns.js", "episodes.js", "questions.js", "report.js")
_VIEWS = {
    "episodes": ("Episodes", "Episodes"),
    "pairs": ("Judgement", "Judged pairs"),
    "actions": ("Next action", "Next actions"),
}  # how each is linked, and its heading
_KEYS = (
    ("/", "search"),
    ("j k", "next and previous in the list; in the list itself also ↓ ↑"),
    ("→ ←", "next and previous turn"),
    ("Home End", "first turn and the end"),
    ("c", "show or hide the next agent's episode on the same task"),
    ("Esc", "close: the second episode, the episode, the search"),
    ("1 2 3 4", "the parts of this page"),
    ("t", "light, dark, or as the system has it"),
    ("?", "these keys"),
)


def report(
    title: str,
    runs: Sequence[LoadedRun],
    archive: Archive,
    shown: Mapping[int, int],
    curves: Sequence[Training] = (),
    *,
    stages: bool | None = None,
) -> Iterable[str]:
    """Yield the whole page, piece by piece.

    Args:
        title: Its heading.
        runs: In the order in which rows appear.
        archive: Their episodes and questions.
        shown: See `overview`.
        curves: Trainings whose learning curves are drawn.
        stages: See `overview`.
    """
    index = archive.index()
    views = {name: words for name, words in _VIEWS.items() if index[name]}
    main = element(
        "main",
        element(
            "section",
            element("p", _counted(runs, len(curves)), class_="soft lead"),
            element(
                "noscript", element("p", "Episodes are shown by a script, and scripts are off here.", class_="note")
            ),
            *headline_strip(runs),
            *learning_curves(curves),
            *overview(runs, shown, archive.failed, stages=stages),
            id="view-overview",
        ),
        *(_explorer(name, heading) for name, (_, heading) in views.items()),
    )
    links = {"overview": "Overview"} | {name: link for name, (link, _) in views.items()}
    body = (_bar(title, links), main, _help())
    return document(title, body, styles=_STYLES, scripts=_SCRIPTS, data={"archive": index}, blocks=archive.blocks)


def _bar(title: str, views: Mapping[str, str]) -> Markup:
    links = (element("a", text, href=f"#{name}", data_view=name) for name, text in views.items())
    tools = element(
        "span",
        element("button", "Keys", type="button", id="keys", aria_haspopup="dialog"),
        element("button", "Theme", type="button", id="theme"),
        class_="tools",
    )
    return element("header", element("h1", title), element("nav", *links, aria_label="Parts of this page"), tools)


def _explorer(name: str, heading: str) -> Markup:
    filters = {"run": "agent", "of": "benchmark", "split": "split", "type": "task type", "outcome": "outcome"}
    choices = (
        element("label", element("span", word), element("select", name=each), class_="choice")
        for each, word in filters.items()
    )
    search = element(
        "label",
        element("span", "search"),
        element("input", type="search", name="q", autocomplete="off", spellcheck="false", placeholder="task, goal …"),
        class_="choice search",
    )
    inside = element(
        "label", element("input", type="checkbox", name="deep"), "also in observations and replies", class_="deep"
    )
    listed = element(
        "div",
        element("h2", heading, class_="unseen-text"),
        element("div", search, *choices, inside, class_="filters", role="search"),
        element("p", class_="count small soft", role="status"),
        element("div", class_="list", role="listbox", tabindex="0", aria_label=heading),
        class_="side",
    )
    return element(
        "section", listed, element("div", class_="detail"), id=f"view-{name}", class_="explorer", hidden=True
    )


def _help() -> Markup:
    rows = (
        element("tr", element("th", *(element("kbd", each) for each in keys.split()), scope="row"), element("td", text))
        for keys, text in _KEYS
    )
    return element(
        "dialog",
        element("h2", "Keys", id="keys-title"),
        element("table", element("tbody", *rows)),
        element("form", element("button", "Close"), method="dialog"),
        aria_labelledby="keys-title",
    )


def _counted(runs: Sequence[LoadedRun], trained: int) -> str:
    found = {name: sum(run.summary.kind == kind for run in runs) for kind, name in KINDS.items()}
    parts = ", ".join(f"{count} × {name}" for name, count in found.items() if count)
    counted = [f"{len(runs)} runs: {parts}"] * bool(runs) + [f"{trained} trainings"] * bool(trained)
    return f"{'; '.join(counted)}. Per cent; lines and brackets are 95 % intervals."
