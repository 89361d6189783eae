"""Two processes train one model as one does: DDP and ZeRO-3, a kill in the middle, and a checkpoint anyone can load.

Every launch costs many seconds of imports, so there are three, and each shows several things.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.trainers.launched import scripted
from trainers import pipeline
from trainers.configs import config_file
from trainers.run import checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

COMMON = {"micro_batch": 4, "learning_rate": 1e-3, "precision": "fp32", "save_every": 2, "probe": 0}
SUPERVISED = {**COMMON, "batch": 8, "steps": 3}
STAGES = {
    "stages": ["imitation", "dpo", "warmup", "act"],
    "imitation": {**SUPERVISED, "probe": 4},
    "dpo": SUPERVISED,
    "warmup": {**SUPERVISED, "lora_rank": 4, "learning_rate": 1e-2},
    # Epochs of two steps; it is killed at the fourth, so that it resumes in the middle of the second epoch.
    "act": {
        **COMMON,
        **{"limit": 4, "groups": 2, "num_generations": 4, "max_completion_tokens": 12},
        **{"steps": 5, "save_every": 3, "probe_groups": 0},
    },
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, speaking_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    for name in ("pairs.jsonl", "decisions.jsonl"):
        (folder / name).write_text((speaking_model.parents[1] / "pairs.jsonl").read_text())
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**STAGES, "model": str(speaking_model), "data": str(folder)}))
    return path


def launch(
    config: str, folder: Path, recipe: Path, model: Path, *words: str, kill: bool = False
) -> subprocess.CompletedProcess[str]:
    """Start two processes as the documentation says."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "SCRIPTED_MODEL": str(model)}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        environment.pop(name, None)
    program = [str(Path(__file__).with_name("launched.py")), str(folder), *(["--kill"] if kill else [])]
    return subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch"),
            *("--config_file", str(config_file(config)), "--num_processes", "2", "--main_process_port", "0"),
            *program,
            *("--recipe", str(recipe), "--out", str(folder / "run"), *words),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1000,
        check=False,
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, recipe: Path) -> Path:
    """One process; without GRPO, whose replies each process draws for itself."""
    folder = tmp_path_factory.mktemp("alone")
    assert (
        pipeline.main(["--recipe", str(recipe), "--out", str(folder / "run"), "--stages", *STAGES["stages"][:3]]) == 0
    )
    return folder


@pytest.fixture(scope="module")
def ddp(tmp_path_factory: pytest.TempPathFactory, recipe: Path, speaking_model: Path) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("ddp")
    return folder, launch("ddp", folder, recipe, speaking_model)


@pytest.fixture(scope="module")
def zero3(tmp_path_factory: pytest.TempPathFactory, recipe: Path, speaking_model: Path) -> tuple[Path, Any, Any]:
    """Killed in its last stage, and resumed."""
    folder = tmp_path_factory.mktemp("zero3")
    killed = launch("zero3", folder, recipe, speaking_model, kill=True)
    state = checkpoints.last_state(folder / "run" / "act")
    (folder / "killed.json").write_text(json.dumps([killed.returncode, state.name if state else "", killed.stderr]))
    return folder, killed, launch("zero3", folder, recipe, speaking_model, "--resume")


def metrics(folder: Path, stage: str, name: str) -> list[float]:
    """Return what was logged of each step; a step that was done twice counts as it was done last."""
    lines = map(json.loads, (folder / "run" / stage / "metrics.jsonl").read_text().splitlines())
    return list({line["step"]: line[name] for line in lines if "step" in line and name in line}.values())


def logits(folder: Path, stage: str) -> torch.Tensor:
    return logits_of(folder / "run" / stage / "checkpoint")


def logits_of(checkpoint: Path) -> torch.Tensor:
    policy = checkpoints.load(str(checkpoint), "fp32")
    ids = torch.tensor([policy.ids("Task: go to the kitchen. It is dark.")])
    with torch.no_grad():
        return policy.model(input_ids=ids).logits


