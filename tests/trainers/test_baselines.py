"""Every baseline as a row of stages: what is passed on, and the rows run in ALFWorld's real games."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from act_gym.errors import UsageError
from act_gym.io.jsonl import read_records
from trainers.collect import CollectConfig
from trainers.dpo import DPOStageConfig
from trainers.early_experience import EarlyExperienceConfig
from trainers.imitation import ImitationConfig
from trainers.pairs import PairsConfig
from trainers.pipeline import PipelineConfig, plan, train
from trainers.run import checkpoints
from trainers.self_reflection import SelfReflectionConfig
from trainers.sft_choice import SFTChoiceConfig
from trainers.world_model import WorldModelConfig

SHORT: dict[str, Any] = {"steps": 1, "probe": 0, "save_every": 0, "batch": 4, "micro_batch": 4}


@pytest.mark.parametrize(
    "stages",
    [
        ("imitation", "imitation"),
        ("imitation", "rl", "rl"),
        ("sft-choice", "imitation", "rl"),
        ("dpo", "imitation", "rl"),
        ("early-experience", "self-reflection"),
        ("early-experience", "world-model", "imitation"),
    ],
)
def test_every_stage_of_a_row_begins_with_the_model_before_it(stages: Any) -> None:
    steps = {
        name: settings
        for name, _, settings in plan(PipelineConfig(stages=stages, model="start", out=Path("x"), limit=4))
    }
    assert list(steps)[-1] == {"imitation": "imitation", "rl": "rl"}.get(stages[-1], stages[-1]) + (
        "-2" if stages.count(stages[-1]) == 2 else ""
    )
    trained = [name for name in steps if name != "early-experience"]
    expected = ["start", *(str(Path("x") / name / "checkpoint") for name in trained)]
    assert [steps[name].model for name in trained] == expected[:-1]
    assert {settings.limit for settings in steps.values()} == {4}
    if "early-experience" in steps:
        # It makes data and trains nothing: it asks the model as it is, and passes it on.
        assert steps["early-experience"].model == "start"
        assert steps[trained[0]].experience == Path("x/early-experience/experience.jsonl")


def test_inputs_are_passed_on_and_a_file_of_one_s_own_is_kept() -> None:
    stages = ("collect", "pairs", "early-experience", "dpo", "sft-choice", "self-reflection")
    made = PipelineConfig(stages=stages, out=Path("x"), collect=CollectConfig(env_options=("catalogue=generated",)))  # type: ignore[arg-type]
    steps = {name: settings for name, _, settings in plan(made)}
    assert steps["early-experience"].decisions == Path("x/pairs/decisions.jsonl")
    assert steps["early-experience"].env_options == ("catalogue=generated",)
    assert steps["dpo"].pairs == steps["sft-choice"].pairs == Path("x/pairs/pairs.jsonl")
    files = {
        "self_reflection": SelfReflectionConfig(experience=Path("a")),
        "world_model": WorldModelConfig(experience=Path("b")),
    }
    own = PipelineConfig(stages=("self-reflection", "world-model"), **files)  # type: ignore[arg-type]
    assert [settings.experience for _, _, settings in plan(own)] == [Path("a"), Path("b")]


@pytest.mark.parametrize(
    "stages",
    [
        ("self-reflection", "early-experience"),
        ("early-experience", "world-model", "early-experience"),
        ("early-experience", "pairs"),
    ],
)
def test_experience_comes_once_and_before_what_learns_from_it(stages: Any) -> None:
    with pytest.raises(UsageError, match="Cannot run the stages"):
        list(plan(PipelineConfig(stages=stages)))


@pytest.mark.slow
def test_rows_run_on_alfworlds_games_and_go_on_where_they_were(
    alfworld_data: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert alfworld_data.is_dir()
    arguments = PipelineConfig(
        stages=("collect", "pairs", "early-experience", "world-model", "sft-choice", "dpo", "imitation", "imitation"),
        model=str(tiny_model),
        out=tmp_path / "run",
        collect=CollectConfig(env=("act/ALFWorld-train",), limit=2),
        pairs=PairsConfig(proposer="random"),
        early_experience=EarlyExperienceConfig(proposer="pairs", explore=2),
        world_model=WorldModelConfig(**SHORT),
        sft_choice=SFTChoiceConfig(**SHORT),
        dpo=DPOStageConfig(**SHORT),
        imitation=ImitationConfig(**SHORT),
    )
    summaries = train(arguments)
    assert [one["stage"] for one in summaries] == ["world-model", "sft-choice", "dpo", "imitation", "imitation-2"]
    assert all(one["loss"] > 0 for one in summaries)
    assert "alternatives by random" in capsys.readouterr().err
    made = list(read_records(tmp_path / "run" / "early-experience" / "experience.jsonl"))
    assert sum(record["is_expert"] for record in made) == len(made) / 4
    manifest = json.loads((tmp_path / "run" / "imitation-2" / "manifest.json").read_text())
    before = str(tmp_path / "run" / "imitation" / "checkpoint" / "model.safetensors")
    assert before in manifest["inputs"]
    assert train(replace(arguments, resume=True)) == summaries
    assert "imitation-2 is finished already" in capsys.readouterr().err
    assert checkpoints.finished(tmp_path / "run" / "world-model") is not None
