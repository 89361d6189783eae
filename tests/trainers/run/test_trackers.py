"""What trackers keep of a training that is stopped and resumed: one run, under the run folder's name."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainers import imitation
from trainers.imitation import ImitationConfig
from trainers.run.callbacks import MetricsCallback
from trainers.run.trackers import run_name

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(1200)  # of a busy machine
CHILD = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.trainers.run.test_trackers import stop_and_resume
folder, model, decisions = map(Path, sys.argv[1:])
for name in ("first", "other/first"):
    stop_and_resume("trackio", folder / name, model, decisions)
"""


def stop_and_resume(tracker: Any, out: Path, model: Path, decisions: Path) -> None:
    """Train; end by an exception when the fifth step is logged; resume from the fourth."""
    arguments = ImitationConfig(
        decisions=decisions,
        model=str(model),
        out=out,
        batch=4,
        micro_batch=4,
        limit=8,
        steps=6,
        save_every=2,
        probe=0,
        precision="fp32",
        report_to=tracker,
    )
    log = MetricsCallback.on_log

    def dying(self: MetricsCallback, args: Any, state: Any, control: Any, **values: Any) -> None:
        if state.global_step == 5:
            raise MemoryError
        log(self, args, state, control, **values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetricsCallback, "on_log", dying)
        with pytest.raises(MemoryError):
            imitation.train(arguments)
    imitation.train(replace(arguments, resume=True))
    assert not (out / "state").exists()


def test_tensorboard_has_each_step_once_and_survives(tmp_path: Path, tiny_model: Path, pairs_file: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    stop_and_resume("tensorboard", tmp_path / "first", tiny_model, pairs_file)
    place = tmp_path / "first" / "tensorboard"
    assert len(list(place.glob("events.*"))) == 2
    events = accumulator.EventAccumulator(str(place))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]


def test_wandb_continues_one_run_in_the_run_folder(
    tmp_path: Path, tiny_model: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    wandb = pytest.importorskip("wandb")
    pytest.importorskip("transformers.integrations.integration_utils")  # prints a line if it is imported offline
    wandb.setup()  # it reads the environment here, before it says offline
    monkeypatch.setenv("WANDB_MODE", "offline")
    stop_and_resume("wandb", tmp_path / "first", tiny_model, pairs_file)
    assert capsys.readouterr().out == ""
    known = json.loads((tmp_path / "first" / "tracker.json").read_text())
    assert known["name"] == "first"
    starts = list((tmp_path / "first" / "wandb").glob("offline-run-*"))
    assert len(starts) == 2  # offline, each start has a folder; they are one run when they are synchronised
    for start in starts:
        assert start.name.endswith(known["id"])
        written = b"".join(path.read_bytes() for path in start.glob("*.wandb"))
        assert b"act-gym" in written
        assert b"train/loss" in written


@pytest.mark.slow
def test_trackio_continues_the_run_of_the_folder(tmp_path: Path, tiny_model: Path, pairs_file: Path) -> None:
    pytest.importorskip("trackio")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), str(tiny_model), str(pairs_file)],
        cwd=tmp_path,
        env={**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    other = json.loads((tmp_path / "other" / "first" / "tracker.json").read_text())
    assert other["name"] == f"first-{other['id'][:6]}"  # trackio knows runs by their names
    (database,) = (tmp_path / "trackio").glob("act-gym*.db")
    connection = sqlite3.connect(database)
    rows = connection.execute("select run_name, metrics from metrics").fetchall()
    connection.close()
    for name in ("first", other["name"]):
        steps = {json.loads(metrics).get("train/global_step") for run, metrics in rows if run == name}
        assert steps >= {1, 2, 3, 4, 5, 6}
    assert {run for run, _ in rows} == {"first", other["name"]}


REPORTED = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from trainers.run.trackers import reporter
for step in (0, 1):
    with reporter("trackio", Path(sys.argv[1]), step) as report:
        report(step + 1, {{"train/success": 0.5}})
"""


@pytest.mark.slow
def test_trackio_takes_a_loop_without_callbacks(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    (tmp_path / "run").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", REPORTED, str(tmp_path / "run")],
        cwd=tmp_path,
        env={**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    (database,) = (tmp_path / "trackio").glob("act-gym*.db")
    connection = sqlite3.connect(database)
    rows = [(run, json.loads(metrics)) for run, metrics in connection.execute("select run_name, metrics from metrics")]
    connection.close()
    values = {(run, line["train/global_step"]) for run, line in rows if line.get("train/success") == 0.5}
    assert values == {("run", 1), ("run", 2)}


def test_a_stage_of_a_pipeline_is_named_after_both(tmp_path: Path) -> None:
    folder = tmp_path / "act-rl"
    assert run_name(folder / "act") == "act"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert run_name(folder / "act") == "act-rl/act"
