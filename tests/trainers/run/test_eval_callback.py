"""Evaluation by play during training: it changes no weight, is not repeated, and keeps the best checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from act_gym.benchmarks import tasks
from act_gym.errors import UnknownNameError, UsageError
from act_gym.intervals import wilson
from act_gym.io.jsonl import RecordWriter, read_records, write_records
from act_gym.rollout import play
from act_gym.types import Task
from agents.search_expert import SearchExpert
from tests.tiny_models import save_with_tokenizer
from trainers import act, dpo, imitation, sft_choice, warmup
from trainers.run import eval_panel
from trainers.run.config import EvalSettings
from trainers.run.eval_panel import Panel, best_of, check

pytestmark = pytest.mark.slow

ENVS = ("act/ALFWorld-generated-seen", "act/ALFWorld-generated-unseen")
EVAL = {"eval_every": 2, "eval_env": ENVS, "eval_games": 2, "eval_max_turns": 2}
COMMON = {"limit": 8, "steps": 3, "learning_rate": 1e-3, "precision": "fp32", "save_every": 0, "probe": 0}
SUPERVISED = {**COMMON, "batch": 4, "micro_batch": 2}

Stage = tuple[Callable[[Any], dict[str, Any]], Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_with_tokenizer(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def episodes_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("episodes") / "episodes.jsonl"
    env = "act/ALFWorld-generated-train"
    with RecordWriter(path) as writer:
        for episode in play(env, SearchExpert(), tasks(env)[:4], env_options={"max_episode_steps": 5}):
            turns = tuple(replace(turn, label=turn.action) for turn in episode.turns)
            writer.write(replace(episode, turns=turns).to_json())
    return path


@pytest.fixture
def stages(pairs_file: Path, episodes_file: Path, model: str) -> dict[str, Stage]:
    drawn = {"lora_rank": 2, "lora_dropout": 0.5}
    groups = {"groups": 2, "num_generations": 4, "micro_batch": 4, "max_completion_tokens": 6, "probe_groups": 0}
    groups |= {"force": True, "temperature": 5.0}
    states = {"decisions": pairs_file, "model": model, **SUPERVISED}
    whole = {"episodes": (episodes_file,), "model": model, **SUPERVISED, "limit": 0, "batch": 2}
    paired = {"pairs": pairs_file, "model": model}
    return {
        "imitation": (imitation.train, imitation.ImitationConfig(**states)),
        "imitation, mixed": (imitation.train, imitation.ImitationConfig(**{**states, "precision": "mixed"})),
        "imitation, LoRA": (imitation.train, imitation.ImitationConfig(**states, **drawn)),
        "episodes": (imitation.train, imitation.ImitationConfig(**whole)),
        "episodes, checkpointing": (imitation.train, imitation.ImitationConfig(**whole, gradient_checkpointing=True)),
        "episodes, mixed": (imitation.train, imitation.ImitationConfig(**{**whole, "precision": "mixed"})),
        "warmup": (warmup.train, warmup.WarmupConfig(**paired, **SUPERVISED)),
        "sft-choice": (sft_choice.train, sft_choice.SFTChoiceConfig(**paired, **SUPERVISED)),
        "dpo": (dpo.train, dpo.DPOStageConfig(**paired, **SUPERVISED)),
        "act": (act.train, act.ActConfig(**paired, **COMMON, **groups)),
    }


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def lines_of(out: Path) -> list[dict[str, Any]]:
    timed = ("time", "seconds")
    lines = [line for line in read_records(out / "metrics.jsonl") if "step" in line and "event" not in line]
    return [{name: line[name] for name in line if name not in timed} for line in lines]


@pytest.mark.parametrize(
    "name",
    [
        *("imitation", "imitation, mixed", "imitation, LoRA", "episodes", "episodes, checkpointing"),
        *("episodes, mixed", "warmup", "sft-choice", "dpo", "act"),
    ],
)
def test_playing_changes_no_bit_of_the_training(stages: dict[str, Stage], tmp_path: Path, name: str) -> None:
    program, settings = stages[name]
    program(replace(settings, out=tmp_path / "without", samples_every=0))
    program(replace(settings, out=tmp_path / "with", samples_every=1, **EVAL))
    assert weights(tmp_path / "with" / "checkpoint") == weights(tmp_path / "without" / "checkpoint")
    assert lines_of(tmp_path / "with") == lines_of(tmp_path / "without")
    evals = list(read_records(tmp_path / "with" / "evals.jsonl"))
    assert [(line["step"], line["env_id"]) for line in evals] == [(step, env) for step in (2, 3) for env in ENVS]
    assert [line["errors"] for line in evals] == [0, 0, 0, 0]
    assert [line["turns"] for line in evals] == [2.0, 2.0, 2.0, 2.0]
    samples = list(read_records(tmp_path / "with" / "samples.jsonl"))
    asked = [{(line["number"], line["prompt"]) for line in samples if line["step"] == step} for step in (1, 2, 3)]
    assert asked[0] == asked[1] == asked[2], "the same questions every time"
    assert all(line["reward"] == -0.5 if name == "act" else "target" in line for line in samples)


def test_each_evaluation_is_logged_with_its_interval(stages: dict[str, Stage], tmp_path: Path) -> None:
    program, settings = stages["episodes"]
    program(replace(settings, out=tmp_path, report_to="tensorboard", eval_first=True, **EVAL))
    evals = list(read_records(tmp_path / "evals.jsonl"))
    assert [line["step"] for line in evals] == [0, 0, 2, 2, 3, 3]
    interval = wilson(0, 2)
    for line in evals:
        assert (line["solved"], line["games"], line["low"], line["high"]) == (0, 2, interval.low, interval.high)
    logged = [line for line in read_records(tmp_path / "metrics.jsonl") if line.get("event") == "eval"]
    assert [line["step"] for line in logged] == [0, 2, 3]
    assert all(line["eval/generated-unseen/success"] == 0.0 for line in logged)
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("eval/generated-seen/success")] == [0, 2, 3]
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3]


@pytest.mark.parametrize("name", ["episodes", "imitation, LoRA"])
def test_of_equally_good_checkpoints_the_last_is_kept(stages: dict[str, Stage], tmp_path: Path, name: str) -> None:
    program, settings = stages[name]
    program(replace(settings, out=tmp_path, **EVAL))
    summary = json.loads((tmp_path / "done.json").read_text())["summary"]
    assert (summary["best_step"], summary["best_success"]) == (3, 0.0)
    if name == "episodes":
        assert weights(tmp_path / "best") == weights(tmp_path / "checkpoint")
        assert json.loads((tmp_path / "best" / "act_gym.json").read_text())["history"] == "conversation"
    from agents.local.model import Policy

    one, other = (Policy.load(str(tmp_path / part), dtype="float32").model for part in ("best", "checkpoint"))
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert (left - right).abs().max() < 1e-6


@pytest.mark.parametrize(("save_every", "again"), [(1, [2, 3]), (0, [2, 3])])
def test_a_killed_evaluation_alone_is_repeated(
    stages: dict[str, Stage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_every: int, again: list[int]
) -> None:
    """As if killed while it plays at step 2; without a state, the training begins again and plays no step twice."""
    program, settings = stages["episodes"]
    settings = replace(settings, save_every=save_every, **{**EVAL, "eval_every": 1})
    program(replace(settings, out=tmp_path / "whole"))
    played: list[int] = []
    plays = Panel.play

    def dying(self: Panel, policy: Any, step: int) -> Any:
        played.append(step)
        if played == [1, 2]:
            raise MemoryError
        return plays(self, policy, step)

    monkeypatch.setattr(Panel, "play", dying)
    with pytest.raises(MemoryError):
        program(replace(settings, out=tmp_path / "killed"))
    program(replace(settings, out=tmp_path / "killed", resume=True))
    assert played == [1, 2, *again]
    assert weights(tmp_path / "killed" / "checkpoint") == weights(tmp_path / "whole" / "checkpoint")
    for name in ("evals.jsonl", "metrics.jsonl"):
        found, expected = (
            [
                {key: value for key, value in line.items() if key not in ("time", "seconds")}
                for line in read_records(tmp_path / part / name)
                if line.get("event", "eval") == "eval"
            ]
            for part in ("killed", "whole")
        )
        assert found == expected


def test_the_panel_follows_the_data(tmp_path: Path, episodes_file: Path) -> None:
    check(EvalSettings(eval_every=1), [episodes_file])
    assert eval_panel._usual([episodes_file]) == ENVS
    task = Task(id="x", benchmark="ScienceWorld", split="train", task_type="boil")
    write_records(tmp_path / "pairs.jsonl", [{"decision": {"task": task.to_json()}}])
    assert eval_panel._usual([tmp_path / "pairs.jsonl"]) == ("act/ScienceWorld-seen", "act/ScienceWorld-unseen")


def test_official_games_are_the_panel_where_they_are_here(alfworld_data: Path, tmp_path: Path) -> None:
    task = Task(id="x", benchmark="ALFWorld", split="train", task_type="look")
    write_records(tmp_path / "episodes.jsonl", [{"task": task.to_json()}])
    assert eval_panel._usual([tmp_path / "episodes.jsonl"]) == ("act/ALFWorld-seen", "act/ALFWorld-unseen")


def test_a_panel_has_the_same_games_each_time_of_all_types() -> None:
    panel = Panel(ENVS, games=6)
    assert panel.tasks() == panel.tasks()
    assert [len({task.task_type for task in chosen}) for chosen in panel.tasks().values()] == [6, 6]


def test_the_best_step_is_chosen_without_the_unseen_games() -> None:
    lines = [
        {"step": step, "split": split, "success": success}
        for step, seen, unseen in ((2, 0.5, 0.0), (4, 0.5, 0.1), (6, 0.25, 1.0))
        for split, success in (("generated-seen", seen), ("generated-unseen", unseen))
    ]
    assert best_of(lines) == (4, 0.5)
    assert best_of([line for line in lines if line["split"].endswith("unseen")]) is None


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"eval_env": ("act/ALFWorld-nowhere",)}, UnknownNameError, "ALFWorld-nowhere"),
        ({"eval_env": (ENVS[0], ENVS[0])}, UsageError, "only once"),
        ({"eval_every": 0, "eval_first": True}, UsageError, "--eval-first needs --eval-every"),
        ({}, UsageError, "does not say of which benchmark"),
    ],
)
def test_an_evaluation_that_cannot_be_made_is_refused(
    tmp_path: Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    write_records(tmp_path / "decisions.jsonl", [{"id": "x"}])
    with pytest.raises(error, match=message):
        check(EvalSettings(**{"eval_every": 1, **settings}), [tmp_path / "decisions.jsonl"])


def test_sharded_weights_are_refused(monkeypatch: pytest.MonkeyPatch, episodes_file: Path) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    with pytest.raises(UsageError, match="no process holds them whole"):
        check(EvalSettings(eval_every=1), [episodes_file])
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    check(EvalSettings(eval_every=1), [episodes_file])


def test_samples_show_the_reply_that_is_learned(stages: dict[str, Stage], tmp_path: Path) -> None:
    program, settings = stages["episodes"]
    program(replace(settings, out=tmp_path, learning_rate=1e-2, steps=40, samples_every=20))
    samples = list(read_records(tmp_path / "samples.jsonl"))
    assert sorted({line["step"] for line in samples}) == [20, 40]
    assert all(line["prompt"].endswith("<|im_start|>assistant\n") for line in samples)
    assert all(line["target"].startswith("<action>") for line in samples)
    assert all(line["reply"].startswith("<action>") for line in samples if line["step"] == 40)
