import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from act_gym import Episode, Turn, UnknownNameError, UsageError
from act_gym.io.jsonl import read_records
from act_gym.rollout import Job
from trainers import pairs
from trainers.collect import _sample, in_order, main
from trainers.data.questions import read_pairs

ROOT = Path(__file__).parents[2]
COMMAND = ["--env", "act/ScienceWorld-train-seen", "act/ScienceWorld-train", "--per-type", "3"]
COMMAND += ["--task-types", "find-non-living-thing", "--max-commands", "20"]


def episodes(folder: Path) -> list[dict]:
    """Return the episodes without what no two runs share, the time they took."""
    found = []
    for record in read_records(folder / "episodes.jsonl"):
        for turn in record["turns"]:
            turn.pop("seconds")
        found.append(record)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("collect") / "whole"
    assert main([*COMMAND, "--workers", "2", "--out", str(folder)]) == 0
    return folder


def test_the_expert_succeeds_and_every_turn_holds_its_choices(whole, capsys):
    found = [Episode.from_json(record) for record in read_records(whole / "episodes.jsonl")]
    assert 3 <= len(found) <= 6
    assert len({episode.task.id for episode in found}) == len(found)
    assert all(episode.success and episode.agent == "expert" for episode in found)
    turns = [turn for episode in found for turn in episode.turns]
    assert all(len(turn.admissible_commands) == 20 for turn in turns)


def test_a_run_killed_half_way_continues_to_the_same_episodes(whole, tmp_path):
    folder = tmp_path / "cut"
    process = subprocess.Popen(
        [sys.executable, "-m", "trainers.collect", *COMMAND, "--out", str(folder)], cwd=ROOT, env=os.environ
    )
    path = folder / "episodes.jsonl"
    while process.poll() is None and not (path.exists() and b"\n" in path.read_bytes()):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < len(episodes(folder)) < len(episodes(whole))
    assert main([*COMMAND, "--workers", "1", "--out", str(folder), "--resume"]) == 0
    assert episodes(folder) == episodes(whole)


def test_what_fails_is_left_out_counted_and_not_played_again(tmp_path, capsys):
    folder = tmp_path / "short"
    command = ["--task-types", "find-non-living-thing", "--per-type", "1", "--max-turns", "1", "--out", str(folder)]
    assert main(command) == 0
    assert episodes(folder) == []
    (failure,) = read_records(folder / "failures.jsonl")
    assert (failure["stop"], failure["turns"]) == ("truncated", 1)
    assert "1 without success" in capsys.readouterr().out
    main([*command, "--resume"])
    assert len(list(read_records(folder / "failures.jsonl"))) == 1


def test_a_sample_holds_the_experts_command_and_is_sorted():
    turn = Turn(observation="", admissible_commands=tuple(f"open {n:03}" for n in range(200)), action="open 150")
    sample = _sample(turn, 10, np.random.default_rng(0)).admissible_commands
    assert len(sample) == len(set(sample)) == 10
    assert "open 150" in sample
    assert list(sample) == sorted(sample)


def test_a_sample_of_a_list_without_the_experts_command_does_not_add_it():
    turn = Turn(observation="", admissible_commands=tuple(f"open {n:03}" for n in range(200)), action="sing")
    sample = _sample(turn, 10, np.random.default_rng(0)).admissible_commands
    assert len(sample) == 10
    assert "sing" not in sample


def test_a_short_list_is_kept_as_it_is():
    turn = Turn(observation="", admissible_commands=("b", "a"), action="a")
    assert _sample(turn, 2, np.random.default_rng(0)) is turn


def test_episodes_that_overtook_others_wait(whole):
    found = [Episode.from_json(record) for record in read_records(whole / "episodes.jsonl")]
    jobs = [Job(episode.env_id, episode.task, episode.seed) for episode in found]
    assert list(in_order(reversed(found), jobs)) == found


def test_unknown_names_are_refused_before_anything_is_played(tmp_path):
    with pytest.raises(UnknownNameError):
        main(["--task-types", "boiling", "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_an_expert_labels_what_another_agent_plays(tmp_path):
    command = ["--env", "act/ALFWorld-generated-train", "--limit", "2", "--agent", "random", "--max-turns", "6"]
    assert main([*command, "--labels", "search", "--out", str(tmp_path / "run")]) == 0
    found = [Episode.from_json(record) for record in episodes(tmp_path / "run")]
    assert len(found) == 2  # whether they succeed or not
    turns = [turn for episode in found for turn in episode.turns]
    assert all(turn.label for turn in turns)
    assert any(turn.label != turn.action for turn in turns)
    made = ["--episodes", str(tmp_path / "run" / "episodes.jsonl"), "--at", "policy", "--proposer", "played"]
    pairs.main([*made, "--out", str(tmp_path / "pairs")])
    written = read_pairs(tmp_path / "pairs" / "pairs.jsonl")
    assert len(written) == sum(turn.label != turn.action for turn in turns)
    assert all(pair.alternative in pair.step.admissible_commands for pair in written)


def test_an_expert_that_cannot_label_is_refused(tmp_path):
    with pytest.raises(UsageError, match="labels ALFWorld's states"):
        main(["--env", "act/WebShop-generated-train", "--labels", "search", "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
