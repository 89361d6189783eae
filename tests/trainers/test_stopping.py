"""A training that a signal ends: what is left of it, and what a resume makes of that. Real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from act_gym.errors import RunError
from act_gym.io.run_dir import Run
from trainers import act, imitation, pipeline
from trainers.act import ActConfig
from trainers.imitation import ImitationConfig
from trainers.run import checkpoints

ROOT = Path(__file__).parents[2]
CHILD = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, {str(ROOT)!r})
from act_gym.cli import run
from act_gym.io.run_dir import Run
from trainers import act, imitation
number, step, program, *words = sys.argv[1:]
log = Run.log
def signalling(self, **values):
    log(self, **values)
    if values.get("step") == int(step):
        os.kill(os.getpid(), int(number))
Run.log = signalling
sys.exit(run({{"act": act.main, "imitation": imitation.main}}[program], words))
"""
pytestmark = pytest.mark.timeout(1200)  # of a busy machine
COMMON: dict[str, Any] = {
    "steps": 6,
    "learning_rate": 1e-3,
    "precision": "fp32",
    "save_every": 50,
    "limit": 8,
    "micro_batch": 4,
}


@pytest.fixture
def imitating(tmp_path: Path, pairs_file: Path, speaking_model: Path) -> ImitationConfig:
    return ImitationConfig(
        decisions=pairs_file, model=str(speaking_model), out=tmp_path / "whole", batch=4, probe=4, **COMMON
    )


@pytest.fixture
def judging(tmp_path: Path, pairs_file: Path, speaking_model: Path) -> ActConfig:
    return ActConfig(
        pairs=pairs_file,
        model=str(speaking_model),
        out=tmp_path / "whole",
        groups=2,
        num_generations=4,
        max_completion_tokens=12,
        iterations=2,
        probe=4,
        probe_groups=2,
        **COMMON,
    )


