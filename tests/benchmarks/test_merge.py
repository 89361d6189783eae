import json
import shutil
from pathlib import Path

import pytest

from act_gym import RunError, UsageError
from act_gym.io.jsonl import read_records
from benchmarks.evaluate import main as evaluate
from benchmarks.merge import main
from benchmarks.run.loader import FinishedRun
from benchmarks.stats.measurement import Summary

SUITE = "alfworld-generated-seen-mini"
OTHER = "webshop-generated-seen-mini"


def play(folder: Path, *words: str) -> Path:
    evaluate(["--agent", "random", "--workers", "1", "--limit", "6", *words, "--out", str(folder)])
    return folder


def records(folder: Path) -> list[dict]:
    lines = read_records(folder / "records.jsonl")
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """The same evaluation whole and in parts, and another suite."""
    folder = tmp_path_factory.mktemp("merge")
    return {
        "whole": play(folder / "whole", "--suite", SUITE, "--seeds", "0", "1"),
        "zero": play(folder / "zero", "--suite", SUITE, "--seeds", "0"),
        "one, 1/2": play(folder / "one-a", "--suite", SUITE, "--seeds", "1", "--shard", "1/2"),
        "one, 2/2": play(folder / "one-b", "--suite", SUITE, "--seeds", "1", "--shard", "2/2"),
        "other": play(folder / "other", "--suite", OTHER, "--seeds", "0"),
    }


def test_seeds_and_shares_make_the_same_run_as_one_on_its_own(runs, tmp_path, capsys):
    out = tmp_path / "joined"
    parts = [str(runs[name]) for name in ("one, 2/2", "zero", "one, 1/2")]
    assert main([*parts, "--out", str(out)]) == 0
    assert f"{SUITE}, 6 of 24" in capsys.readouterr().out
    assert records(out) == records(runs["whole"])
    assert Summary.read(out) == Summary.read(runs["whole"])
    joined, whole = FinishedRun.read(out).manifest, FinishedRun.read(runs["whole"]).manifest
    for name in ("suites", "seeds", "shard", "agent", "simulators", "success", "env_options", "format"):
        assert joined[name] == whole[name], name
    assert [(share["folder"], share["shard"], share["seeds"]) for share in joined["merged"]] == [
        ("one-b", "2/2", [1]),
        ("zero", "1/1", [0]),
        ("one-a", "1/2", [1]),
    ]
    episodes = [json.dumps(record["task"]["id"]) for record in read_records(out / "episodes.jsonl")]
    assert len(episodes) == 12


def test_suites_are_joined_with_their_simulators(runs, tmp_path):
    main([str(runs["zero"]), str(runs["other"]), "--out", str(tmp_path / "joined"), "--label", "both"])
    joined = FinishedRun.read(tmp_path / "joined")
    assert (list(joined.suites), joined.label) == ([SUITE, OTHER], "both")
    assert set(joined.manifest["simulators"]) == {"ALFWorld", "WebShop"}
    assert len(joined.records) == 12


def test_gaps_are_refused_and_can_be_played_afterwards(runs, tmp_path, capsys):
    out = tmp_path / "joined"
    parts = [str(runs["zero"]), str(runs["one, 1/2"])]
    with pytest.raises(RunError, match=rf"{SUITE}  seed 1: 3 episodes"):
        main([*parts, "--out", str(out)])
    assert not out.exists()
    assert main([*parts, "--out", str(out), "--partial"]) == 0
    command = capsys.readouterr().out.splitlines()[-1].split()
    assert command[:2] == ["act-gym", "eval"]
    assert not (out / "summary.json").exists()
    evaluate(command[2:])
    assert records(out) == records(runs["whole"])
    assert Summary.read(out) == Summary.read(runs["whole"])


def test_an_episode_that_two_runs_have_is_refused(runs, tmp_path):
    with pytest.raises(RunError, match="6 episodes are in more than one run"):
        main([str(runs["whole"]), str(runs["zero"]), "--out", str(tmp_path / "joined")])
    assert not (tmp_path / "joined").exists()


@pytest.mark.parametrize(
    ("file", "place", "change"),
    [
        ("manifest.json", "agent.weights_sha256", lambda m: m["agent"].update(weights_sha256="1f")),
        ("manifest.json", "agent.name", lambda m: m["agent"].update(name="expert")),
        ("manifest.json", "env_options.prices", lambda m: m["env_options"].update(prices="given")),
        ("manifest.json", "simulators.ALFWorld.engine", lambda m: m["simulators"]["ALFWorld"].update(engine="x")),
        ("manifest.json", r"suites\.\S+\.simulator", lambda m: next(iter(m["suites"].values())).update(simulator="x")),
        ("config.json", "keep_commands", lambda c: c.update(keep_commands=True)),
    ],
)
def test_a_manifest_that_does_not_match_is_refused_with_the_difference(runs, tmp_path, file, place, change):
    other = tmp_path / "other"
    shutil.copytree(runs["one, 1/2"], other)
    content = json.loads((other / file).read_text())
    change(content)
    (other / file).write_text(json.dumps(content))
    with pytest.raises(RunError, match=rf"(?m)^  {place} ") as caught:
        main([str(runs["zero"]), str(other), "--out", str(tmp_path / "joined"), "--partial"])
    assert str(other) in str(caught.value)
    assert not (tmp_path / "joined").exists()


def test_what_cannot_be_joined_is_refused(runs, tmp_path):
    with pytest.raises(UsageError, match="two run folders"):
        main([str(runs["zero"]), "--out", str(tmp_path / "joined")])
    with pytest.raises(RunError, match="not empty"):
        main([str(runs["zero"]), str(runs["other"]), "--out", str(runs["whole"])])
    with pytest.raises(RunError, match="no run folder"):
        main([str(runs["zero"]), str(tmp_path), "--out", str(tmp_path / "joined")])
