import csv

import pytest

import act_gym
from act_gym.errors import RunError
from benchmarks.evaluate import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "expert"
    words = ["--env", "act/WebShop-generated-seen", "--limit", "3", "--agent", "expert", "--workers", "1"]
    assert main([*words, "--out", str(out)]) == 0
    return out


def test_a_run_is_records_episodes_frames_and_csv(folder, tmp_path):
    run = act_gym.load_run(folder)
    assert len(run.records) == 3
    assert [one.task.id for one in run.episodes()] == [line["task_id"] for line in run.records]
    assert run.manifest["program"] == "benchmarks.evaluate"
    assert run.summary["kind"] == "episodes"
    assert run.metrics == ()
    pytest.importorskip("pandas")
    assert run.frame()["success"].mean() == 1
    run.write_csv(tmp_path / "records.csv")
    with (tmp_path / "records.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["task_id"] for row in rows] == [line["task_id"] for line in run.records]
    assert float(rows[0]["score"]) == 1


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no manifest\.json"):
        act_gym.load_run(tmp_path)
    (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="Cannot read"):
        act_gym.load_run(tmp_path)


def test_a_training_has_no_episodes(tmp_path):
    (tmp_path / "manifest.json").write_text('{"program": "trainers.act"}', encoding="utf-8")
    with pytest.raises(RunError, match=r"no episodes\.jsonl"):
        next(act_gym.load_run(tmp_path).episodes())
