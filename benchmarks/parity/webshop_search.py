r"""Compares our search with Lucene: its terms, its lists, its scores to the last bit.

    python -m benchmarks.parity webshop-search --lucene pyserini-0.21.0-py3-none-any.whl --documents documents.jsonl \
        --index lucene_index/ --queries goal_query_map.json --trajectories webshop.jsonl --strings 20000

The documents are indexed by us, and by Lucene unless its index is given. Java is found as for ScienceWorld.
`pip download pyserini==0.21.0 --no-deps` brings Lucene 9.4.2, which wrote the published index of 1,000 products, in
a JAR of Anserini's. It runs in a Java process and is asked through py4j, by the calls of pyserini's `LuceneSearcher`
and its indexer with their defaults.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from act_gym.config import parse
from act_gym.engines.java import find_java
from act_gym.engines.webshop.search import SearchIndex, build
from act_gym.engines.webshop.search.analyzer import analyse, kinds
from act_gym.errors import EngineError, MissingDataError, UsageError
from act_gym.progress import track

__all__ = ["Lucene", "LuceneIndex", "SearchParityConfig", "main"]

_LENGTHS = (1, 2, 3, 5, 8, 13, 30, 254, 256, 520)
_KINDS = 6
_SHOWN = 5
_SHOWN_LETTERS = 300
_JAR = "anserini-"
_OPTIONS = ["-Xmx2g", "-XX:+UseSerialGC"]


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


class Lucene:
    """A Java process with Lucene; to be closed, or used in a `with` statement.

    Args:
        jar: Anserini's JAR with everything in it, or a pyserini wheel, which is unpacked next to itself.

    Raises:
        MissingDataError: There is no such file, or no JAR in it.
        EngineError: Java could not be started with it.
    """

    def __init__(self, jar: Path) -> None:
        from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
        from py4j.protocol import Py4JError

        try:
            port, token, self._process = launch_gateway(
                classpath=str(_unpacked(jar)),
                java_path=str(find_java().path),
                javaopts=_OPTIONS,
                die_on_exit=True,
                enable_auth=True,
                return_proc=True,
            )
            parameters = GatewayParameters(port=port, auth_token=token, auto_convert=True, auto_field=True)
            self._gateway = JavaGateway(gateway_parameters=parameters)
            java = self._gateway.jvm
            self.version = str(java.org.apache.lucene.util.Version.LATEST.toString())
            self._analyzer = java.io.anserini.analysis.DefaultEnglishAnalyzer.newDefaultInstance()
        except (Py4JError, TypeError) as cause:
            raise EngineError(
                f"{jar} does not run as Anserini's JAR: {cause}. Give the one in a pyserini wheel."
            ) from cause
        self._java: Any = java

    def terms(self, text: str) -> tuple[str, ...]:
        """Return what the analyser makes of a text."""
        found = self._java.io.anserini.analysis.AnalyzerUtils.analyze(self._analyzer, text)
        joined = str(self._java.java.lang.String.join("\n", found))  # one trip and not one for each term
        return tuple(joined.split("\n")) if joined else ()

    def index(self, documents: Iterable[tuple[str, str]], folder: Path) -> LuceneIndex:
        """Write an index of names and texts, with the fields that matter for a search, and open it."""
        lucene = self._java.org.apache.lucene
        directory = _directory(self._java, folder)
        writer = lucene.index.IndexWriter(directory, lucene.index.IndexWriterConfig(self._analyzer))
        store = lucene.document.Field.Store
        for name, text in documents:
            document = lucene.document.Document()
            document.add(lucene.document.StringField("id", name, store.YES))
            document.add(lucene.document.BinaryDocValuesField("id", lucene.util.BytesRef(name)))
            document.add(lucene.document.TextField("contents", text, store.NO))
            writer.addDocument(document)
        writer.forceMerge(1)
        writer.close()
        directory.close()
        return self.open(folder)

    def open(self, folder: Path) -> LuceneIndex:
        """Open an index, as pyserini's `LuceneSearcher(folder)` does."""
        return LuceneIndex(self._java, self._analyzer, folder)

    def close(self) -> None:
        """End the process."""
        self._gateway.shutdown()
        self._process.terminate()
        self._process.wait(timeout=30)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Lucene:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class LuceneIndex:
    """An open index; `Lucene` makes it."""

    def __init__(self, java: Any, analyzer: Any, folder: Path) -> None:
        self._searcher = java.io.anserini.search.SimpleSearcher(str(folder))
        self._analyzer = analyzer
        self._queries = java.io.anserini.search.query.BagOfWordsQueryGenerator()
        lucene = java.org.apache.lucene
        self._plain = lucene.search.IndexSearcher(lucene.index.DirectoryReader.open(_directory(java, folder)))
        self._plain.setSimilarity(lucene.search.similarities.BM25Similarity(0.9, 0.4))

    def search(self, query: str, limit: int = 50) -> tuple[str, ...]:
        """Return the names of what pyserini finds, the best first."""
        return tuple(str(hit.docid) for hit in self._searcher.search(query, limit))

    def scores(self, query: str, limit: int = 50) -> tuple[float, ...]:
        """Return the best scores, falling, as Lucene has them; what pyserini shows is rounded."""
        found = self._plain.search(self._queries.buildQuery("contents", self._analyzer, query), limit)
        return tuple(float(hit.score) for hit in found.scoreDocs)


def _directory(java: Any, folder: Path) -> Any:
    path = java.java.io.File(str(folder)).toPath()
    return java.org.apache.lucene.store.FSDirectory.open(path)


def _unpacked(jar: Path) -> Path:
    if not jar.is_file():
        raise MissingDataError(f"No file {jar}. Run: pip download pyserini==0.21.0 --no-deps")
    if jar.suffix != ".whl":
        return jar
    with zipfile.ZipFile(jar) as wheel:
        for name in wheel.namelist():
            if Path(name).name.startswith(_JAR) and name.endswith(".jar"):
                target = jar.parent / Path(name).name
                if not target.is_file() or target.stat().st_size != wheel.getinfo(name).file_size:
                    target.write_bytes(wheel.read(name))
                return target
    raise MissingDataError(f"{jar} holds no {_JAR}….jar. Run: pip download pyserini==0.21.0 --no-deps")
