"""Lucene's own answers: those that were written down, and where its JAR is, those it gives now.

`ACT_GYM_LUCENE_JAR` names the JAR or the pyserini wheel that holds it; see `benchmarks/parity/webshop_search.py`.
"""

import json
import os
from pathlib import Path

import pytest

from act_gym.engines.webshop.search import SearchIndex, build
from benchmarks.parity.__main__ import main
from benchmarks.parity.webshop_search import Lucene


@pytest.fixture(scope="module")
def made_up_index(corpus, tmp_path_factory):
    names, documents = corpus(400, 7)
    folder = tmp_path_factory.mktemp("index") / "search"
    build(documents, folder, names=names)
    return folder


@pytest.fixture(scope="module")
def jar():
    path = os.environ.get("ACT_GYM_LUCENE_JAR")
    if not path:
        pytest.skip("ACT_GYM_LUCENE_JAR is not set: the path of a pyserini 0.21.0 wheel, or of the JAR in it")
    return Path(path)


def test_lists_and_scores_of_documents_of_our_own_are_lucenes(made_up_index, lucene_says):
    index = SearchIndex(made_up_index)
    for query, places, scores in lucene_says["made_up"]:
        found = index.scored(query, 20)
        assert [place for place, _ in found] == places
        assert [score for _, score in found[:3]] == pytest.approx(scores, rel=1e-7)


def test_lists_of_the_real_documents_are_lucenes(real_documents, webshop_files, lucene_says, tmp_path):
    names, texts = real_documents
    goals = list(json.loads((webshop_files / "goal_query_map.json").read_text(encoding="utf-8")))
    build(texts, tmp_path / "search", names=names)
    index = SearchIndex(tmp_path / "search")
    found = [[number, list(index.search(goals[number]))] for number, _ in lucene_says["goals"]]
    assert found == lucene_says["goals"]


def test_what_was_written_down_is_what_lucene_says_now(jar, corpus, lucene_says, tmp_path):
    names, documents = corpus(400, 7)
    where = {name: place for place, name in enumerate(names)}
    with Lucene(jar) as lucene:
        assert lucene.version == lucene_says["lucene"]
        assert [[text, list(lucene.terms(text))] for text, _ in lucene_says["texts"]] == lucene_says["texts"]
        index = lucene.index(zip(names, documents, strict=True), tmp_path / "lucene")
        for query, places, scores in lucene_says["made_up"]:
            assert [where[name] for name in index.search(query, 20)] == places
            assert list(index.scores(query, 3)) == scores


def test_the_comparison_finds_no_difference_and_says_so(jar, corpus, tmp_path, capsys):
    names, documents = corpus(200, 1)
    rows = [json.dumps({"id": name, "contents": text}) for name, text in zip(names, documents, strict=True)]
    (tmp_path / "documents.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "queries.json").write_text(json.dumps({"red shirt": ["slim shirt"], "tea 🙂": []}), encoding="utf-8")
    arguments = ["--documents", str(tmp_path / "documents.jsonl"), "--queries", str(tmp_path / "queries.json")]
    assert main(["webshop-search", "--lucene", str(jar), *arguments, "--strings", "50"]) == 0
    said = capsys.readouterr().out
    assert "| top 50: goals' texts | 2 | 2 | 100.00% |" in said
    assert "| terms: random strings | 50 | 50 | 100.00% |" in said


def test_a_missing_jar_says_where_to_get_it(tmp_path, capsys):
    arguments = ["--lucene", str(tmp_path / "none.jar"), "--documents", str(tmp_path / "documents.jsonl")]
    (tmp_path / "documents.jsonl").touch()
    assert main(["webshop-search", *arguments]) == 2
    assert "pip download pyserini" in capsys.readouterr().err
