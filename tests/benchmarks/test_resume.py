"""A run that is killed again and again, with a deterministic agent."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from act_gym import RunError, UsageError
from act_gym.io.jsonl import read_records
from benchmarks.evaluate import main
from benchmarks.stats.measurement import Summary

ROOT = Path(__file__).parents[2]
COMMAND = ["--suite", "alfworld-generated-seen-mini", "webshop-generated-seen-mini", "--seeds", "0", "1"]
EPISODES = 98


def records(folder: Path) -> list[dict]:
    lines = read_records(folder / "records.jsonl")
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run of the random agent that nothing disturbed."""
    folder = tmp_path_factory.mktemp("resume") / "whole"
    assert main([*COMMAND, "--out", str(folder)]) == 0
    return folder


def kill_once(folder: Path, wait: float) -> bool:
    """Go on with the run and kill it, at the earliest when it has begun to play; return whether it was alive."""
    episodes = folder / "episodes.jsonl"
    before = episodes.stat().st_size if episodes.exists() else 0
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.evaluate", *COMMAND, "--out", str(folder), "--resume"],
        cwd=ROOT,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not (episodes.exists() and episodes.stat().st_size > before):
        time.sleep(0.002)
    time.sleep(wait)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return alive


def test_a_run_that_is_killed_again_and_again_has_the_same_records(whole, tmp_path):
    folder = tmp_path / "killed"
    drawn = random.Random(0)
    counts = []
    for _ in range(3):
        alive = kill_once(folder, drawn.uniform(0.0, 0.2))
        counts.append(len(list(read_records(folder / "episodes.jsonl"))))
        if not alive:
            break
    assert 0 < counts[0] < EPISODES  # the first kill came half-way
    assert counts == sorted(set(counts))  # every start got further, and none lost what was finished
    assert main([*COMMAND, "--out", str(folder), "--resume"]) == 0
    assert records(folder) == records(whole)  # the same records in the same order
    assert Summary.read(folder) == Summary.read(whole)
    episodes = list(read_records(folder / "episodes.jsonl"))
    assert len({(each["env_id"], each["task"]["id"], each["seed"]) for each in episodes}) == len(episodes) == EPISODES
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["resumed"]) == len(counts)
    assert manifest["suites"] == json.loads((whole / "manifest.json").read_text())["suites"]


def test_other_settings_are_refused_with_what_differs(whole):
    with pytest.raises(RunError, match=r"(?m)^  agent +\"random\" +\"expert\"$"):
        main([*COMMAND, "--agent", "expert", "--out", str(whole), "--resume"])
    with pytest.raises(RunError, match=r"(?m)^  seeds +\[0, 1\] +\[0, 1, 2\]$"):
        main([*COMMAND, "2", "--out", str(whole), "--resume"])


def test_a_catalogue_that_changed_is_refused(whole, tmp_path):
    path = whole / "manifest.json"
    original = path.read_text()
    changed = json.loads(original)
    changed["suites"]["webshop-generated-seen-mini"]["catalogue"]["sha256"] = "0" * 64
    path.write_text(json.dumps(changed))
    try:
        with pytest.raises(RunError, match=r"(?m)^  suites\.webshop-generated-seen-mini\.catalogue\.sha256 "):
            main([*COMMAND, "--out", str(whole), "--resume"])
    finally:
        path.write_text(original)


def test_a_secret_never_reaches_the_folder(tmp_path):
    agent = ["--agent", "agents.baselines:RandomAgent"]  # is made in its own processes, so that the folder comes first
    with pytest.raises(UsageError, match="Pass secrets by the environment") as caught:
        main([*COMMAND, *agent, "--agent-options", "api_key=sk-hidden", "--out", str(tmp_path / "run")])
    assert "sk-hidden" not in str(caught.value)
    assert not (tmp_path / "run").exists()
