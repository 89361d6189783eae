"""WebShop's search on its 1,000 documents and on as many as the full catalogue has: build, open, find.

    ACT_GYM_WEBSHOP_FILES=webshop/ SEARCH_DOCUMENTS=1180000 SEARCH_FOLDER=scratch/ \\
        pytest benchmarks/speed/bench_webshop_search.py --benchmark-group-by=group --benchmark-json=speed.json \\
        --benchmark-timer=time.process_time

An index that is in SEARCH_FOLDER already is used again. The queries are a sample of `goal_query_map.json`: goals' texts
and human searches. Each query is asked once before, so that its parts of the files are in memory. The cache of words is
then cleared, and kept again from query to query. `extra_info` in the JSON has percentiles and memory.

The many documents are mixed from the 1,000. Each is made of a real document: its title, a third of the words exchanged
for words of titles of its kind, and phrases of its own and of three others, one of them from another kind of the same
department. So words are as common, and go together as often, as in the real ones. One word in twenty is then exchanged
for an invented one, drawn with Zipf's law from three million, for the long tail that a thousand documents do not have.
This gives 179 words a document where the real ones have 124.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import psutil
import pytest

from act_gym.engines.webshop.search import SearchIndex, build

pytestmark = pytest.mark.timeout(7200)

DOCUMENTS = int(os.environ.get("SEARCH_DOCUMENTS", "20000"))
QUERIES = 1000


@pytest.fixture(scope="module")
def files() -> Path:
    folder = Path(os.environ.get("ACT_GYM_WEBSHOP_FILES", "."))
    if not (folder / "documents_1k.jsonl").is_file():
        pytest.skip("ACT_GYM_WEBSHOP_FILES does not name a folder with documents_1k.jsonl and goal_query_map.json")
    return folder


@pytest.fixture(scope="module")
def queries(files: Path) -> list[str]:
    goals = json.loads((files / "goal_query_map.json").read_text(encoding="utf-8"))
    both = [query for goal, searches in goals.items() for query in (goal, *searches)]
    return [both[place] for place in np.random.default_rng(0).permutation(len(both))[:QUERIES]]


@pytest.fixture(scope="module")
def many(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the index of many documents, built if it is not there."""
    folder = Path(os.environ.get("SEARCH_FOLDER") or tmp_path_factory.mktemp("many")) / f"mixed-{DOCUMENTS}"
    if not (folder / "search.json").exists():
        build(mixed_documents(files / "documents_1k.jsonl", DOCUMENTS), folder)
    return folder


@pytest.fixture(scope="module")
def thousand(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the index of the real documents."""
    folder = tmp_path_factory.mktemp("thousand") / "search"
    build_thousand(files, folder)
    return folder


def build_thousand(files: Path, folder: Path) -> None:
    rows = [json.loads(line) for line in (files / "documents_1k.jsonl").read_text(encoding="utf-8").splitlines()]
    build((row["contents"] for row in rows), folder, names=[row["id"] for row in rows])


def search_all(benchmark: Any, index: SearchIndex, queries: Sequence[str]) -> None:
    """Time each query once."""
    benchmark.group = f"search, {len(index):,} documents"
    for query in queries:
        index.search(query)
    index._postings.cache_clear()
    asked = iter(queries)
    benchmark.pedantic(lambda: index.search(next(asked)), rounds=len(queries))
    percentiles = np.percentile(benchmark.stats.stats.data, [50, 90, 99, 100])
    benchmark.extra_info["p50, p90, p99, longest"] = percentiles.tolist()
    benchmark.extra_info["resident_bytes"] = psutil.Process().memory_info().rss


def bench_build(benchmark: Any, files: Path, tmp_path: Path) -> None:
    folders = (tmp_path / str(number) for number in range(3))
    benchmark.pedantic(lambda: build_thousand(files, next(folders)), rounds=3)


def bench_open(benchmark: Any, thousand: Path) -> None:
    benchmark.pedantic(SearchIndex, (thousand,), rounds=20)


def bench_open_many(benchmark: Any, many: Path) -> None:
    benchmark.pedantic(SearchIndex, (many,), rounds=5)


def bench_search(benchmark: Any, thousand: Path, queries: list[str]) -> None:
    search_all(benchmark, SearchIndex(thousand), queries)


def bench_search_many(benchmark: Any, many: Path, queries: list[str]) -> None:
    search_all(benchmark, SearchIndex(many), queries)


_INVENTED = 3_000_000
_ZIPF = 1.15
_BATCH = 1 << 16


class _Source:
    """The real documents, taken apart."""

    def __init__(self, file: Path) -> None:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        self.titles = [row["product"]["name"].lower().split(" ") for row in rows]
        texts = [row["contents"].removeprefix(row["product"]["name"].lower()) for row in rows]
        self.phrases = [[part for part in re.split(r"(?<=[.!?;,]) ", text) if part.strip()] for text in texts]
        kinds: dict[str, list[int]] = defaultdict(list)
        departments: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            kinds[row["product"]["query"]].append(place)
            departments[row["product"]["category"]].append(place)
        self.kinds = [kinds[row["product"]["query"]] for row in rows]
        self.departments = [departments[row["product"]["category"]] for row in rows]


def mixed_documents(file: Path, number: int, *, seed: int = 0) -> Iterator[str]:
    """Yield documents.

    Args:
        file: The real ones, a JSON object a line with `contents` and `product`.
        number: How many to yield.
        seed: Seed of the draw.
    """
    source = _Source(file)
    random = np.random.default_rng(seed)
    ranks: list[int] = []
    for _ in range(number):
        words = _mixed(source, random)
        count = 1 + len(words) // 20
        if len(ranks) < count:
            ranks = (random.zipf(_ZIPF, _BATCH) % _INVENTED).tolist()
        for place in random.integers(len(words), size=count).tolist():
            words[place] = _invented(ranks.pop())
        yield " ".join(words)


def _mixed(source: _Source, random: np.random.Generator) -> list[str]:
    own = int(random.integers(len(source.titles)))
    kind, department = source.kinds[own], source.departments[own]
    others = [_any(kind, random), _any(kind, random), _any(department, random)]
    title = source.titles[own]
    exchanged = (random.random(len(title)) < 1 / 3).tolist()
    pool = [word for place in others for word in source.titles[place]]
    words = [
        pool[int(random.integers(len(pool)))] if other else word for word, other in zip(title, exchanged, strict=True)
    ]
    for place, share in ((own, 0.7), *((other, 0.25) for other in others)):
        phrases = source.phrases[place]
        kept = (random.random(len(phrases)) < share).tolist()
        words += " ".join(phrase for phrase, keep in zip(phrases, kept, strict=True) if keep).split(" ")
    return words


def _any(places: Sequence[int], random: np.random.Generator) -> int:
    return places[int(random.integers(len(places)))]


def _invented(rank: int) -> str:
    rank += 26**3
    letters = ""
    while rank:
        rank, letter = divmod(rank, 26)
        letters += ascii_lowercase[letter]
    return f"{letters}x"
