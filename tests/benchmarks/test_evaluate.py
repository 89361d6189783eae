import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from act_gym import Episode, RunError, UnknownNameError, UsageError
from act_gym.io.jsonl import read_records
from benchmarks.evaluate import main
from benchmarks.stats.measurement import Summary

ROOT = Path(__file__).parents[2]
# Short tasks of one seen and one unseen type.
TASKS = ["--task-types", "find-non-living-thing", "find-animal", "--per-type", "2"]
COMMAND = [*TASKS, "--max-turns", "4", "--workers", "2"]


def records(folder: Path) -> list[dict]:
    lines = [{key: value for key, value in line.items() if key != "seconds"} for line in read_records(folder)]
    return sorted(lines, key=lambda line: (line["env_id"], line["task_id"], line["seed"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run of the random agent that nothing disturbed."""
    folder = tmp_path_factory.mktemp("evaluate") / "whole"
    assert main([*COMMAND, "--out", str(folder)]) == 0
    return folder


def test_each_task_is_played_once_and_summed_up(whole):
    lines = records(whole / "records.jsonl")
    assert len(lines) == len({line["task_id"] for line in lines}) == 4
    assert {line["split"] for line in lines} == {"seen", "unseen"}
    episodes = [Episode.from_json(record) for record in read_records(whole / "episodes.jsonl")]
    assert all(len(episode.turns) <= 4 and not episode.turns[0].admissible_commands for episode in episodes)
    summary = Summary.read(whole)
    assert (summary.kind, summary.label, summary.subject) == ("episodes", "random", "random")
    found = {(one.split, one.task_type, one.name): one for one in summary.measurements}
    assert found["seen", "find-non-living-thing", "success"].n == 2
    assert ("seen - unseen", "", "score") in found
    assert sum(summary.failures.values()) == 4 - sum(line["success"] for line in lines)


def test_a_finished_run_is_neither_overwritten_nor_played_again(whole, capsys):
    before = (whole / "records.jsonl").read_bytes()
    with pytest.raises(RunError, match="--resume"):
        main([*COMMAND, "--out", str(whole)])
    assert main([*COMMAND, "--out", str(whole), "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((whole / "summary.json").read_text())
    assert (whole / "records.jsonl").read_bytes() == before


def test_a_run_killed_half_way_continues_to_the_same_records(whole, tmp_path):
    folder = tmp_path / "cut"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.evaluate", *COMMAND, "--out", str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        stdout=subprocess.DEVNULL,
    )
    episodes = folder / "episodes.jsonl"
    while process.poll() is None and not (episodes.exists() and b"\n" in episodes.read_bytes()):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < len(list(read_records(episodes))) < 4
    (folder / "records.jsonl").write_bytes(b'{"torn')  # as if killed between an episode and its record
    main([*COMMAND, "--out", str(folder), "--resume"])
    assert records(folder / "records.jsonl") == records(whole / "records.jsonl")
    assert Summary.read(folder) == Summary.read(whole)


def test_the_expert_reaches_full_score_on_short_tasks(tmp_path, capsys):
    folder = tmp_path / "expert"
    command = ["--agent", "expert", "--env", "act/ScienceWorld-seen", "--task-types", "find-non-living-thing"]
    assert main([*command, "--per-type", "1", "--out", str(folder), "--label", "ceiling"]) == 0
    (line,) = records(folder / "records.jsonl")
    assert (line["success"], line["score"], line["raw_score"], line["stop"]) == (True, 1.0, 100.0, "terminated")
    assert "ceiling · expert" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--agent", "randon"], UnknownNameError),
        (["--env", "act/ScienceWorld-sen"], UnknownNameError),
        (["--task-types", "boiling"], UnknownNameError),
        (["--agent-options", "decode"], UsageError),
        (["--seeds", "1", "1"], UsageError),
        (["--batch-size", "-1"], UsageError),
        (["--backend", "rays"], UnknownNameError),
        (["--ray-address", "auto"], UsageError),
    ],
    ids=str,
)
def test_mistakes_are_named_before_anything_is_played(arguments, error, tmp_path):
    with pytest.raises(error):
        main([*arguments, "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_a_published_step_limit_holds_for_each_type_of_task(tmp_path):
    types = ["--task-types", "lifespan-longest-lived", "find-plant", "--per-type", "1"]
    options = ["--env", "act/ScienceWorld-seen", "--step-limit", "eto", "--workers", "1"]
    main([*types, *options, "--out", str(tmp_path / "run")])
    for record in read_records(tmp_path / "run" / "episodes.jsonl"):
        episode = Episode.from_json(record)
        limit = {"lifespan-longest-lived": 10, "find-plant": 15}[episode.task.task_type]
        assert len(episode.turns) == limit if episode.stop == "truncated" else len(episode.turns) <= limit


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--step-limit", "eto", "--max-turns", "3"], UsageError, "give one of them"),
        (["--step-limit", "etto"], UnknownNameError, r"No step limit of ScienceWorld etto\. Did you mean eto"),
    ],
)
def test_a_step_limit_that_cannot_be_is_refused_before_a_folder_is_made(tmp_path, words, error, message):
    with pytest.raises(error, match=message):
        main([*TASKS, *words, "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
