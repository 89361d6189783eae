"""The program that carries alternatives out: what it writes, in ALFWorld's real games, and what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.types import Transition
from trainers import collect, early_experience, pairs
from trainers.data.questions import read_experience, read_steps


@pytest.fixture(scope="module")
def played(alfworld_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The expert's decisions in six games, with one random alternative each."""
    folder = tmp_path_factory.mktemp("played")
    assert alfworld_data.is_dir()
    collect.main(["--env", "act/ALFWorld-train", "--limit", "6", "--out", str(folder / "collect")])
    episodes = str(folder / "collect" / "episodes.jsonl")
    pairs.main(["--episodes", episodes, "--proposer", "random", "--out", str(folder / "pairs")])
    return folder / "pairs"


def run(played: Path, out: Path, *arguments: str) -> list[Transition]:
    command = ["--decisions", str(played / "decisions.jsonl"), "--out", str(out)]
    early_experience.main([*command, *(("--proposer", "random") if "--proposer" not in arguments else ()), *arguments])
    return read_experience(out / "experience.jsonl")


def test_every_state_gives_the_experts_action_and_then_what_was_tried(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decisions = read_steps(played / "decisions.jsonl", 7)
    records = run(played, tmp_path / "run", "--limit", "7", "--alternatives", "2", "--explore", "3")
    assert [record.step.id for record in records] == [one.id for one in decisions for _ in range(6)]
    per_state = ["expert", *["replacement"] * 2, *["random"] * 3]
    assert [record.source for record in records] == per_state * 7
    known = {one.id: one for one in decisions}
    for record in records:
        step = known[record.step.id]
        assert record.step.admissible_commands == ()
        assert record.step == replace(step, admissible_commands=())
        assert record.is_expert == (record.action == step.expert_action)
        # All of them are admissible, and the game carries out what it admits.
        assert record.action in step.admissible_commands
        assert record.action_valid
        assert record.next_observation.strip() != "Nothing happens."
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["states"], summary["failed"]) == (7, 0)
    assert summary["sources"]["expert"]["same_as_expert"] == 1.0
    assert "7 states of 2 episodes" in capsys.readouterr().out


def test_the_experts_next_observation_is_the_one_that_its_next_state_shows(played: Path, tmp_path: Path) -> None:
    records = [record for record in run(played, tmp_path / "run", "--alternatives", "0") if record.is_expert]
    for record, after in pairwise(records):
        if record.step.task == after.step.task:
            assert record.next_observation == after.step.observation
        else:
            assert (record.terminated, record.success, record.score) == (True, True, 1.0)


def test_a_file_of_pairs_is_carried_out_as_it_is(played: Path, tmp_path: Path) -> None:
    records = run(played, tmp_path, "--proposer", "pairs", "--pairs", str(played / "pairs.jsonl"), "--explore", "0")
    tried = {record.step.id: record for record in records if not record.is_expert}
    made = list(read_records(played / "pairs.jsonl"))
    assert {pair["step"]["id"]: pair["alternative"] for pair in made} == {n: one.action for n, one in tried.items()}
    assert {record.source for record in tried.values()} == {"random"}


def test_a_run_killed_half_way_continues_to_the_same_bytes(played: Path, tmp_path: Path) -> None:
    run(played, tmp_path / "whole", "--explore", "16")
    command = ["--decisions", str(played / "decisions.jsonl"), "--proposer", "random", "--explore", "16"]
    command += ["--out", str(tmp_path / "cut")]
    process = subprocess.Popen(
        [sys.executable, "-m", "trainers.early_experience", *command],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    log = tmp_path / "cut" / "experience.jsonl"
    for _ in range(20_000):
        if (log.exists() and log.stat().st_size > 20_000) or process.poll() is not None:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < len(list(read_records(log))) < len(list(read_records(tmp_path / "whole" / "experience.jsonl")))
    with pytest.raises(RunError, match="--resume"):
        early_experience.main(command)
    early_experience.main([*command, "--resume"])
    for name in ("experience.jsonl", "walks.jsonl", "summary.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_state_holds_the_way_to_it(played: Path, tmp_path: Path) -> None:
    alone = tmp_path / "decisions.jsonl"
    records = list(read_records(played / "decisions.jsonl"))
    with RecordWriter(alone) as writer:
        for record in records[1::2]:
            writer.write(record)
    few = ["--proposer", "random", "--alternatives", "1", "--explore", "0"]
    early_experience.main(["--decisions", str(alone), "--out", str(tmp_path / "some"), *few])
    kept = {record["id"] for record in records[1::2]}
    every = [one for one in run(played, tmp_path / "all", *few) if one.step.id in kept]
    assert read_experience(tmp_path / "some" / "experience.jsonl") == every


@pytest.mark.parametrize("wrong", [["--alternatives", "-1"], ["--workers", "0"], ["--temperature", "0"]], ids=str)
def test_numbers_that_make_no_sense_are_refused(wrong: list[str], played: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=wrong[0]):
        run(played, tmp_path / "run", *wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_real_model_proposes_and_what_it_cannot_say_is_replaced(played: Path, tmp_path: Path) -> None:
    arguments = ["--limit", "2", "--alternatives", "2", "--explore", "1", "--max-new-tokens", "16"]
    records = run(played, tmp_path / "run", "--proposer", "free", *arguments)
    outcomes = list(read_records(tmp_path / "run" / "proposals.jsonl"))
    assert [outcome["proposer"] for outcome in outcomes] == ["SmolLM2-135M-Instruct:free"] * 2
    counts = Counter(record.source for record in records)
    assert counts["expert"] == counts["random"] == 2
    dropped = sum(outcome["matched"] + outcome["repeated"] for outcome in outcomes)
    assert counts["SmolLM2-135M-Instruct:free"] + counts["replacement"] == 4 - dropped
