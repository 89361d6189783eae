"""A mistake leaves no run folder behind, and a run folder never stands in the way of the corrected command."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from act_gym import RunError, UnknownNameError, UsageError
from act_gym.io.jsonl import read_records
from act_gym.io.run_dir import sha256_of
from benchmarks.compare import main as compare
from benchmarks.evaluate import main
from benchmarks.merge import main as merge
from benchmarks.report import main as report
from benchmarks.run.loader import FinishedRun

GAMES = ["--env", "act/ALFWorld-generated-seen", "--max-turns", "2", "--workers", "1"]
SHOP = ["--env", "act/WebShop-generated-seen", "--max-turns", "2", "--limit", "1", "--workers", "1"]
AGENT = """
from act_gym import AgentAction

class Agent:
    name = "mended"

    def act(self, views):
        return [self.choose(view) for view in views]

    def choose(self, view):
        {fault}
        return AgentAction(action="look")

class Broken:
    name = "broken"

    def __init__(self):
        raise OSError("no weights")
"""


@pytest.fixture
def own(tmp_path, monkeypatch) -> Iterator[Path]:
    """The file of an agent of one's own that raises in some episodes."""
    path = tmp_path / "own_agent.py"
    path.write_text(AGENT.format(fault='if view.seed == 1: raise KeyError("odd")'), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a file changed within a second may look the same
    yield path
    sys.modules.pop("own_agent", None)


def mend(path: Path, more: str = "") -> None:
    path.write_text(AGENT.format(fault="pass") + more, encoding="utf-8")
    sys.modules.pop("own_agent", None)  # a command of its own would import the file as it is now


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ([*GAMES, "--agent", "no_such_module:Agent"], UsageError, "No module no_such_module"),
        ([*GAMES, "--agent", "own_agent:Agnt"], UnknownNameError, "Did you mean Agent"),
        ([*GAMES, "--agent", "own_agent:Agent:depth=3"], UsageError, "cannot be made with the settings"),
        ([*GAMES, "--agent", "own_agent:Broken"], UsageError, r"OSError: no weights \(.*own_agent\.py:\d+\)"),
        ([*GAMES, "--env-options", "legacy_command=true"], UsageError, "does not take"),
        ([*SHOP, "--env-options", "observation_mode=rich"], UnknownNameError, "observation mode"),
        ([*SHOP, "--env-options", "search_engine=nowhere:Engine"], UsageError, "nowhere"),
        ([*GAMES, "--seeds", "-1"], UsageError, "--seeds are whole numbers from 0 .*; got -1"),
        ([*GAMES, "--seeds", str(2**32)], UsageError, "got 4294967296"),
        ([*GAMES, "--limit", "-3"], UsageError, "--limit is 0 .*; got -3"),
        ([*GAMES, "--per-type", "-3"], UsageError, "--per-type is 0 .*; got -3"),
        ([*GAMES, "--resume", "--overwrite"], UsageError, "give one of them"),
    ],
    ids=str,
)
def test_a_mistake_leaves_no_folder(words, error, message, own, tmp_path):
    with pytest.raises(error, match=message):
        main([*words, "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_a_folder_without_episodes_is_empty(tmp_path):
    folder = tmp_path / "run"
    assert main([*GAMES, "--limit", "1", "--out", str(folder)]) == 0
    for name in ("records.jsonl", "summary.json"):
        (folder / name).unlink()
    (folder / "episodes.jsonl").write_bytes(b'{"torn')  # as a kill before the first episode leaves it
    assert main([*GAMES, "--limit", "2", "--seeds", "3", "--out", str(folder)]) == 0
    run = FinishedRun.read(folder)
    assert (run.manifest["seeds"], len(run.records)) == ([3], 2)
    assert "resumed" not in run.manifest


def test_limits_may_grow_and_nothing_is_played_twice(tmp_path):
    folder = tmp_path / "run"
    assert main([*GAMES, "--limit", "2", "--out", str(folder)]) == 0
    first = (folder / "episodes.jsonl").read_bytes()
    assert main([*GAMES, "--limit", "5", "--out", str(folder), "--resume"]) == 0
    lines = (folder / "episodes.jsonl").read_bytes()
    assert lines.startswith(first)
    assert lines.count(b"\n") == 5
    run = FinishedRun.read(folder)  # checks the episodes against the hash of the suite
    assert (len(run.records), run.manifest["resumed"][0]["before"]["limit"]) == (5, 2)
    whole = tmp_path / "whole"
    assert main([*GAMES, "--limit", "5", "--out", str(whole)]) == 0
    assert run.manifest["suites"] == FinishedRun.read(whole).manifest["suites"]
    with pytest.raises(RunError, match=r"(?m)^  limit +5 +3$"):
        main([*GAMES, "--limit", "3", "--out", str(folder), "--resume"])
    with pytest.raises(RunError, match=r"(?m)^  agent "):
        main([*GAMES, "--agent", "expert", "--limit", "6", "--out", str(folder), "--resume"])
    assert (folder / "episodes.jsonl").read_bytes() == lines


def test_overwrite_starts_again_and_leaves_other_files(tmp_path):
    folder = tmp_path / "run"
    assert main([*GAMES, "--limit", "2", "--out", str(folder)]) == 0
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="--resume, start it again with --overwrite or"):
        main([*GAMES, "--limit", "1", "--seeds", "4", "--out", str(folder)])
    with pytest.raises(RunError, match=r"(?s)made with other settings.*--overwrite"):
        main([*GAMES, "--limit", "1", "--seeds", "4", "--out", str(folder), "--resume"])
    assert main([*GAMES, "--limit", "1", "--seeds", "4", "--out", str(folder), "--overwrite"]) == 0
    assert [record["seed"] for record in FinishedRun.read(folder).records] == [4]
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "manifest.json").write_text(json.dumps({"program": "trainers.act"}))
    with pytest.raises(RunError, match="another program"):
        main([*GAMES, "--out", str(folder), "--overwrite"])


