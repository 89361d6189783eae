import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.native import NativeEngine
from act_gym.io.jsonl import read_records
from act_gym.splits.alfworld import TASK_TYPES, tasks
from benchmarks.parity.__main__ import main
from benchmarks.parity.alfworld import make_pair
from benchmarks.parity.comparison import Pair, compare, random_command
from benchmarks.parity.sweep import Sweep, as_record, run, summary

ROOT = Path(__file__).parents[2]


def size_of(data, task):
    return (data / task.payload["game"] / GAME_FILE).stat().st_size


@pytest.fixture(scope="module")
def games(alfworld_data):
    """The smallest game of every type and split: big kitchens take upstream seconds."""
    found = {}
    for split in ("seen", "unseen"):
        for task_type in TASK_TYPES:
            there = [task for task in tasks(split) if task.task_type == task_type]
            found[split, task_type] = min(there, key=partial(size_of, alfworld_data))
    return found


@pytest.fixture(scope="module")
def small(games, alfworld_data):
    return min(games.values(), key=partial(size_of, alfworld_data))


@pytest.fixture(scope="module")
def pair(alfworld_data):
    made = make_pair(facts=True)
    yield made
    made.reference.close()
    made.candidate.close()


def fixed():
    return np.random.default_rng(1)


@pytest.mark.parametrize("split", ["seen", "unseen"])
@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_the_native_engine_shows_what_upstream_shows(pair, games, split, task_type):
    comparison = compare(pair, games[split, task_type], steps=8, random=fixed())
    assert (comparison.difference, comparison.refused) == (None, "")
    assert comparison.states > 2 + 8
    assert comparison.seconds[0] > comparison.seconds[1] > 0


@pytest.fixture
def folders(tmp_path, alfworld_data, small):
    """Two folders with the same game, the second one for the candidate."""
    path = Path(small.payload["game"], GAME_FILE)
    for side in ("reference", "candidate"):
        (tmp_path / side / path).parent.mkdir(parents=True)
        (tmp_path / side / path).write_bytes((alfworld_data / path).read_bytes())
    return tmp_path / "reference", tmp_path / "candidate", path


def changed(file, key, old, new):
    game = json.loads(file.read_text())
    text = json.dumps(game[key])
    assert old in text
    game[key] = json.loads(text.replace(old, new))
    file.write_text(json.dumps(game))


def sweep_of(folders, steps=0):
    return Sweep(partial(make_pair, reference=str(folders[0]), candidate=str(folders[1])), steps, 0)


def test_one_changed_text_is_found_reported_and_mended_by_the_next_start(folders, small, tmp_path):
    reports, out = [], tmp_path / "records.jsonl"
    changed(folders[1] / folders[2], "grammar", "You pick up the", "You lift the")
    (record,) = run(sweep_of(folders), [small], workers=1, out=out, report=reports.append)
    assert reports == [record["difference"]]
    first, *commands, reference, candidate = reports[0].splitlines()
    assert first == f"{small.id}: observation differs after {len(commands)} commands"
    assert commands[-1].startswith("    'take ")
    assert reference.startswith("  reference: 'You pick up the ")
    assert candidate.startswith("  candidate: 'You lift the ")
    assert ", 1 games differ, 0 refused; reference " in summary([record])

    changed(folders[1] / folders[2], "grammar", "You lift the", "You pick up the")
    (record,) = run(sweep_of(folders), [small], workers=1, out=out, report=reports.append)
    assert (record["difference"], len(reports)) == ("", 1)
    assert [line["difference"] == "" for line in read_records(out)] == [False, True]


@pytest.mark.parametrize(
    ("key", "old", "new", "what"),
    [
        ("grammar", "Your task is to: ", "Your task is to:  ", "observation"),
        ("grammar", "go to [", "walk to [", "admissible_commands"),
        ("pddl_problem", "(:goal", "(:goal (and)) (:metric", "score"),
        ("walkthrough", "go to", "look", "expert_commands"),
    ],
)
def test_a_difference_is_called_by_what_differs(pair, folders, small, key, old, new, what):
    changed(folders[1] / folders[2], key, old, new)
    comparison = compare(Pair(pair.reference, NativeEngine(data=str(folders[1]))), small, steps=0, random=fixed())
    difference = comparison.difference
    assert (difference.what, difference.history, comparison.states) == (what, (), 0)
    assert difference.reference != difference.candidate


def test_a_game_that_one_engine_refuses_is_counted_apart(pair, folders, small):
    changed(folders[1] / folders[2], "grammar", "TODO", "{open(o)}")
    comparison = compare(Pair(pair.reference, NativeEngine(data=str(folders[1]))), small, steps=0, random=fixed())
    assert comparison.difference is None
    assert comparison.refused.startswith(
        "candidate: The native ALFWorld engine does not play games with the expression"
    )
    assert ", 0 games differ, 1 refused; " in summary([as_record(comparison, sweep_of(folders))])


class Unfinished(NativeEngine):
    """An engine with a mistake in it."""

    def step(self, command):
        return super().step(command[1 / len(command) :])


def test_a_candidate_that_breaks_down_differs_and_says_where(pair, small):
    comparison = compare(Pair(pair.reference, Unfinished()), small, steps=0, random=fixed())
    assert comparison.difference.what == "failure"
    assert len(comparison.difference.history) == 1
    assert "TypeError" in comparison.difference.candidate


def test_a_run_killed_half_way_continues_where_it_was_and_once_done_plays_nothing(
    games, alfworld_data, tmp_path, capsys
):
    chosen = sorted(games.values(), key=partial(size_of, alfworld_data))[:3]
    files = [str(alfworld_data / task.payload["game"] / GAME_FILE) for task in chosen]
    out = tmp_path / "records.jsonl"
    command = ["alfworld", "--games", *files, "--steps", "2", "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.parity", *command], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while not (out.exists() and out.read_bytes().count(b"\n")) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = list(read_records(out))
    assert before
    assert main(command) == 0
    line = capsys.readouterr().out
    assert line.startswith("3 games, ")
    assert " states compared, 0 games differ, 0 refused; reference " in line
    after = list(read_records(out))
    assert after[: len(before)] == before
    assert len({record["task_id"] for record in after}) == len(after) == 3
    assert all(record["states"] > 4 and not record["difference"] for record in after)
    assert main(command) == 0
    assert capsys.readouterr().out == line
    assert list(read_records(out)) == after


def test_mistakes_on_the_command_line_are_answered_without_a_traceback(capsys):
    assert main(["alfwrld"]) == 2
    assert "Did you mean alfworld?" in capsys.readouterr().err
    assert main(["alfworld", "--workers", "0"]) == 2
    assert "--workers is at least 1" in capsys.readouterr().err
    assert main([]) == 2


TEXTS = st.lists(st.text(min_size=1), max_size=5)


@given(TEXTS, TEXTS, st.integers(0, 2**32))
def test_a_random_command_is_an_admissible_one_unless_it_is_to_be_wrong(admissible, earlier, seed):
    random = np.random.default_rng(seed)
    right = random_command(admissible, earlier, random, wrong=0)
    assert right in admissible if admissible else isinstance(right, str)
    assert isinstance(random_command(admissible, earlier, random, wrong=1), str)


def test_the_same_seed_makes_up_the_same_commands():
    twice = [[random_command(["look"], ["help"], random) for _ in range(200)] for random in (fixed(), fixed())]
    assert twice[0] == twice[1]
    assert 0.02 < sum(command != "look" for command in twice[0]) / 200 < 0.2
