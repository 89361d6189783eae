r"""Compares our search with Lucene: its terms, its lists, its scores to the last bit.

    python -m benchmarks.parity webshop-search --lucene pyserini-0.21.0-py3-none-any.whl --documents documents.jsonl \
        --index lucene_index/ --queries goal_query_map.json --trajectories webshop.jsonl --strings 20000

The documents are indexed by us, and by Lucene unless its index is given. Java is found as for ScienceWorld.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from act_gym.config import parse
from act_gym.engines.webshop.search import SearchIndex, build
from act_gym.engines.webshop.search.analyzer import analyse, kinds
from act_gym.errors import UsageError
from act_gym.progress import track
from benchmarks.parity.lucene import Lucene, LuceneIndex

__all__ = ["SearchParityConfig", "main"]

_LENGTHS = (1, 2, 3, 5, 8, 13, 30, 254, 256, 520)
_KINDS = 6
_SHOWN = 5
_SHOWN_LETTERS = 300


@dataclass(frozen=True)
class SearchParityConfig:
    """Compare our search with Lucene's; the exit status is 1 where anything differs."""

    lucene: Path
    """A pyserini wheel, or Anserini's JAR out of it."""
    documents: Path
    """The documents: a JSON object a line with `id` and `contents`."""
    index: Path | None = None
    """Lucene's index of them; if none is given, one is made for the comparison."""
    queries: Path | None = None
    """WebShop's goal_query_map.json: both its goals and what people searched for are queries."""
    trajectories: Path | None = None
    """AgentGym's trajectories of WebShop, whose searches are queries."""
    strings: int = 2000
    """Random strings to cut into terms, from letters of all kinds."""
    limit: int = 50
    """How many documents a query returns."""
    first: int = 0
    """Only so many queries of each kind; 0 for all."""
    seed: int = 0
    """Seed of the strings."""


@dataclass
class _Tally:
    """One kind of thing compared."""

    what: str
    compared: int = 0
    differing: list[str] = field(default_factory=list)

    def note(self, about: str, reference: object, ours: object) -> None:
        """Compare what Lucene and what we have of one thing."""
        self.compared += 1
        if reference != ours:
            self.differing.append(f"{self.what} of {about!r}\n  Lucene {reference}\n  ours   {ours}"[:_SHOWN_LETTERS])

    def line(self) -> str:
        """Return a row of the table."""
        same = self.compared - len(self.differing)
        return f"| {self.what} | {self.compared:,} | {same:,} | {same / max(self.compared, 1):.2%} |"


def _strings(number: int, seed: int) -> Iterator[str]:
    """Yield strings of few kinds of letters each, so that rules for two or three of them are met."""
    random = np.random.default_rng(seed)
    spans = list(kinds().values())
    for _ in range(number):
        chosen = random.choice(len(spans), random.integers(1, _KINDS + 1))
        length = int(random.choice(_LENGTHS))
        yield "".join(_letter(spans[random.choice(chosen)], random) for _ in range(length))


def _letter(spans: Sequence[tuple[int, int]], random: np.random.Generator) -> str:
    first, last = spans[int(random.integers(len(spans)))]
    return chr(random.integers(first, last + 1))


def _queries(arguments: SearchParityConfig) -> dict[str, list[str]]:
    """Return queries by where they are from."""
    found: dict[str, list[str]] = {}
    if arguments.queries:
        goals = json.loads(arguments.queries.read_text(encoding="utf-8"))
        found["goals' texts"] = list(goals)
        found["people's searches"] = [query for queries in goals.values() for query in queries]
    if arguments.trajectories:
        lines = arguments.trajectories.read_text(encoding="utf-8").splitlines()
        talks = [turn["value"] for line in lines for turn in json.loads(line)["conversations"] if turn["from"] == "gpt"]
        actions = [talk.rpartition("Action:")[2].strip() for talk in talks]
        searches = [action for action in actions if action.startswith("search[")]
        found["trajectories' searches"] = [action[len("search[") :].removesuffix("]") for action in searches]
    return {name: queries[: arguments.first or None] for name, queries in found.items()}


def _same_terms(name: str, texts: Iterable[str], reference: Callable[[str], tuple[str, ...]]) -> _Tally:
    tally = _Tally(f"terms: {name}")
    for text in track(list(texts), tally.what):
        tally.note(text, reference(text), analyse(text))
    return tally


def _same_lists(
    name: str, queries: Sequence[str], reference: LuceneIndex, index: SearchIndex, names: Sequence[str], limit: int
) -> Iterator[_Tally]:
    lists, scores = _Tally(f"top {limit}: {name}"), _Tally(f"scores: {name}")
    for query in track(queries, lists.what):
        found = index.scored(query, limit)
        lists.note(query, reference.search(query, limit), tuple(names[place] for place, _ in found))
        scores.note(
            query, [*map(np.float32, reference.scores(query, limit))], [np.float32(score) for _, score in found]
        )
    yield lists
    yield scores


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    program = "python -m benchmarks.parity webshop-search"
    arguments = parse(SearchParityConfig, sys.argv[1:] if argv is None else argv, program=program)
    if arguments.strings < 0 or arguments.first < 0 or arguments.limit < 1:
        raise UsageError("--strings and --first are 0 or more, and --limit is at least 1.")
    rows = [json.loads(line) for line in arguments.documents.read_text(encoding="utf-8").splitlines()]
    names, texts = [row["id"] for row in rows], [row["contents"] for row in rows]
    tallies = []
    with TemporaryDirectory() as scratch, Lucene(arguments.lucene) as lucene:
        build(texts, Path(scratch) / "ours", names=names)
        ours = SearchIndex(Path(scratch) / "ours")
        given = arguments.index
        theirs = lucene.open(given) if given else lucene.index(zip(names, texts, strict=True), Path(scratch) / "lucene")
        tallies.append(_same_terms("documents", texts, lucene.terms))
        tallies.append(_same_terms("random strings", _strings(arguments.strings, arguments.seed), lucene.terms))
        for name, queries in _queries(arguments).items():
            tallies.append(_same_terms(name, queries, lucene.terms))
            tallies.extend(_same_lists(name, queries, theirs, ours, names, arguments.limit))
        sys.stdout.write(f"Lucene {lucene.version}\n\n| what | compared | the same | |\n|---|--:|--:|--:|\n")
    differing = [about for tally in tallies for about in tally.differing]
    sys.stdout.write("\n".join([*(tally.line() for tally in tallies if tally.compared), "", *differing[:_SHOWN], ""]))
    return int(bool(differing))
