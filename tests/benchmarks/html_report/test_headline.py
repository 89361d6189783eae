import json
import re

import numpy as np

from benchmarks.html_report.explained import EXPLAINED
from benchmarks.html_report.headline import headline_strip, meaning
from benchmarks.html_report.runs import load
from benchmarks.report import main
from benchmarks.reporting.tables import COLUMNS
from benchmarks.stats.measurement import Measurement, Summary
from benchmarks.stats.scores import flat_record, measure
from tests.benchmarks.html_report.written import episode_of, turns_of, write_episodes


def write_run(folder, seen, unseen, *, protocol=""):
    """Write a measured run; each side lists its outcomes: solved, failed or broken off by an error (None)."""
    episodes = []
    for split, outcomes in (("seen", seen), ("unseen", unseen)):
        for number, solved in enumerate(outcomes):
            one = episode_of(number, "mine", turns=turns_of("go", "go"), success=bool(solved))
            record = one.to_json()
            record["task"] |= {"split": split, "id": f"{split}/{number}"}
            record |= {"stop": "env_error", "error": "lost"} if solved is None else {}
            record |= {"stop": "truncated"} if solved is False else {}
            episodes.append(type(one).from_json(record))
    write_episodes(folder, "mine", episodes)
    measured = measure(map(flat_record, episodes), np.random.default_rng(0))
    Summary(kind="episodes", label="mine", subject="mine", measurements=measured, protocol=protocol).write(folder)
    return folder


def strip(folder):
    text = "".join(headline_strip([load(folder)]))
    return " ".join(re.sub("<[^>]*>", " ", text).split())


def test_the_headline_has_both_sides_the_gap_and_its_meaning(tmp_path):
    folder = write_run(tmp_path, [True] * 20, [False] * 20, protocol="verl-agent")
    agent = {"model": "m/checkpoint", "weights_sha256": "0123456789abcdef"}
    (folder / "manifest.json").write_text(json.dumps({"agent": agent}))
    shown = strip(folder)
    assert "success, seen 100.0 % [83.9, 100.0]" in shown
    assert "success, unseen 0.0 % [0.0, 16.1]" in shown
    assert "+100.0 points [+" in shown
    assert "Better on seen tasks" in shown
    assert "tasks played 40 40 episodes errors 0" in shown
    assert "checkpoint m/checkpoint, sha256 0123456789ab · protocol verl-agent" in shown


def test_errors_are_not_shown_as_a_score(tmp_path):
    shown = strip(write_run(tmp_path, [None, None], [True, None]))
    assert "success, seen – No result: 2 of 2 episodes ended with an error." in shown
    assert "success, unseen ≥ 50.0 % 1 of 2 episodes ended with an error: no interval." in shown
    assert "seen − unseen – Not judged" in shown
    assert "errors 3 They count as failures." in shown


def test_the_meaning_of_a_gap_follows_its_interval():
    def said(low, high, *sides):
        gap = Measurement(name="success", value=(low + high) / 2, n=9, low=low, high=high, split="seen - unseen")
        return meaning(gap, [Measurement(name="success", value=side, n=9) for side in sides])

    assert "Better on unseen" in said(-0.5, -0.1, 0.2, 0.5)
    assert "the interval holds 0" in said(-0.1, 0.5, 0.5, 0.3)
    assert "Nothing was solved" in said(-0.1, 0.1, 0.0, 0.0)


def test_failure_modes_are_shown_by_type_with_an_example(tmp_path):
    folder, out = write_run(tmp_path / "run", [True, False], [False, False]), tmp_path / "report.html"
    main([str(folder), "--out", str(out)])
    page = out.read_text()
    table = page[page.index("Where it fails: mine") : page.index("How it was run")]
    assert "reached the step limit</th>" in table
    assert "turns without an action" not in table  # none was
    episodes = json.loads(re.search('id="archive">(.*?)</script>', page, re.S)[1])["episodes"]
    examples = [int(number) for number in re.findall(r"e=(\d+)", table)]
    assert [episodes[number][4] for number in examples] == ["seen/1", "unseen/0"]
    assert not any(episodes[number][6] for number in examples)


def test_every_column_has_a_label_and_an_explanation():
    assert {name for columns in COLUMNS.values() for name, _ in columns} <= EXPLAINED.keys()