def output(finished: Any) -> str:
    return f"{finished.stdout}\n{finished.stderr}"


def test_ddp_trains_as_one_process_does(alone: Path, ddp: tuple[Path, Any]) -> None:
    folder, finished = ddp
    assert finished.returncode == 0, output(finished)
    assert_same_training(folder, alone)


def test_zero3_trains_as_one_process_does(alone: Path, zero3: tuple[Path, Any, Any]) -> None:
    folder, _, resumed = zero3
    assert resumed.returncode == 0, output(resumed)
    assert_same_training(folder, alone)


def assert_same_training(folder: Path, alone: Path) -> None:
    for stage in STAGES["stages"][:3]:
        for name in ("loss", "grad_norm"):
            found, expected = metrics(folder, stage, name), metrics(alone, stage, name)
            assert len(found) == 3
            assert found == pytest.approx(expected, rel=1e-4), (stage, name)


def test_a_checkpoint_of_zero3_is_whole_and_gives_the_same_logits_without_deepspeed(
    alone: Path, zero3: tuple[Path, Any, Any], speaking_model: Path
) -> None:
    folder = zero3[0]
    initial = logits_of(speaking_model)
    for stage in STAGES["stages"][:3]:
        # Adam's first steps follow the sign of a gradient, so rounding moves what has almost none.
        learnt = (logits(alone, stage) - initial).abs().max()
        difference = (logits(folder, stage) - logits(alone, stage)).abs().max()
        assert difference < 0.01 * learnt, (stage, difference, learnt)
    begin = checkpoints.load(str(speaking_model), "fp32").model.state_dict()
    end = checkpoints.load(str(folder / "run" / "warmup" / "checkpoint"), "fp32").model.state_dict()
    assert end.keys() == begin.keys()
    assert any((end[name] - begin[name]).abs().max() > 1e-3 for name in end)


def test_a_killed_zero3_run_resumes_to_the_losses_of_a_run_that_was_not_killed(
    ddp: tuple[Path, Any], zero3: tuple[Path, Any, Any]
) -> None:
    folder = zero3[0]
    returncode, state, log = json.loads((folder / "killed.json").read_text())
    assert returncode != 0
    assert "SIGKILL" in log
    assert state == "checkpoint-3"
    for name in ("loss", "grad_norm", "reward", "entropy", "length"):
        found = metrics(folder, "act", name)
        assert len(found) == 5
        assert found == pytest.approx(metrics(ddp[0], "act", name), rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize("groups", ["whole groups", "split groups", "passes"])
@pytest.mark.parametrize("launched", ["ddp", "zero3"])
def test_groups_train_as_in_one_process_whole_or_split_over_two_or_in_passes_of_few_tokens(
    launched: str, groups: str, speaking_model: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(launched)[0]
    expected = scripted(speaking_model, tmp_path, sequences=4 if groups == "split groups" else 8)
    if groups == "passes":
        del expected["entropy"]  # a mean over passes of means over their tokens
    found = json.loads((folder / "scripted.json").read_text())[groups]
    assert min(expected["grad_norm"]) > 0
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize("launched", ["ddp", "zero3"])
def test_the_first_process_alone_writes_and_speaks(launched: str, request: pytest.FixtureRequest) -> None:
    folder, *_, finished = request.getfixturevalue(launched)
    assert finished.stdout.splitlines()[0].split()[:2] == ["stage", "steps"]
    assert len(finished.stdout.splitlines()) == 1 + len(STAGES["stages"])
    assert finished.stderr.count("[4/4] act: ") == 1
    lines = [json.loads(line) for line in (folder / "run" / "dpo" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "step" in line] == [1, 2, 3]
    assert sum(line.get("event") == "done" for line in lines) == 1
    facts = json.loads((folder / "run" / "dpo" / "manifest.json").read_text())
    assert facts["launched"] == ("2 processes, ZeRO-3" if launched == "zero3" else "2 processes")
