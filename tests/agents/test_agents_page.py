"""What docs/agents.md tells people to type, typed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import act_gym
from act_gym.io.jsonl import read_records

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


@pytest.mark.parametrize(
    "env_id", ["act/ALFWorld-generated-seen", "act/ScienceWorld-seen", "act/WebShop-generated-seen"]
)
def test_the_pages_agents_play_every_benchmark(env_id):
    known = {}
    exec(block("python", "Your own in fifteen lines"), known)
    (polite,) = re.findall(r"`(act_gym\.function_agent\(.*\))`", PAGE)
    first_of_each_kind = {task.task_type: task for task in reversed(act_gym.tasks(env_id))}.values()
    for agent in (known["Curious"](), eval(polite, {"act_gym": act_gym})):
        episodes = list(
            act_gym.play(env_id, agent, list(first_of_each_kind)[:3], env_options={"max_episode_steps": 12})
        )
        assert [episode.error for episode in episodes] == [""] * 3
        assert all(episode.turns for episode in episodes)
        if agent.name == "curious":
            assert all(turn.action_valid for episode in episodes for turn in episode.turns)


def test_every_setting_that_the_page_names_is_there():
    from dataclasses import fields

    from agents.openai.agent import ChatSettings

    named = set(re.findall(r"`(\w+)=", PAGE)) - {"chat", "local", "replay", "episodes"}
    assert named <= {field.name for field in fields(ChatSettings)}
