"""WebShop's search on its 1,000 documents and on as many as the full catalogue has: build, open, find.

    ACT_GYM_WEBSHOP_FILES=webshop/ SEARCH_DOCUMENTS=1180000 SEARCH_FOLDER=scratch/ \\
        python -m pytest benchmarks/speed/bench_webshop_search.py -s

The many documents are mixed from the 1,000 (`mixed_documents.py`). An index that is in SEARCH_FOLDER already is used
again. The queries are a sample of `goal_query_map.json`: goals' texts and what people searched for. Percentiles are of
processor time, as others use the machine too; each query is asked once before, so that what it needs of the files is in
memory. The cache of words is then cleared, and kept again from query to query. Nothing here asserts a time.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from act_gym.engines.webshop.search import SearchIndex, build
from benchmarks.speed.clock import resident
from benchmarks.speed.mixed_documents import mixed_documents
from benchmarks.speed.output import Say

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
    parent = Path(os.environ.get("SEARCH_FOLDER") or tmp_path_factory.mktemp("many"))
    folder = parent / f"mixed-{DOCUMENTS}"
    if not (folder / "search.json").exists():
        start = time.perf_counter()
        build(mixed_documents(files / "documents_1k.jsonl", DOCUMENTS), folder, workers=1)
        wall = time.perf_counter() - start
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        processor = sum(usage.ru_utime + usage.ru_stime for usage in used)
        peaks = " and ".join(f"{usage.ru_maxrss / 1e3:,.0f} MB" for usage in used)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        sys.stderr.write(
            f"\nbuilt {DOCUMENTS:,} documents, which this process made up, with one other process: {wall:.0f} s, "
            f"{processor:.0f} s of processor time in all, at most {peaks}; {size:,.0f} MB\n"
        )
    return folder


def percentiles(index: SearchIndex, queries: list[str]) -> str:
    for query in queries:
        index.search(query)
    index._postings.cache_clear()
    spent = []
    for query in queries:
        start = time.process_time()
        index.search(query)
        spent.append((time.process_time() - start) * 1e3)
    median, most, nearly_all = np.percentile(spent, [50, 90, 99])
    return f"p50 {median:.2f}, p90 {most:.2f}, p99 {nearly_all:.2f}, longest {max(spent):.2f} ms"


def bench_a_thousand_documents(files: Path, queries: list[str], tmp_path: Path, say: Say) -> None:
    rows = [json.loads(line) for line in (files / "documents_1k.jsonl").read_text(encoding="utf-8").splitlines()]
    start = time.process_time()
    build((row["contents"] for row in rows), tmp_path / "search", names=[row["id"] for row in rows])
    say(f"1,000 documents: built in {time.process_time() - start:.2f} s")
    start = time.process_time()
    index = SearchIndex(tmp_path / "search")
    say(f"1,000 documents: opened in {(time.process_time() - start) * 1e3:.1f} ms")
    say(f"1,000 documents: {percentiles(index, queries)}")


def bench_many_documents(many: Path, queries: list[str], say: Say) -> None:
    start = time.perf_counter()
    index = SearchIndex(many)
    say(f"{len(index):,} documents: opened in {(time.perf_counter() - start) * 1e3:.0f} ms on the wall's clock")
    say(f"{len(index):,} documents: {percentiles(index, queries)}")
    say(f"{len(index):,} documents: {resident(os.getpid()):.0f} MB in memory after that, mapped files included")


def bench_adding_everything_up(many: Path, queries: list[str], say: Say) -> None:
    """Measure the saving of pruned retrieval; both must find the same."""
    index, other = SearchIndex(many, skip=False), SearchIndex(many, skip=True)
    few = queries[:100]
    assert [index.scored(query) for query in few] == [other.scored(query) for query in few]
    say(f"{len(index):,} documents, nothing left out: {percentiles(index, few)}")