def test_mended_code_plays_again_what_it_failed_at(own, tmp_path):
    folder = tmp_path / "run"
    command = [*GAMES, "--agent", "own_agent:Agent", "--limit", "2", "--seeds", "0", "1", "--out", str(folder)]
    main(command)
    before = sha256_of(own)
    assert [record["stop"] for record in FinishedRun.read(folder).records] == [*2 * ["truncated"], *2 * ["agent_error"]]
    mend(own)
    with pytest.raises(RunError, match="has changed since 2 episodes"):
        main([*command, "--limit", "3", "--resume"])
    assert main([*command, "--resume"]) == 0
    assert {record["stop"] for record in FinishedRun.read(folder).records} == {"truncated"}
    agent = manifest(folder)["agent"]
    assert (agent["source_sha256"], agent["retried_with"]) == (before, [sha256_of(own)])
    assert main([*command, "--resume"]) == 0  # nothing is left to play


def test_mended_code_goes_on_where_its_former_code_only_failed(own, tmp_path):
    folder = tmp_path / "run"
    command = [*GAMES, "--agent", "own_agent:Agent", "--limit", "2", "--seeds", "1", "--out", str(folder)]
    main(command)
    before = sha256_of(own)
    mend(own)
    assert main([*command, "--limit", "3", "--resume"]) == 0
    found = manifest(folder)
    assert "retried_with" not in found["agent"]
    assert found["agent"]["source_sha256"] == sha256_of(own)
    assert found["resumed"][0]["before"]["agent"]["source_sha256"] == before
    assert {record["stop"] for record in FinishedRun.read(folder).records} == {"truncated"}


def test_what_a_file_of_prices_holds_is_part_of_the_run(tmp_path):
    prices = tmp_path / "prices.json"
    command = [*SHOP[:-4], "--limit", "2", "--workers", "1", "--env-options", f"prices={prices}"]
    for name, limit in (("low", 10.0), ("high", 900.0)):
        prices.write_text(json.dumps({"limits": {0: limit}}))
        assert main([*command, "--out", str(tmp_path / name)]) == 0
    low, high = tmp_path / "low", tmp_path / "high"
    assert manifest(high)["env_option_files"] == {"prices": sha256_of(prices)}
    changed = r"(?m)^  env_option_files\.prices "
    with pytest.raises(RunError, match=changed):
        main([*command, "--out", str(low), "--resume"])
    with pytest.raises(RunError, match=changed):
        compare([str(low), str(high)])
    with pytest.raises(RunError, match=changed):
        merge([str(low), str(high), "--out", str(tmp_path / "both")])


def test_files_that_an_agent_is_given_are_part_of_the_run(own, tmp_path):
    mend(own, "\n\ndef ruled(rules, code):\n    return Agent()\n")
    rules = tmp_path / "rules.txt"
    rules.write_text("look")
    command = [*GAMES, "--limit", "1", "--agent", f"own_agent:ruled:rules={rules}", "--out", str(tmp_path / "run")]
    command += ["--agent-options", "code=own_agent:Agent"]
    assert main(command) == 0
    assert manifest(tmp_path / "run")["agent"]["option_files"] == {"rules": sha256_of(rules), "code": sha256_of(own)}
    rules.write_text("wait")
    with pytest.raises(RunError, match=r"(?m)^  agent\.option_files\.rules "):
        main([*command, "--resume"])


@pytest.mark.parametrize("place", ["file/below", "/proc/nowhere", "x" * 300], ids=["file", "proc", "long"])
def test_a_folder_that_cannot_be_made_is_one_sentence(place, tmp_path):
    (tmp_path / "file").touch()
    runs = [tmp_path / "one", tmp_path / "two"]
    for seed, run in enumerate(runs):
        main([*GAMES, "--limit", "1", "--seeds", str(seed), "--out", str(run)])
    out = ["--out", str(tmp_path / place)]
    for program, words in ((main, GAMES), (merge, [*map(str, runs)]), (report, [str(runs[0])])):
        with pytest.raises(UsageError, match=r"Cannot (make|write) .*Choose another --out"):
            program([*words, *(out if program is not report else ["--out", f"{out[1]}/report.html"])])


def test_a_report_in_place_of_a_folder_is_refused(tmp_path):
    main([*GAMES, "--limit", "1", "--out", str(tmp_path / "run")])
    with pytest.raises(UsageError, match="it is a folder"):
        report([str(tmp_path / "run"), "--out", str(tmp_path)])


def test_episodes_of_something_else_are_never_taken_over(tmp_path):
    main([*GAMES, "--limit", "1", "--out", str(tmp_path / "run")])
    (tmp_path / "run" / "config.json").unlink()
    before = list(read_records(tmp_path / "run" / "episodes.jsonl"))
    with pytest.raises(RunError, match="of something else"):
        main([*GAMES, "--limit", "1", "--out", str(tmp_path / "run")])
    assert list(read_records(tmp_path / "run" / "episodes.jsonl")) == before
