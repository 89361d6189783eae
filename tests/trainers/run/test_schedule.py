"""Every step trains, the first included; a training that changes nothing says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from trainers import act, dpo, imitation
from trainers.act import ActConfig
from trainers.dpo import DPOStageConfig
from trainers.imitation import ImitationConfig
from trainers.run.schedule import rate


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 3, 20, 100])
def test_no_step_has_a_rate_of_zero(schedule: str, steps: int) -> None:
    warmup = -(-steps // 20)
    rates = [rate(step, schedule=schedule, warmup=warmup, steps=steps) for step in range(steps)]
    assert min(rates) > 0
    assert rates[:warmup] == pytest.approx([(step + 1) / (warmup + 1) for step in range(warmup)])
    if steps > warmup:
        assert max(rates) == rates[warmup] == 1.0
    assert sorted(rates[warmup:], reverse=True) == rates[warmup:]


def test_the_rates_fall_as_in_transformers() -> None:
    linear = [rate(step, schedule="linear", warmup=2, steps=6) for step in range(7)]
    assert linear == pytest.approx([1 / 3, 2 / 3, 1, 0.75, 0.5, 0.25, 0])
    cosine = [rate(step, schedule="cosine", warmup=0, steps=4) for step in range(5)]
    assert cosine == pytest.approx([1, 0.5 + 2**-1.5, 0.5, 0.5 - 2**-1.5, 0])


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("stage", ["imitation", "dpo", "act"])
def test_a_training_of_one_step_changes_the_weights(
    stage: str, data: Path, speaking_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = {"model": str(speaking_model), "out": tmp_path / "run", "limit": 4, "probe": 0, "save_every": 0}
    pairs = data / "pairs.jsonl"
    if stage == "imitation":
        summary = imitation.train(ImitationConfig(decisions=data / "decisions.jsonl", **common))
    elif stage == "dpo":
        summary = dpo.train(DPOStageConfig(pairs=pairs, **common))
    else:
        summary = act.train(
            ActConfig(pairs=pairs, max_completion_tokens=10, probe_groups=0, num_generations=16, **common)
        )
    assert summary["steps"] == 1
    lines = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    (step,) = (line for line in lines if "step" in line)
    peak = {"imitation": 1e-5, "dpo": 1e-6, "act": 5e-6}[stage]
    assert step["learning_rate"] == pytest.approx(peak / 2)
    before, after = weights(speaking_model), weights(tmp_path / "run" / "checkpoint")
    assert any(not before[name].equal(after[name]) for name in before)
    assert "weights it began with" not in capsys.readouterr().err


def test_a_stage_that_changes_nothing_says_so(
    data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounded_away = ImitationConfig(
        decisions=data / "decisions.jsonl",
        model=str(tiny_model),
        out=tmp_path / "run",
        precision="bf16",
        learning_rate=1e-20,
        steps=2,
        probe=0,
        save_every=0,
    )
    imitation.train(rounded_away)
    warning = "warning: imitation ends with the weights it began with; none of its 2 steps changed them."
    assert warning in capsys.readouterr().err
    imitation.train(replace(rounded_away, learning_rate=1e-2, out=tmp_path / "other"))
    assert "weights it began with" not in capsys.readouterr().err
