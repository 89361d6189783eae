"""An agent of one's own is made once and asked about several episodes at a time."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from act_gym import UsageError, function_agent, play, tasks
from benchmarks.evaluate import main

ENV = "act/ALFWorld-generated-seen"
COMMAND = ["--env", ENV, "--limit", "6", "--max-turns", "3"]
AGENT = """
import os
from pathlib import Path

from act_gym import AgentAction

class Agent:
    name = "noted"

    def __init__(self, log):
        self.log = Path(log)
        self.note("made")

    def note(self, what):
        with self.log.open("a") as file:
            file.write(f"{os.getpid()} {what}\\n")

    def act(self, views):
        self.note(len(views))
        return [AgentAction(action="look") for _ in views]

class Cheap(Agent):
    cheap = True

class Four(Agent):
    batch_size = 4
"""


@pytest.fixture
def log(tmp_path, monkeypatch) -> Path:
    (tmp_path / "noted_agent.py").write_text(AGENT, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "noted_agent", raising=False)
    return tmp_path / "log"


def played(log: Path, words: list[str]) -> tuple[int, int, Counter]:
    """Return by how many processes and how often an agent was made, and how often it was shown how many views."""
    agent, *rest = words
    assert main([*COMMAND, "--agent", f"noted_agent:{agent}:log={log}", *rest, "--out", str(log.parent / "run")]) == 0
    records = [json.loads(line) for line in (log.parent / "run" / "records.jsonl").read_text().splitlines()]
    assert [record["turns"] for record in records] == [3] * 6
    notes = [line.split() for line in log.read_text().splitlines()]
    asked = Counter(int(what) for _, what in notes if what != "made")
    return len({process for process, _ in notes}), sum(what == "made" for _, what in notes), asked


@pytest.mark.parametrize(
    ("words", "sizes"),
    [(["Agent"], {6: 3}), (["Agent", "--batch-size", "3"], {3: 6}), (["Four"], {4: 3, 2: 3})],
    ids=["by itself", "--batch-size", "batch_size"],
)
def test_an_own_agent_is_made_once_and_gets_batches(log, words, sizes):
    assert played(log, words) == (1, 1, sizes)


@pytest.mark.parametrize(
    "words", [["Cheap", "--workers", "2"], ["Agent", "--workers", "2"]], ids=["cheap", "--workers"]
)
def test_processes_make_agents_of_their_own(log, words):
    assert played(log, words) == (3, 3, {1: 18})  # one here, before the folder is made, and one in each process


def test_the_size_of_a_batch_holds_in_every_process(log):
    processes, made, asked = played(log, ["Cheap", "--workers", "1", "--batch-size", "6"])
    assert (processes, made) == (2, 2)
    assert sum(size * count for size, count in asked.items()) == 18
    assert max(asked) > 1


def test_a_function_that_waits_is_called_for_several_views_at_once():
    from threading import Barrier

    together = Barrier(4)  # opens only when four are in it

    def choose(view):
        together.wait(timeout=60)
        return "look"

    agent = function_agent("waiting", choose, concurrency=4)
    episodes = list(play(ENV, agent, tasks(ENV)[:4], num_envs=4, env_options={"max_episode_steps": 3}))
    assert [(episode.stop, len(episode.turns)) for episode in episodes] == [("truncated", 3)] * 4


def test_a_call_that_fails_ends_its_own_episode():
    chosen = tasks(ENV)[:4]

    def choose(view):
        if view.task.id == chosen[1].id and view.history:
            raise ConnectionError("gone")
        return view.admissible_commands[0]

    agent = function_agent("waiting", choose, concurrency=2)
    episodes = {
        episode.task.id: episode
        for episode in play(ENV, agent, chosen, num_envs=4, env_options={"max_episode_steps": 3})
    }
    assert [episodes[task.id].stop for task in chosen] == ["truncated", "agent_error", "truncated", "truncated"]
    assert episodes[chosen[1].id].error.startswith("ConnectionError: gone (")


def test_a_concurrency_that_cannot_be_is_refused():
    for settings in ({"concurrency": 0}, {"concurrency": 2, "cheap": True}):
        with pytest.raises(UsageError, match="concurrency is at least 1"):
            function_agent("x", lambda view: "look", **settings)
