"""Dry runs and measured steps: what they say, what they leave out, and that they leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from act_gym.config import from_recipes
from act_gym.errors import MissingDataError, UsageError
from trainers.act import ActConfig
from trainers.dpo import DPOStageConfig
from trainers.dry_run import estimate, measured_steps
from trainers.dry_run.measured_steps import MEASURED_STEPS, subset
from trainers.imitation import ImitationConfig
from trainers.pipeline import PROGRAMS, PipelineConfig, main, train
from trainers.rl import RLConfig

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "trainers" / "recipes"


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every estimate have a temporary folder of the test's, and look into it afterwards."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    yield
    assert not [name for name in (tmp_path / "temporary").iterdir() if name.name.startswith("act-gym")]
    assert not (tmp_path / "run").exists()


def test_every_stage_that_trains_can_be_estimated() -> None:
    assert all(hasattr(program, "__wrapped__") for program in PROGRAMS.values())


def test_measured_steps_take_the_longest_rows_first_and_then_rows_of_all_lengths() -> None:
    lengths = [10 * (number * 7 % 20) for number in range(20)]
    taken = [lengths[row] for row in subset(lengths, questions=4)]
    assert len(taken) == 4 * (1 + MEASURED_STEPS)
    assert taken[:4] == [190, 180, 170, 160]
    mean = sum(lengths) / len(lengths)
    for step in range(1, 1 + MEASURED_STEPS):
        assert sum(taken[4 * step : 4 * step + 4]) / 4 == pytest.approx(mean, rel=0.2)


def test_neighbours_that_belong_together_stay_together_and_few_rows_come_twice() -> None:
    taken = subset([1, 2, 3, 4, 9, 9], questions=4, block=2)
    assert all(two == one + 1 and one % 2 == 0 for one, two in zip(taken[::2], taken[1::2], strict=True))
    assert taken[:4] == [4, 5, 2, 3]
    assert len(subset([5], questions=3)) == 3 * (1 + MEASURED_STEPS)


@pytest.mark.slow
def test_estimates_foresee_the_steps_of_the_real_run(
    tmp_path: Path, data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short: dict[str, Any] = {"model": str(tiny_model), "out": tmp_path / "run", "save_every": 0, "probe": 0}
    group: dict[str, Any] = {
        "num_generations": 2,
        "max_completion_tokens": 8,
        "groups": 4,
        "force": True,
        "probe_groups": 0,
    }
    for stage, arguments in {
        "imitation": ImitationConfig(decisions=data / "decisions.jsonl", batch=5, epochs=2, **short),
        "rl": RLConfig(decisions=data / "decisions.jsonl", **group, **short),
        "act": ActConfig(pairs=data / "pairs.jsonl", order="both", **group, **short),
        "dpo": DPOStageConfig(pairs=data / "pairs.jsonl", batch=8, **short),
    }.items():
        counted = PROGRAMS[stage](replace(arguments, dry_run=True))
        told = PROGRAMS[stage](replace(arguments, measure_steps=True))
        assert not (tmp_path / "run").exists()
        real = PROGRAMS[stage](replace(arguments, out=tmp_path / stage))
        assert counted["steps"] == told["steps"] == real["steps"]
        for name in ("tokens", "longest", "epochs", "a_step", "checkpoint_gb"):
            assert counted[name] == told[name], (stage, name)
        assert counted["how"].startswith("counted")
        assert told["how"].startswith("measured: 3 steps")
        assert told["seconds_a_step"] > 0
        assert told["estimated_seconds"] == pytest.approx(told["seconds_a_step"] * told["steps"], abs=0.1)
        assert 0.1 < told["peak_memory_gib"] < 8
        log = capsys.readouterr().err
        assert [f"step {number} of 3" in log for number in (1, 2, 3)] == [True] * 3


@pytest.mark.slow
def test_tokens_are_those_of_the_models_own_tokenizer(tmp_path: Path, data: Path, tiny_model: Path) -> None:
    from agents.local.model import Policy
    from trainers.data.questions import acting_questions, read_steps

    policy = Policy.load(str(tiny_model))
    lengths = [len(policy.prompt_ids(q.prompt)) for q in acting_questions(read_steps(data / "decisions.jsonl"))]
    arguments = RLConfig(decisions=data / "decisions.jsonl", model=str(tiny_model), out=tmp_path / "run", dry_run=True)
    told = PROGRAMS["rl"](replace(arguments, num_generations=2, max_completion_tokens=4))
    assert (told["tokens"], told["longest"]) == (sum(lengths), max(lengths))


def test_a_model_that_is_unknown_and_not_here_is_an_error(tmp_path: Path, data: Path) -> None:
    arguments = ImitationConfig(decisions=data / "decisions.jsonl", model="models/Nobody-1B", out=tmp_path / "run")
    with pytest.raises(MissingDataError, match="No model in"):
        PROGRAMS["imitation"](replace(arguments, dry_run=True))


def test_steps_of_a_model_that_does_not_fit_are_refused(
    tmp_path: Path, data: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_steps, "_available", lambda: 1000.0)
    arguments = ImitationConfig(decisions=data / "decisions.jsonl", model=str(tiny_model), out=tmp_path / "run")
    with pytest.raises(UsageError, match=r"0\.0 GiB that are free\. Count them with --dry-run"):
        PROGRAMS["imitation"](replace(arguments, measure_steps=True))
    assert PROGRAMS["imitation"](replace(arguments, dry_run=True))["steps"] == 2


def test_counting_and_measuring_at_once_is_refused(tmp_path: Path, data: Path, tiny_model: Path) -> None:
    both = {"dry_run": True, "measure_steps": True, "out": tmp_path / "run", "model": str(tiny_model)}
    with pytest.raises(UsageError, match="Choose one"):
        PROGRAMS["imitation"](ImitationConfig(decisions=data / "decisions.jsonl", **both))
    with pytest.raises(UsageError, match="Choose one"):
        train(PipelineConfig(data=data, stages=("imitation",), **both))


COUNTING = """
import json, sys
from trainers.imitation import main
status = main(sys.argv[1:])
print(json.dumps([status, sorted(sys.modules.keys() & {"trl", "datasets", "peft"})]))
"""


def test_a_dry_run_loads_no_weights_and_no_trainer(tmp_path: Path, data: Path, tiny_model: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for file in tiny_model.iterdir():
        (model / file.name).symlink_to(file)
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").write_bytes(b"no weights at all")
    words = ["--decisions", str(data / "decisions.jsonl"), "--model", str(model), "--out", str(tmp_path / "run")]
    finished = subprocess.run(
        [sys.executable, "-c", COUNTING, *words, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *lines, last = finished.stdout.splitlines()
    assert json.loads(last) == [0, []]
    assert any(line.split() == ["steps", "2"] for line in lines)
    assert any("--measure-steps runs steps on this machine" in line for line in lines)


@pytest.mark.slow
def test_ctrl_c_stops_measured_steps_and_leaves_nothing(tmp_path: Path, data: Path, tiny_model: Path) -> None:
    words = ["--decisions", str(data / "decisions.jsonl"), "--model", str(tiny_model), "--out", str(tmp_path / "run")]
    with subprocess.Popen(
        [sys.executable, "-m", "trainers.imitation", *words, "--measure-steps"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary"), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any(line.startswith("step 1 of 3, on the longest questions") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        log = process.stderr.read()
    assert process.returncode == 130
    assert "Nothing was kept" in log
    assert "step 3 of 3 took" not in log


@pytest.mark.slow
def test_every_shipped_row_is_counted_without_its_model(
    tmp_path: Path, data: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_STAND_IN", str(tiny_model))
    rows = sorted(path for path in RECIPES.glob("v*/*.yaml") if not path.stem.startswith("prompt"))
    layers = product(("qwen3-8b", "qwen3-4b", "olmo3-7b"), ("node-8gpu", "gpu-lora"))
    combinations = list(layers)
    for number, row in enumerate(rows):
        model, machine = combinations[number % len(combinations)]
        files = [row, RECIPES / "data" / "alfworld.yaml", RECIPES / f"models/{model}.yaml"]
        made = from_recipes(PipelineConfig, [*files, RECIPES / f"machines/{machine}.yaml"])
        made = replace(made, rollout=replace(made.rollout, env=("act/ALFWorld-generated-train",)))  # no download
        for told in train(replace(made, data=data, out=tmp_path / "run", dry_run=True)):
            if told["stage"] in (
                "early-experience",
                "self-reflection",
                "world-model",
            ):  # the data folder has no experience
                assert "not run" in told["how"] or "is not there yet" in told["how"]
            else:
                assert told["how"].startswith("counted, there is no model in models/"), row
                assert told["tokens" if told["stage"] == "rollout" else "estimated_seconds"] > 0


def test_a_pipeline_that_still_has_to_make_its_data_tells_what_its_recipe_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes = [RECIPES / "v2/act-il-rl.yaml", RECIPES / "data/webshop.yaml", RECIPES / "models/smollm2-135m.yaml"]
    words = [word for recipe in recipes for word in ("--recipe", str(recipe))]
    stages = ["--stages", "collect", "pairs", "act", "imitation", "rl"]
    assert main([*words, *stages, "--dry-run", "--out", str(tmp_path / "run")]) == 0
    output = capsys.readouterr()
    lines = {line.split()[0]: line.split() for line in output.out.splitlines()}
    assert lines["collect"][1] == "5410"
    assert lines["act"][1:5] == ["3000", "-", "-", "2250"]
    assert lines["imitation"][4] == "1125"
    assert "pairs.jsonl is not there yet" in output.err
    assert "3 stages whose data is not there yet" in output.out
