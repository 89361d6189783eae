"""Stages in a row, each from the checkpoint of the one before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from act_gym.arguments import parse
from act_gym.errors import RunError, UsageError
from trainers.act import Act
from trainers.imitation import Imitation
from trainers.pipeline import Pipeline, plan, train
from trainers.rl import RL

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
    steps = list(plan(Pipeline(stages=stages, model="start", out=Path("runs/x"), seed=7)))  # type: ignore[arg-type]
    names = [name for name, _, _ in steps]
    assert len(set(names)) == len(stages)
    expected = ["start", *(str(Path("runs/x") / name / "checkpoint") for name in names[:-1])]
    assert [settings.model for _, _, settings in steps] == expected
    assert {settings.seed for _, _, settings in steps} == {7}


def test_a_pipeline_that_makes_its_pairs_trains_on_them() -> None:
    stages = ("collect", "pairs", "warmup", "act", "rl")
    by_name = {name: settings for name, _, settings in plan(Pipeline(stages=stages, out=Path("x"), limit=4))}
    assert by_name["pairs"].episodes == (Path("x/collect/episodes.jsonl"),)
    assert by_name["act"].pairs == Path("x/pairs/pairs.jsonl")
    assert by_name["rl"].decisions == Path("x/pairs/decisions.jsonl")
    assert {settings.limit for settings in by_name.values()} == {4}


@pytest.mark.parametrize("stages", [(), ("act", "pairs"), ("collect", "act"), ("pairs", "collect"), ("rl", "collect")])
def test_stages_that_cannot_follow_each_other_are_refused(stages: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="Cannot run the stages"):
        list(plan(Pipeline(stages=stages)))  # type: ignore[arg-type]


def test_a_pipeline_runs_resumes_and_skips_what_is_finished(
    tmp_path: Path, data: Path, speaking_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = {"steps": 1, "probe": 0, "save_every": 0}
    group = {"groups": 2, "num_generations": 2, "max_completion_tokens": 8}
    arguments = Pipeline(
        stages=("act", "imitation", "rl"),
        data=data,
        model=str(speaking_model),
        out=tmp_path / "run",
        act=Act(**short, **group),
        imitation=Imitation(**short),
        rl=RL(**short, **group),
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


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_pipeline_recipe_fits_its_arguments(recipe: Path) -> None:
    list(plan(parse(Pipeline, ["--recipe", str(recipe)], program="test")))


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("quickstart/*.yaml")), ids=lambda path: path.stem)
def test_every_stage_recipe_fits_its_program(recipe: Path) -> None:
    arguments = type(getattr(Pipeline(), recipe.stem))
    parse(arguments, ["--recipe", str(recipe)], program="test")
