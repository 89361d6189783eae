"""The leaderboard as a page and as Markdown: a table for each suite, the best first, each row with its command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.html_report import charts
from benchmarks.html_report.document import document
from benchmarks.html_report.markup import Markup, element, plain
from benchmarks.leaderboard.submission import Entry
from benchmarks.reporting.tables import in_words
from benchmarks.stats.measurement import Measurement
from benchmarks.suites import success_of, suite, suites

__all__ = ["markdown", "ranking"]

_TITLE = "Leaderboard"
_ABOUT = (
    "Success and score in per cent with 95 % intervals. Episodes that ended with an error count as failures, and an "
    "entry that has some shows no interval. An entry holds every action of every episode: "
    "`act-gym leaderboard --check` plays all of them again and works out every number from them."
)
_COLUMNS = (
    ("errors", "errors"),
    ("success", "success"),
    ("score", "score"),
    ("turns", "turns"),
    ("invalid_actions", "invalid"),
    ("completion_tokens", "tokens written"),
)


_HEAD = {"scope": "col", "role": "columnheader"}


def ranking(entries: Sequence[Entry]) -> Iterable[str]:
    """Yield the page, piece by piece."""
    by_suite = _by_suite(entries)
    sections = [part for name, rows in by_suite.items() for part in _section(name, rows)]
    links = (element("a", name, href=f"#{name}") for name in by_suite)
    bar = element("header", element("h1", f"act-gym · {_TITLE.lower()}"), element("nav", *links, aria_label="Suites"))
    about = element("p", _ABOUT.replace("`", ""), class_="soft lead")
    main = element("main", element("div", about, *sections, class_="page"))
    return document(f"act-gym {_TITLE.lower()}", (bar, main), styles=("theme.css", "numbers.css", "ranking.css"))


def markdown(entries: Sequence[Entry]) -> str:
    """Return the page as Markdown."""
    lines = [f"# {_TITLE}", "", _ABOUT_MARKDOWN]
    for name, rows in _by_suite(entries).items():
        lines += ["", f"## {name}", "", _about(name), ""]
        lines += [
            f"| agent | {' | '.join(heading for _, heading in _COLUMNS)} | played |",
            "|---|" + "--:|" * len(_COLUMNS) + "---|",
        ]
        for entry in rows:
            cells = (in_words(entry.numbers.get(number)) for number, _ in _COLUMNS)
            played = "; ".join(filter(None, (str(entry.facts["date"]), entry.catalogue)))
            lines.append(f"| {_cell(entry.label)} | {' | '.join(cells)} | {_cell(played)} |")
        lines += ["", "```bash", *(_line(entry.facts["command"]) for entry in rows), "```"]
    return "\n".join(lines) + "\n"


_ABOUT_MARKDOWN = """\
Success and score in per cent with 95 % intervals, worked out as [evaluation](design/evaluation.md) says. Episodes that
ended with an error count as failures, and an entry that has some shows no interval. Every row is a folder in
`leaderboard/` with its records and every action of every episode.

```bash
act-gym leaderboard            # makes this page, and leaderboard.html, of leaderboard/
act-gym leaderboard --check    # plays every episode again in the simulator, and works out every number again
```

The check refuses an entry of another version of a suite, with a task that is missing or there twice, with a number
that its records do not have, or with an episode whose actions show another text or come to another end; `random` and
`expert` have to choose the same actions again, too. Only the submitter can vouch that a model
wrote its actions. To take part, play whole suites and send the folders that this makes:

```bash
act-gym eval --suite alfworld-unseen-134 --agent my_module:MyAgent --out runs/mine
act-gym leaderboard --add runs/mine --label "My agent"
```"""


def _section(name: str, rows: Sequence[Entry]) -> Iterable[Markup]:
    yield element("h2", name, id=name)
    yield element("p", _about(name).replace("`", ""), class_="soft")
    chart = element("th", charts.scale(), element("span", "success", class_="unseen-text"), class_="chart", **_HEAD)
    heads = [
        element("th", element("span", "place", class_="unseen-text"), **_HEAD),
        element("th", "agent", **_HEAD),
        chart,
        *(element("th", heading, class_="number", **_HEAD) for _, heading in _COLUMNS),
    ]
    body = [_row(place, entry) for place, entry in enumerate(rows, start=1)]
    table = element(
        "table",
        element("thead", element("tr", *heads, role="row"), role="rowgroup"),
        element("tbody", *body, role="rowgroup"),
        class_="ranking measure",
        role="table",
    )
    yield element("div", table, class_="card scrolled", tabindex="0", role="region", aria_label=name)


def _row(place: int, entry: Entry) -> Markup:
    numbers = entry.numbers
    cells = (_number(numbers.get(name), heading) for name, heading in _COLUMNS)
    agent = element("span", entry.label, class_="agent"), element("code", entry.facts["command"])
    played = " · ".join(filter(None, (str(entry.facts["date"]), _versions(entry.facts), entry.catalogue)))
    said = element("span", played, class_="soft small")
    name = element("th", *agent, said, scope="row", role="rowheader")
    chart = element("td", charts.strip([numbers["success"]]), class_="chart", role="cell")
    return element("tr", element("td", place, class_="place", role="cell"), name, chart, *cells, role="row")


def _number(one: Measurement | None, name: str) -> Markup:
    value, _, bounds = in_words(one).partition(" ")
    span = element("span", bounds, class_="range") if bounds else None
    return element("td", element("span", value, class_="value"), span, class_="number", role="cell", data_name=name)


def _by_suite(entries: Sequence[Entry]) -> Mapping[str, list[Entry]]:
    """Return the entries of each suite, in the order of `act-gym suites`, the best first."""
    found = {name: [entry for entry in entries if entry.suite == name] for name in suites()}
    return {name: sorted(rows, key=_rank) for name, rows in found.items() if rows}


def _rank(entry: Entry) -> tuple[float, float, str]:
    numbers = entry.numbers
    return -numbers["success"].value, -numbers["score"].value, entry.label


def _about(name: str) -> str:
    frozen = suite(name)
    limit = f"{frozen.size:,} tasks of `{frozen.env_id}`, at most {frozen.max_turns} turns"
    return f"{limit}. Success: {success_of(frozen.benchmark)}. Version {frozen.version}, sha256 `{frozen.sha256[:12]}`."


def _versions(facts: Mapping[str, object]) -> str:
    versions = facts.get("versions")
    own = versions.get("act-gym", "") if isinstance(versions, Mapping) else ""
    return f"act-gym {own}, {str(facts.get('git', ''))[:10]}"


def _cell(text: str) -> str:
    """Return text that a table of Markdown shows as it is."""
    shown = plain(text, 200).replace("\n", " ").replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]|!" else letter for letter in shown)


def _line(command: str) -> str:
    """Return a command as one line of a block of code that it cannot end."""
    return plain(str(command), 500).replace("\n", " ").replace("```", "'''")
