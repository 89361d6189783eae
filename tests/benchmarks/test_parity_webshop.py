"""The comparison with published trajectories: it agrees where it should, and says where it does not."""

import json

import pytest

from act_gym import tasks
from act_gym.engines.webshop.engine import WebShopEngine
from act_gym.io.jsonl import read_records
from benchmarks.parity.__main__ import main


@pytest.fixture
def lines(webshop_data):
    """One trajectory as the expert plays it, as a list of observations and replies."""
    task = tasks("act/WebShop")[250]
    engine = WebShopEngine()
    state = engine.reset(task)
    values = ["rules", "Ok."]
    for command in engine.expert_commands():
        values += [state.observation, f"Thought:\nyes\n\nAction:\n{command}"]
        state = engine.step(command)
    return task, values


def write(path, task, values):
    conversations = [{"value": value} for value in values]
    path.write_text(json.dumps({"item_id": f"webshop_{task.payload['goal']}", "conversations": conversations}) + "\n")
    return str(path)


def test_the_same_observations_agree(lines, tmp_path, capsys):
    task, values = lines
    out = tmp_path / "records.jsonl"
    file = write(tmp_path / "webshop.jsonl", task, values)
    assert main(["webshop", "--trajectories", file, "--out", str(out)]) == 0
    (record,) = read_records(out)
    turns = len(values) // 2 - 1
    assert (record["turns"], record["same"], record["at"], record["reward"]) == (turns, turns, -1, 1.0)
    assert f"| {turns} (100.00%) |" in capsys.readouterr().out


def test_another_limit_is_the_instructions_and_no_difference(lines, tmp_path):
    task, values = lines
    limit = next(part for part in values[2].split() if part.replace(".", "").isdigit() and "." in part)
    changed = [value.replace(f"than {limit}", "than 770.00") for value in values]
    assert changed != values
    assert main(["webshop", "--trajectories", write(tmp_path / "webshop.jsonl", task, changed)]) == 0


def test_a_letter_that_differs_is_shown(lines, tmp_path, capsys):
    task, values = lines
    values[4] = values[4].replace("Page 1", "Page 7")
    assert main(["webshop", "--trajectories", write(tmp_path / "webshop.jsonl", task, values)]) == 1
    said = capsys.readouterr().out
    assert f"webshop_{task.payload['goal']}, observation 1, after" in said
    assert "Page 7" in said


def test_a_missing_original_is_a_mistake_of_the_command_line(tmp_path, capsys):
    assert main(["webshop"]) == 2
    assert "one of them" in capsys.readouterr().err
    assert main(["webshop", "--original", str(tmp_path)]) == 2
    assert "--data" in capsys.readouterr().err
