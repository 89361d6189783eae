"""The parts of the report: what a reader sees of some runs, as HTML. Knows no files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from act_gym.core import Episode, Turn
from benchmarks.headline import Headline, headlines
from benchmarks.markup import Markup, element, plain
from benchmarks.measurement import Measurement, Summary
from benchmarks.tables import COLUMNS, COUNTS, in_words

__all__ = ["LoadedRun", "page"]

KINDS = {"episodes": "episodes", "judgement": "judgement", "next_action": "next action"}
_GAPS = ("success", "score")
_TEXT = 1500  # characters of an observation or a reply that are shown
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class LoadedRun:
    """One run folder as the page needs it.

    Attributes:
        folder: Its path, as the reader gave it.
        summary: Its numbers.
        settings: Names and values worth showing: arguments, versions, revision.
        episodes: The episodes to show.
        episodes_left_out: How many more there are.
    """

    folder: str
    summary: Summary
    settings: Mapping[str, str] = field(default_factory=dict)
    episodes: Sequence[Episode] = ()
    episodes_left_out: int = 0


def page(title: str, runs: Sequence[LoadedRun], style: str) -> str:
    """Return the whole page. It loads nothing and runs nothing.

    Args:
        title: Its heading.
        runs: In the order in which rows and sections appear.
        style: The style sheet.
    """
    compared = headlines([(run.folder, run.summary) for run in runs])
    body = element(
        "main",
        element("h1", title),
        element("p", _counted(runs), class_="soft"),
        *(part for headline in compared for part in _headline(headline)),
        *(_section(run) for run in runs),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )
    return "<!doctype html>\n" + element("html", head, element("body", body), lang="en") + "\n"


def _counted(runs: Sequence[LoadedRun]) -> str:
    found = [f"{sum(run.summary.kind == kind for run in runs)} × {name}" for kind, name in KINDS.items()]
    return f"{len(runs)} runs: " + ", ".join(part for part in found if not part.startswith("0")) + "."


def _headline(headline: Headline) -> Iterable[Markup]:
    rows = [
        element(
            "tr",
            element("th", label, scope="row"),
            *(_number(headline.cells.get((label, column))) for column in headline.columns),
        )
        for label in headline.labels
    ]
    heads = (
        element("th", element("span", column.heading), Markup("<br>"), column.split or "all", scope="col")
        for column in headline.columns
    )
    key = Markup('<span class="key seen"></span>seen<span class="key unseen"></span>unseen')
    caption = element("caption", key, " · per cent; thin lines and brackets are 95 % intervals")
    table = element(
        "table",
        caption,
        element("thead", element("tr", element("th"), *heads)),
        element("tbody", *rows),
    )
    yield element("h2", headline.benchmark)
    yield element("div", table, class_="card")
    if headline.gaps:
        labels = [label for label in headline.labels if (label, "score") in headline.gaps]
        yield element("h3", "Seen minus unseen, in points")
        yield element("div", _gap_table(labels, headline.gaps), class_="card")


def _gap_table(labels: Sequence[str], gaps: Mapping[tuple[str, str], Measurement]) -> Markup:
    rows = (
        element("tr", element("th", label, scope="row"), *(_number(gaps.get((label, name))) for name in _GAPS))
        for label in labels
    )
    heads = (element("th", f"episode {name}", scope="col") for name in _GAPS)
    return element("table", element("thead", element("tr", element("th"), *heads)), element("tbody", *rows))


def _number(one: Measurement | None) -> Markup:
    if one is None:
        return element("td", "–", class_="number soft")
    value, _, bounds = in_words(one).partition(" ")
    side = one.split.removeprefix("generated-")
    side = side if side in ("seen", "unseen") else "all"
    span = element("span", bounds, class_="range") if bounds else None
    share = one.name not in COUNTS and " - " not in one.split
    return element("td", value, span, _bar(one) if share else None, class_=f"number {side}", title=f"n = {one.n}")


def _bar(one: Measurement) -> Markup:
    width = f"{100 * min(max(one.value, 0.0), 1.0):.2f}"
    parts = [
        element("rect", class_="track", width="100", height="8", rx="2"),
        element("rect", class_="value", width=width, height="8", rx="2"),
    ]
    if one.low is not None and one.high is not None:
        parts.append(element("line", x1=f"{100 * one.low:.2f}", x2=f"{100 * one.high:.2f}", y1="4", y2="4"))
    label = f"{in_words(one)} per cent"
    return element(
        "svg", *parts, class_="bar", viewBox="0 0 100 8", preserveAspectRatio="none", role="img", aria_label=label
    )


def _section(run: LoadedRun) -> Markup:
    summary = run.summary
    return element(
        "section",
        element("h2", f"{summary.label}: {KINDS[summary.kind]}"),
        element("p", summary.subject, " · ", element("code", run.folder), class_="soft small"),
        element("div", _type_table(summary), class_="card"),
        _failures(summary),
        _settings(run),
        _episodes(run),
    )


def _type_table(summary: Summary) -> Markup:
    columns = COLUMNS[summary.kind]
    groups: dict[tuple[str, str, str], dict[str, Measurement]] = {}
    for one in summary.measurements:
        groups.setdefault(one.group, {})[one.name] = one
    rows = []
    for group, found in sorted(groups.items(), key=lambda item: (item[0][0], " - " in item[0][1], *item[0][1:])):
        benchmark, split, task_type = group
        name = task_type or " ".join(filter(None, (benchmark, split)))
        cells = [_number(found.get(column)) for column, _ in columns]
        count = element("td", max(one.n for one in found.values()), class_="count")
        rows.append(
            element("tr", element("th", name, scope="row"), count, *cells, class_="kind" if task_type else None)
        )
    heads = (element("th", heading, scope="col") for _, heading in columns)
    header = element("tr", element("th"), element("th", "n", scope="col"), *heads)
    return element("table", element("thead", header), element("tbody", *rows))


def _failures(summary: Summary) -> Markup | None:
    if not summary.failures:
        return None
    lines = (element("li", f"{count} × {cause}") for cause, count in summary.failures.items())
    return element("div", element("h3", "Without success"), element("ul", *lines, class_="small"))


def _settings(run: LoadedRun) -> Markup | None:
    if not run.settings:
        return None
    entries = [part for key, value in run.settings.items() for part in (element("dt", key), element("dd", value))]
    return element(
        "div",
        element("h3", "How it was run"),
        element(
            "div",
            element(
                "details",
                element("summary", "arguments and versions"),
                element("div", element("dl", *entries), class_="inside"),
            ),
            class_="card",
        ),
    )


def _episodes(run: LoadedRun) -> Markup | None:
    if not run.episodes:
        return None
    more = run.episodes_left_out
    note = element("p", f"{more:,} more are in {run.folder}/episodes.jsonl.", class_="small soft") if more else None
    listed = element("div", *(_episode(episode) for episode in run.episodes), class_="card")
    return element("div", element("h3", "Episodes"), listed, note)


def _episode(episode: Episode) -> Markup:
    mark = element("span", "✓" if episode.success else "✗", class_=f"mark {'good' if episode.success else 'bad'}")
    facts = f"score {100 * episode.score:.0f} · {len(episode.turns)} turns · {episode.stop}"
    head = element(
        "summary",
        mark,
        element("span", episode.task.id, class_="name"),
        element("span", facts, class_="small soft"),
    )
    turns = (_turn(turn) for turn in episode.turns)
    return element(
        "details",
        head,
        element(
            "div",
            element("p", element("b", "Task. "), plain(episode.goal, _TEXT)),
            element("ol", *turns, class_="turns"),
            element("div", plain(episode.final_observation, _TEXT), class_="said small"),
            element("p", plain(episode.error, _TEXT), class_="bad small") if episode.error else None,
            class_="inside",
        ),
    )


def _turn(turn: Turn) -> Markup:
    spoken = turn.response.strip()
    shown = spoken and spoken != turn.action and turn.response != f"<action>{turn.action}</action>"
    marks = [] if turn.action_valid else [element("span", " not understood", class_="bad small")]
    if turn.reward:
        marks.append(
            element("span", f" {100 * turn.reward:+.0f}", class_="good small" if turn.reward > 0 else "bad small")
        )
    return element(
        "li",
        element("div", plain(turn.observation, _TEXT), class_="said small"),
        element("div", plain(turn.thought, _TEXT), class_="thought small") if turn.thought else None,
        element("div", plain(spoken, _TEXT), class_="said small soft") if shown else None,
        element("div", "> ", plain(turn.action, 300), *marks, class_="did"),
    )
