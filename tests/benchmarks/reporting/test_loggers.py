import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from act_gym.errors import UnknownNameError, UsageError
from act_gym.io.jsonl import read_records
from benchmarks.reporting.loggers import TRACKERS, check_trackers, tracking

ROOT = Path(__file__).parents[3]
KEY = "0123456789abcdef0123456789abcdef01234567"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A real evaluation that reports to all trackers, W&B's offline, with a key in the environment."""
    for package in ("accelerate", *TRACKERS):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("trackers")
    environment = os.environ | {
        "WANDB_MODE": "offline",
        "WANDB_API_KEY": KEY,
        "TRACKIO_DIR": str(folder / "trackio"),
        "HF_TOKEN": KEY,
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from act_gym.cli import main; sys.exit(main())"
    words = ["eval", "--env", "act/ALFWorld-generated-seen", "--limit", "6", "--max-turns", "2", "--workers", "1"]
    words += ["--label", "tracked", "--json", "--report-to", *TRACKERS, "--out", str(folder / "run")]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    return folder


def test_stdout_holds_the_result_and_nothing_else(run):
    assert json.loads((run / "stdout").read_text())["label"] == "tracked"


def test_tensorboard_gets_every_number_with_its_interval(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "run" / "act-gym"))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {f"ALFWorld generated-seen, 6 of 150/success{end}" for end in ("", "/low", "/high")} <= set(tags)
    value = events.Scalars("progress/act/ALFWorld-generated-seen/done")[-1]
    assert (value.step, value.value) == (6, 6.0)


def test_wandb_writes_an_offline_run_into_the_run_folder(run):
    (offline,) = (run / "run" / "wandb").glob("offline-run-*")
    written = b"".join(path.read_bytes() for path in offline.glob("*.wandb"))
    assert b"ALFWorld generated-seen, 6 of 150/success/low" in written


def test_trackio_keeps_the_run_in_its_own_place(run):
    (database,) = (run / "trackio").glob("*.db")
    connection = sqlite3.connect(database)
    rows = connection.execute("select run_name, metrics from metrics").fetchall()
    connection.close()
    assert any(
        name == "tracked" and "ALFWorld generated-seen, 6 of 150/success/low" in str(metrics) for name, metrics in rows
    )


def test_no_key_reaches_a_run_folder(run):
    files = [path for path in (run / "run").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert len(list(read_records(run / "run" / "records.jsonl"))) == 6


def test_a_tracker_that_is_not_there_is_named():
    with pytest.raises(UnknownNameError, match="Did you mean tensorboard"):
        check_trackers(["tensorbord"])


def test_a_tracker_that_cannot_begin_says_why(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    wandb.setup()  # an earlier run of this process: it has read the environment
    monkeypatch.setenv("WANDB_MODE", "no such mode")
    with pytest.raises(UsageError, match="wandb cannot begin"), tracking(["wandb"], tmp_path, "label", {}):
        pass
