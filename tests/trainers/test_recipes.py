"""Every shipped recipe fits its program, alone and under every model and machine."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from act_gym.config import from_recipes, parse
from act_gym.errors import UnknownNameError
from trainers.pipeline import PipelineConfig, plan
from trainers.rollout import Rollout

RECIPES = Path(__file__).parents[2] / "trainers" / "recipes"
PROMPTS = {"prompt", "prompt-reasoning"}
ROWS = sorted(path for path in RECIPES.glob("v*/*.yaml") if path.stem not in PROMPTS)
MODELS = sorted(RECIPES.glob("models/*.yaml"))
MACHINES = sorted(RECIPES.glob("machines/*.yaml"))
DATA = sorted(RECIPES.glob("data/*.yaml"))


def read(*recipes: Path) -> PipelineConfig:
    return from_recipes(PipelineConfig, recipes)


@pytest.mark.parametrize("row", ROWS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_row_fits_under_every_model_machine_and_benchmark(row: Path) -> None:
    alone = read(row)
    for number, (model, machine) in enumerate(product(MODELS, MACHINES)):
        made = read(row, DATA[number % len(DATA)], model, machine)
        settings = [settings for _, _, settings in plan(made)]
        assert made.stages == alone.stages, "only the row says which stages there are"
        assert made.collect.env == (f"act/{Path(made.collect.env[0]).name}",)
        assert made.pairs.count in (3_000, 10_240)
        assert {one.micro_batch for one in settings if hasattr(one, "micro_batch")} == {8}


def test_the_two_versions_differ_in_the_alternatives_of_a_state() -> None:
    assert {read(row).pairs.per_state for row in ROWS if row.parent.name == "v2"} == {1}
    assert {read(row).pairs.per_state for row in ROWS if row.parent.name == "v1"} == {3}


def test_every_stage_of_a_row_takes_three_epochs_but_world_modelling() -> None:
    for row in ROWS:
        for _, stage, settings in plan(read(row)):
            if hasattr(settings, "epochs"):
                assert settings.epochs == (1 if stage == "world-model" else 3), row


def test_a_step_of_a_node_can_be_shared_by_its_eight_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    from trainers.run.stage import common_config

    for row, model in product(ROWS, [path for path in MODELS if "smollm2" not in path.stem]):
        for _, _, settings in plan(read(row, model, RECIPES / "machines" / "node-8gpu.yaml")):
            if isinstance(settings, Rollout):
                continue  # trains in one process
            if hasattr(settings, "groups"):
                common_config(settings, sequences=settings.groups * settings.num_generations)
            elif hasattr(settings, "batch"):
                common_config(settings, sequences=settings.batch)


def test_a_setting_of_supervised_stages_is_refused_for_the_others(tmp_path: Path) -> None:
    recipe = tmp_path / "packed.yaml"
    recipe.write_text("imitation: {pack: false}\nact: {pack: false}\n")
    with pytest.raises(UnknownNameError, match=r"act\) named pack"):
        read(recipe)
    recipe.write_text("imitation: {pack: false}\n")
    assert not read(recipe).imitation.pack


def test_a_shipped_recipe_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = parse(PipelineConfig, ["--recipe", "alfworld-cpu", "--seed", "3"], program="test")
    assert (named.out, named.seed) == (Path("runs/alfworld-cpu"), 3)
    assert parse(PipelineConfig, ["--recipe=v2/act-il-rl"], program="test") == read(RECIPES / "v2" / "act-il-rl.yaml")
    (tmp_path / "alfworld-cpu.yaml").write_text("seed: 5\n")
    assert parse(PipelineConfig, ["--recipe", "alfworld-cpu.yaml"], program="test").seed == 5


def test_an_unknown_recipe_is_answered_with_the_names() -> None:
    with pytest.raises(UnknownNameError, match=r"No recipe alfworld\. .*: act-il-rl, alfworld-cpu, .*v2/il"):
        parse(PipelineConfig, ["--recipe", "alfworld"], program="test")