def signalled(number: int, step: int, program: str, arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run a program that sends itself a signal when a step has been logged."""
    words = []
    for name in (*COMMON, "model", "out", "batch", "probe", "decisions", "pairs"):
        if hasattr(arguments, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    if isinstance(arguments, ActConfig):
        for name in ("groups", "num_generations", "max_completion_tokens", "iterations", "probe_groups"):
            words += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(number), str(step), program, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def lines_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def steps_of(out: Path) -> list[int]:
    return [line["step"] for line in lines_of(out) if "step" in line]


def assert_same_run(train: Callable[[Any], dict[str, Any]], whole: Any, killed: Any, **changes: Any) -> dict[str, Any]:
    """Resume, and compare weights, lines and summary with those of a run that was not stopped."""
    expected, found = train(whole), train(replace(killed, resume=True, **changes))
    assert steps_of(killed.out) == steps_of(whole.out) == list(range(1, 7))
    assert sum(line.get("event") == "done" for line in lines_of(killed.out)) == 1
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}
    one, other = (load_file(each.out / "checkpoint" / "model.safetensors") for each in (whole, killed))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=0, atol=0)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_training_with_a_state_saved(number: int, status: int, imitating: ImitationConfig) -> None:
    stopped = replace(imitating, out=imitating.out.with_name("stopped"))
    done = signalled(number, 2, "imitation", stopped)  # noticed after the third step
    assert (done.returncode, done.stdout) == (status, "")
    assert "Stopped after step 3 of 6; its state is saved." in done.stderr
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert checkpoints.last_state(stopped.out) == stopped.out / "state" / "checkpoint-3"
    summary = assert_same_run(imitation.train, imitating, stopped)
    assert "format_error_rate_before" in summary


@pytest.mark.slow
def test_steps_after_the_last_state_are_logged_once(judging: ActConfig) -> None:
    whole = replace(judging, save_every=2)
    killed = replace(whole, out=judging.out.with_name("killed"))
    done = signalled(signal.SIGKILL, 5, "act", killed)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert steps_of(killed.out) == [1, 2, 3, 4, 5]
    assert checkpoints.last_state(killed.out) == killed.out / "state" / "checkpoint-4"
    assert_same_run(act.train, whole, killed)


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """End a training by an exception when a stage logs a step, as a lack of memory does."""

    def at(stage: str, step: int) -> None:
        log = Run.log

        def dying(self: Run, **values: Any) -> None:
            if (values.get("stage"), values.get("step")) == (stage, step):
                monkeypatch.setattr(Run, "log", log)
                raise MemoryError
            log(self, **values)

        monkeypatch.setattr(Run, "log", dying)

    return at


def test_a_signal_waits_until_replies_are_used_up(judging: ActConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = replace(judging, out=judging.out.with_name("stopped"))
    log = Run.log

    def signalling(self: Run, **values: Any) -> None:
        log(self, **values)
        if (self.folder, values.get("step")) == (stopped.out, 2):
            os.kill(os.getpid(), signal.SIGTERM)  # it is noticed after the third step

    monkeypatch.setattr(Run, "log", signalling)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        act.train(stopped)
    assert signal.getsignal(signal.SIGTERM) == before
    assert checkpoints.last_state(stopped.out) == stopped.out / "state" / "checkpoint-4"
    monkeypatch.setattr(Run, "log", log)
    summary = assert_same_run(act.train, judging, stopped)
    assert {"format_error_rate_before", "frac_reward_zero_std_before", "mastered_groups_before"} <= summary.keys()


def test_an_end_before_the_first_state_begins_the_log_again(
    imitating: ImitationConfig, dies: Callable[[str, int], None]
) -> None:
    killed = replace(imitating, out=imitating.out.with_name("killed"))
    dies("imitation", 3)
    with pytest.raises(MemoryError):
        imitation.train(killed)
    assert steps_of(killed.out) == [1, 2]
    assert_same_run(imitation.train, imitating, killed)
    assert [line["event"] for line in lines_of(killed.out) if "event" in line] == ["format", "start", "done"]


def test_memory_and_logging_may_change_on_resume(imitating: ImitationConfig, dies: Callable[[str, int], None]) -> None:
    whole = replace(imitating, save_every=2)
    killed = replace(whole, out=imitating.out.with_name("killed"))
    dies("imitation", 5)
    with pytest.raises(MemoryError):
        imitation.train(killed)
    with pytest.raises(RunError, match="learning_rate"):
        imitation.train(replace(killed, resume=True, micro_batch=2, learning_rate=1e-4))
    changes: dict[str, Any] = {
        "micro_batch": 2,
        "gradient_checkpointing": True,
        "pack": False,
        "save_every": 1,
        "log_every": 2,
    }
    found, expected = imitation.train(replace(killed, resume=True, **changes)), imitation.train(whole)
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-2)
    assert steps_of(killed.out) == [1, 2, 3, 4, 6]
    manifest = json.loads((killed.out / "manifest.json").read_text())
    assert manifest["resumed"][-1]["before"] == {name: getattr(whole, name) for name in changes}
    one, other = (load_file(each.out / "checkpoint" / "model.safetensors") for each in (whole, killed))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=0, atol=2e-5)


def test_a_micro_batch_that_changes_a_step_is_refused(
    imitating: ImitationConfig, dies: Callable[[str, int], None]
) -> None:
    killed = replace(imitating, batch=16, save_every=2)  # 8 rows: a step has whole micro-batches of 4
    dies("imitation", 5)
    with pytest.raises(MemoryError):
        imitation.train(killed)
    with pytest.raises(RunError, match="had 8 sequences before, and with this --micro-batch it has 6"):
        imitation.train(replace(killed, resume=True, micro_batch=3))
    assert imitation.train(replace(killed, resume=True, micro_batch=2))["steps"] == 6


def test_a_stage_of_a_pipeline_may_take_less_memory(
    tmp_path: Path, data: Path, imitating: ImitationConfig, judging: ActConfig, dies: Callable[[str, int], None]
) -> None:
    arguments = pipeline.PipelineConfig(
        stages=("imitation", "act"),
        data=data,
        model=imitating.model,
        imitation=replace(imitating, probe=0),
        act=replace(judging, save_every=2, probe_groups=0, probe=0),
        out=tmp_path / "pipeline",
    )
    dies("act", 5)
    with pytest.raises(MemoryError):
        pipeline.train(arguments)
    with pytest.raises(RunError, match=r"act\.beta"):
        pipeline.train(replace(arguments, resume=True, act=replace(arguments.act, beta=0.1)))
    smaller = replace(arguments.act, micro_batch=2, max_tokens_per_pass=256, save_every=4)
    summaries = pipeline.train(replace(arguments, resume=True, act=smaller))
    assert [summary["steps"] for summary in summaries] == [6, 6]
    assert steps_of(arguments.out / "act") == list(range(1, 7))
