"""What docs/agents.md tells people to type, typed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from act_gym.records import read_records

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "agents.md").read_text()


def block(language, heading):
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL).group(1)


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Runs a command as a person would, in a folder of its own."""
    folder = tmp_path_factory.mktemp("reader")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(command):
        done = subprocess.run(
            command, shell=True, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return folder

    return run, folder


def test_an_agent_of_fifteen_lines_is_written_and_benchmarked_and_plays_the_same_again(shell):
    run, folder = shell
    code = block("python", "Your own in fifteen lines")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    (folder / "my_agents.py").write_text(code)
    run(block("bash", "Your own in fifteen lines"))
    records = list(read_records(folder / "runs/curious/records.jsonl"))
    assert len(records) == 2 * (6 + 6)
    assert {(record["agent"], record["error"]) for record in records} == {("curious", "")}
    assert any(record["success"] for record in records)  # it is better than nothing, and so the page may show it

    run(block("bash", "Once more"))
    again = list(read_records(folder / "runs/again/records.jsonl"))
    kept = ("env_id", "task_id", "success", "score", "turns", "stop", "error")
    assert [{key: one[key] for key in kept} for one in again] == [{key: one[key] for key in kept} for one in records]
    assert {one["agent"] for one in again} == {"replay:curious"}


def test_every_setting_that_the_page_names_is_there():
    from dataclasses import fields

    from agents.chat import ChatSettings

    named = set(re.findall(r"`(\w+)=", PAGE)) - {"chat", "local", "replay", "episodes"}
    assert named <= {field.name for field in fields(ChatSettings)}
