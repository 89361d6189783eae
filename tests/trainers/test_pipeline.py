"""Stages in a row, each from the checkpoint of the one before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from act_gym.config import parse
from act_gym.errors import ActGymError, RunError, UsageError
from trainers import pairs
from trainers.act import ActConfig
from trainers.collect import CollectConfig
from trainers.dagger import DaggerConfig
from trainers.dpo import DPOStageConfig
from trainers.imitation import ImitationConfig
from trainers.pipeline import PipelineConfig, Stage, check, plan, train
from trainers.rft import RFTConfig
from trainers.rl import RLConfig
from trainers.rollout import Rollout
from trainers.self_reflection import SelfReflectionConfig

RECIPES = Path(__file__).parents[2] / "trainers" / "recipes"


@pytest.mark.parametrize(
    "stages",
    [
        ("act", "imitation", "rl"),
        ("act", "rl"),
        ("imitation",),
        ("imitation", "rl"),
        ("rl",),
        ("imitation", "rl", "rl"),
    ],
)
def test_every_stage_continues_from_the_checkpoint_of_the_one_before(stages: tuple[str, ...]) -> None:
    steps = list(plan(PipelineConfig(stages=stages, model="start", out=Path("runs/x"), seed=7)))  # type: ignore[arg-type]
    names = [name for name, _, _ in steps]
    assert len(set(names)) == len(stages)
    expected = ["start", *(str(Path("runs/x") / name / "checkpoint") for name in names[:-1])]
    assert [settings.model for _, _, settings in steps] == expected
    assert {settings.seed for _, _, settings in steps} == {7}


def test_a_pipeline_that_makes_its_pairs_trains_on_them() -> None:
    stages = ("collect", "pairs", "warmup", "act", "rl")
    by_name = {name: settings for name, _, settings in plan(PipelineConfig(stages=stages, out=Path("x"), limit=4))}
    assert by_name["pairs"].episodes == (Path("x/collect/episodes.jsonl"),)
    assert by_name["act"].pairs == Path("x/pairs/pairs.jsonl")
    assert by_name["rl"].decisions == Path("x/pairs/decisions.jsonl")
    assert {settings.limit for settings in by_name.values()} == {4}


@pytest.mark.parametrize("stages", [(), ("act", "pairs"), ("collect", "act"), ("pairs", "collect"), ("rl", "collect")])
def test_stages_that_cannot_follow_each_other_are_refused(stages: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="Cannot run the stages"):
        list(plan(PipelineConfig(stages=stages)))  # type: ignore[arg-type]


def test_a_pipeline_runs_resumes_and_skips_what_is_finished(
    tmp_path: Path, data: Path, speaking_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = {"steps": 1, "probe": 0, "save_every": 0}
    group = {"groups": 2, "num_generations": 2, "max_completion_tokens": 8}
    arguments = PipelineConfig(
        stages=("act", "imitation", "rl"),
        data=data,
        model=str(speaking_model),
        out=tmp_path / "run",
        act=ActConfig(**short, **group),
        imitation=ImitationConfig(**short),
        rl=RLConfig(**short, **group),
    )
    train(replace(arguments, stages=("act",), out=tmp_path / "run"))
    with pytest.raises(RunError, match="stages"):
        train(replace(arguments, resume=True))
    (tmp_path / "run" / "config.json").unlink()
    capsys.readouterr()
    summaries = train(arguments)
    assert "act is finished already" in capsys.readouterr().err
    assert [summary["stage"] for summary in summaries] == ["act", "imitation", "rl"]
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summaries
    assert train(replace(arguments, resume=True)) == summaries


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "Qwen/Qwen3-0.6B"}, r"hf download Qwen/Qwen3-0\.6B --local-dir models/Qwen3-0\.6B"),
        ({"self_reflection": SelfReflectionConfig(writer="no-writer")}, "No model in no-writer"),
        ({"rl": RLConfig(vllm="server", vllm_server="nowhere")}, "Stage rl: --vllm-server"),
        ({"act": ActConfig(groups=3, micro_batch=16)}, "Stage act: 24 sequences a step do not divide"),
        ({"dpo": DPOStageConfig(label_smoothing=0.1)}, "Stage dpo: The loss sigmoid takes no --label-smoothing"),
        ({"imitation": ImitationConfig(epochs=0)}, "Stage imitation: --epochs is 0"),
        ({"pairs": pairs.PairsConfig(per_state=0)}, "Stage pairs: --per-state is 0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_all_stages_are_checked_before_the_first(
    change: dict[str, Any], message: str, tiny_model: Path, tmp_path: Path
) -> None:
    stages = ("collect", "pairs", "early-experience", "dpo", "act", "imitation", "self-reflection", "rl")
    right = PipelineConfig(stages=stages, model=str(tiny_model), out=tmp_path / "run")
    with pytest.raises(ActGymError, match=message):
        train(replace(right, **change))
    assert not right.out.exists()


def test_the_data_of_later_stages_is_looked_at_first(data: Path, speaking_model: Path, tmp_path: Path) -> None:
    (data / "decisions.jsonl").unlink()
    arguments = PipelineConfig(stages=("warmup", "rl"), data=data, model=str(speaking_model), out=tmp_path / "run")
    with pytest.raises(RunError, match=r"Stage rl: Cannot read .*decisions\.jsonl"):
        train(arguments)
    assert not arguments.out.exists()


def test_what_the_stages_make_themselves_need_not_be_there(tiny_model: Path, tmp_path: Path) -> None:
    stages = ("collect", "pairs", "early-experience", "act", "imitation", "self-reflection", "world-model")
    arguments = PipelineConfig(stages=stages, model=str(tiny_model), out=tmp_path / "run")
    check(arguments, list(plan(arguments)))


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_pipeline_recipe_fits_its_arguments(recipe: Path) -> None:
    list(plan(parse(PipelineConfig, ["--recipe", str(recipe)], program="test")))


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("quickstart/*.yaml")), ids=lambda path: path.stem)
def test_every_stage_recipe_fits_its_program(recipe: Path) -> None:
    arguments = type(getattr(PipelineConfig(), recipe.stem.replace("-", "_")))
    parse(arguments, ["--recipe", str(recipe)], program="test")


def test_whole_episodes_are_learnt_without_pairs() -> None:
    stages: tuple[Stage, ...] = ("collect", "imitation", "dagger", "rft")
    by_name = {name: one for name, _, one in plan(PipelineConfig(stages=stages, out=Path("x"), whole_episodes=True))}
    assert by_name["imitation"].episodes == by_name["dagger"].episodes == (Path("x/collect/episodes.jsonl"),)
    assert by_name["rft"].episodes == by_name["dagger"].episodes
    assert by_name["dagger"].model == "x/imitation/checkpoint"
    assert by_name["rft"].model == "x/dagger/checkpoint"
    with pytest.raises(UsageError, match="without pairs"):
        list(plan(PipelineConfig(stages=stages)))


def test_a_pipeline_of_whole_episodes_runs_and_resumes(tiny_model: Path, tmp_path: Path) -> None:
    env = "act/ALFWorld-generated-train"
    training: dict[str, Any] = {"batch": 2, "precision": "fp32", "save_every": 0, "learning_rate": 1e-3}
    arguments = PipelineConfig(
        stages=("collect", "imitation", "dagger"),
        whole_episodes=True,
        model=str(tiny_model),
        out=tmp_path / "run",
        collect=CollectConfig(env=(env,), agent="search", limit=4, mistakes=0.2, max_turns=40),
        imitation=ImitationConfig(**training),
        dagger=DaggerConfig(env=(env,), games=2, max_turns=3, new_only=True, **training),
    )
    summaries = train(arguments)
    assert [summary["stage"] for summary in summaries] == ["imitation", "dagger"]
    assert summaries[1]["episodes"] == 2
    assert train(replace(arguments, resume=True)) == summaries


def test_a_dry_run_counts_the_episodes_that_are_played(capsys: pytest.CaptureFixture[str]) -> None:
    stages: tuple[Stage, ...] = ("collect", "imitation", "dagger", "rft")
    played: dict[str, Any] = {"dagger": DaggerConfig(games=5, rounds=3), "rft": RFTConfig(games=5, episodes_per_task=2)}
    arguments = PipelineConfig(stages=stages, whole_episodes=True, dry_run=True, out=Path("nowhere"), **played)
    arguments = replace(arguments, collect=CollectConfig(env=("act/ALFWorld-generated-train",), limit=8))
    found = {summary["stage"]: summary for summary in train(arguments)}
    assert found["collect"]["questions"] == 8
    assert "not there yet" in found["imitation"]["how"]
    assert found["dagger"]["questions"] == 15
    assert found["rft"]["questions"] == 10


def test_a_pipeline_ends_with_rollouts(speaking_model: Path, tmp_path: Path) -> None:
    env = "act/ALFWorld-generated-train"
    training: dict[str, Any] = {"precision": "fp32", "save_every": 0, "learning_rate": 1e-3}
    arguments = PipelineConfig(
        stages=("collect", "imitation", "rollout"),
        whole_episodes=True,
        model=str(speaking_model),
        limit=3,
        out=tmp_path / "run",
        collect=CollectConfig(env=(env,), agent="search", max_turns=40),
        imitation=ImitationConfig(batch=2, max_episode_tokens=800, **training),
        rollout=Rollout(env=(env,), steps=1, num_generations=2, max_turns=2, max_completion_tokens=8, **training),
    )
    prepared = {name: settings for name, _, settings in plan(arguments)}
    assert prepared["rollout"].model == str(tmp_path / "run" / "imitation" / "checkpoint")
    assert prepared["rollout"].groups == 3, "as many as the limit leaves"
    counted = {summary["stage"]: summary for summary in train(replace(arguments, dry_run=True))}
    assert counted["rollout"]["episodes"] == 6
    arguments = replace(arguments, rollout=replace(arguments.rollout, max_malformed=1.0))
    assert [summary["stage"] for summary in train(arguments)] == ["imitation", "rollout"]
    assert (tmp_path / "run" / "rollout" / "checkpoint" / "model.safetensors").exists()
