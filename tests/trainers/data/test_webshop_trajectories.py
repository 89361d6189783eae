"""Trajectories written as the published ones are, from what the scripted expert does."""

import json

import pytest

from act_gym import tasks
from act_gym.engines.webshop.engine import WebShopEngine
from act_gym.errors import CorruptDataError
from act_gym.io.jsonl import read_records
from act_gym.types import Episode
from trainers.import_trajectories import main

LIMIT = 480.0


def trajectory(task, exchanges):
    values = ["You are web shopping.", "Ok."]
    for observation, action in exchanges:
        values += [observation, f"Thought:\nit may help\n\nAction:\n{action}"]
    conversations = [{"value": value} for value in values]
    return json.dumps({"item_id": f"webshop_{task.payload['goal']}", "conversations": conversations})


@pytest.fixture(scope="module")
def played(webshop_data):
    """Two tasks with what the expert saw and did, under a limit that nobody would draw."""
    chosen = tasks("act/WebShop")[100:102]
    engine = WebShopEngine(prices={"limits": {task.payload["goal"]: LIMIT for task in chosen}})
    found = []
    for task in chosen:
        state = engine.reset(task)
        exchanges = []
        for command in engine.expert_commands():
            exchanges.append((state.observation, command))
            state = engine.step(command)
        found.append((task, exchanges))
    return found


def test_what_is_worth_one_becomes_an_episode_and_the_rest_a_reason(played, tmp_path, capsys):
    (task, exchanges), (other, others) = played
    lesser = [*others[:2], (others[2][0], "click[no such thing]"), (others[2][0], "click[buy now]")]
    file, out = tmp_path / "webshop.jsonl", tmp_path / "run"
    file.write_text(f"{trajectory(task, exchanges)}\n{trajectory(other, lesser)}\n")
    assert main(["--file", str(file), "--out", str(out)]) == 0
    (episode,) = map(Episode.from_json, read_records(out / "episodes.jsonl"))
    assert (episode.task, episode.success, episode.raw_score, episode.stop) == (task, True, 1.0, "terminated")
    assert episode.goal.endswith(f"lower than {LIMIT:.2f} dollars")
    assert [(turn.observation, turn.action) for turn in episode.turns] == exchanges
    assert {turn.thought for turn in episode.turns} == {"it may help"}
    assert episode.versions["prices"].startswith("given, sha256 ")
    replays = list(read_records(out / "replays.jsonl"))
    assert [record["cause"] for record in replays] == ["", "refused"]
    assert [record["same"] for record in replays] == [len(exchanges), len(lesser)]
    assert "| all | 2 | 1 | 2 |" in capsys.readouterr().out
    before = (out / "replays.jsonl").read_bytes()
    assert main(["--file", str(file), "--out", str(out), "--resume"]) == 0
    assert (out / "replays.jsonl").read_bytes() == before, "nothing is played twice"
    (out / "replays.jsonl").write_bytes(b"")  # as if it had been killed after the first episode was written
    assert main(["--file", str(file), "--out", str(out), "--resume"]) == 0
    assert (out / "replays.jsonl").read_bytes() == before
    assert len(list(read_records(out / "episodes.jsonl"))) == 1, "no episode stands there twice"


def test_departments_can_be_chosen(played, tmp_path):
    file = tmp_path / "webshop.jsonl"
    file.write_text("".join(trajectory(task, exchanges) + "\n" for task, exchanges in played))
    department = played[0][0].task_type
    wanted = sum(task.task_type == department for task, _ in played)
    assert main(["--file", str(file), "--out", str(tmp_path / "run"), "--task-types", department]) == 0
    assert len(list(read_records(tmp_path / "run" / "replays.jsonl"))) == wanted


def test_a_line_of_another_kind_is_named(webshop_data, played, tmp_path):
    file = tmp_path / "webshop.jsonl"
    file.write_text(f'{trajectory(*played[0])}\n{{"item_id": "webshop_x", "conversations": []}}\n')
    with pytest.raises(CorruptDataError, match="line 2, is not a trajectory of WebShop"):
        main(["--file", str(file), "--out", str(tmp_path / "run")])
