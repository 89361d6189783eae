"""Trajectories written as the published ones are, from a real solution of a short task."""

import json

import pytest

from act_gym.engines.scienceworld import JvmEngine
from act_gym.errors import CorruptDataError, UsageError
from act_gym.io.jsonl import read_records
from act_gym.splits.scienceworld import tasks
from act_gym.types import Episode
from trainers.import_trajectories import TASK_TYPES, main, read_trajectories

TYPE = "lifespan-longest-lived"


def trajectory(number, opening, exchanges):
    """Return a line of the file: an instruction and a promise, then answers and replies in turn."""
    values = ["Interact with a household.", "OK.", opening]
    for action, answer in exchanges:
        values += [f"Thought: it may help.\nAction: {action}", answer]
    return json.dumps({"item_id": f"sciworld_{number}", "conversations": [{"value": value} for value in values[:-1]]})


@pytest.fixture(scope="module")
def played():
    """The number of a task in the source's order, its first observation, and its solution with the answers."""
    first = sum(1 for task in tasks() if task.task_type in TASK_TYPES[: TASK_TYPES.index(TYPE)])
    engine = JvmEngine(simplifications="openDoors")
    state = engine.reset(next(task for task in tasks() if task.id == f"scienceworld/{TYPE}/0"))
    opening = f"{engine.goal}\n{state.observation}"
    exchanges = [(command, engine.step(command).observation) for command in engine.expert_commands()]
    engine.close()
    return first, opening, exchanges


def test_what_reaches_100_becomes_an_episode_and_the_rest_a_reason(played, tmp_path, capsys):
    number, opening, exchanges = played
    file, out = tmp_path / "trajectories.jsonl", tmp_path / "run"
    bad = [("sing a song", "A song is heard."), ("look around", "Nothing is here.")]
    lines = [trajectory(number, opening, exchanges), trajectory(number, opening, bad), trajectory(number + 1, "?", bad)]
    lines[1] = lines[1].replace(f"sciworld_{number}", f"sciworld_0{number}")  # another name for the same task
    file.write_text("\n".join(lines) + "\n")
    assert main(["--file", str(file), "--out", str(out)]) == 0
    (episode,) = map(Episode.from_json, read_records(out / "episodes.jsonl"))
    assert (episode.success, episode.raw_score, episode.stop) == (True, 100, "terminated")
    solution = [command for command, _ in exchanges]
    assert [turn.action for turn in episode.turns] == solution[: len(episode.turns)], "it ends where the task does"
    assert {turn.thought for turn in episode.turns} == {"it may help."}
    replays = {record["item"]: record for record in read_records(out / "replays.jsonl")}
    assert [record["cause"] for record in replays.values()] == ["", "not understood", "other task"]
    assert replays[f"sciworld_0{number}"]["expected"] == "A song is heard."
    assert "| all | 3 | 1 | 1 |" in capsys.readouterr().out
    before = (out / "replays.jsonl").read_bytes()
    assert main(["--file", str(file), "--out", str(out), "--resume"]) == 0
    assert (out / "replays.jsonl").read_bytes() == before, "nothing is played twice"


@pytest.mark.parametrize(
    "line",
    [
        '{"item_id": "webshop_3", "conversations": []}',
        '{"item_id": "sciworld_999999", "conversations": [{"value": ""}, {"value": ""}]}',
        '{"item_id": "sciworld_3", "conversations": [{"value": "a"}, {"value": "b"}, {"value": "c"}, {"value": "no"}]}',
        '{"conversations": 3}',
    ],
)
def test_a_line_that_is_no_trajectory_is_named(tmp_path, line):
    file = tmp_path / "trajectories.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(CorruptDataError, match="line 1"):
        list(read_trajectories(file))


def test_a_negative_limit_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--limit"):
        main(["--file", str(tmp_path / "x"), "--limit", "-1", "--out", str(tmp_path)])
