"""The command `act-gym train rollout` with a tiny model: its run folder, resuming, and what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from act_gym.cli import main
from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import read_records
from act_gym.io.run_dir import Run
from act_gym.types import Episode
from trainers.rollout import Rollout, train

pytestmark = pytest.mark.slow

ENV = "act/ALFWorld-generated-train"

VARIANTS: dict[str, dict[str, Any]] = {
    "grpo": {"zero_variance": "resample", "resample_rounds": 1, "invalid_penalty": 0.0, "observation_weight": 0.1},
    "gigpo": {"algorithm": "gigpo", "iterations": 2, "mini_batches": 2, "choose": "success", "beta": 0.01},
    "ranked": {"decode": "ranked", "algorithm": "gigpo", "shaping": 0.5, "observation_weight": 0.1},
    "branch": {"algorithm": "branch", "continuations": 2, "lora_rank": 2, "lora_dropout": 0.1},
    "hgpo": {"algorithm": "hgpo", "contexts": 2, "imitate_weight": 0.5, "shaping": 0.5},
}


@pytest.fixture(scope="module")
def settings(speaking_model: Path) -> Rollout:
    return Rollout(
        env=(ENV,),
        model=str(speaking_model),
        groups=2,
        num_generations=2,
        max_turns=2,
        max_completion_tokens=12,
        parallel_games=3,
        steps=3,
        learning_rate=1e-3,
        precision="fp32",
        save_every=1,
        samples_every=2,
        probe=2,
        max_malformed=1.0,
    )


def lines_of(out: Path, event: str | None = None) -> list[dict[str, Any]]:
    lines = [line for line in read_records(out / "metrics.jsonl") if line.get("event") == event]
    unequal = ("time", "seconds", "seconds_playing", "env_share", "eval/seen/seconds")
    return [
        {name: value for name, value in line.items() if name not in unequal and "per_second" not in name}
        for line in lines
    ]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_killed_run_ends_in_the_same_bits(
    name: str, settings: Rollout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is copied as a kill would leave it: after the second step was played, with the state of the first."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    log = Run.log

    def copying(self: Run, **values: Any) -> None:
        if self.folder == whole and values.get("step") == 2:
            shutil.copytree(whole, killed)
        log(self, **values)

    monkeypatch.setattr(Run, "log", copying)
    chosen = replace(settings, out=whole, **VARIANTS[name])
    summary = train(chosen)
    assert summary["steps"] == 3
    assert {record["step"] for record in read_records(killed / "episodes.jsonl")} == {1, 2}
    train(replace(chosen, out=killed, resume=True))
    places = (whole / "checkpoint", killed / "checkpoint", Path(chosen.model))
    expected, found, before = (load_file(place / "model.safetensors") for place in places)
    assert all(expected[key].equal(found[key]) for key in expected)
    assert not all(expected[key].equal(before[key]) for key in expected), "something was learnt"
    assert lines_of(whole) == lines_of(killed)
    assert (whole / "episodes.jsonl").read_bytes() == (killed / "episodes.jsonl").read_bytes()
    assert (whole / "samples.jsonl").read_bytes() == (killed / "samples.jsonl").read_bytes()
    assert not (whole / "state").exists()


@pytest.fixture(scope="module")
def run(settings: Rollout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rollout") / "run"
    panel = {"eval_every": 2, "eval_first": True, "eval_games": 1, "eval_max_turns": 1}
    train(replace(settings, algorithm="gigpo", out=out, **panel))
    return out


def test_every_episode_is_recorded(run: Path) -> None:
    records = list(read_records(run / "episodes.jsonl"))
    assert len(records) == 3 * 2 * 2
    for record in records:
        episode = Episode.from_json(record)
        assert len(episode.turns) == len(record["advantages"]) == 2
        assert (episode.stop, record["cut"]) == ("truncated", "turns")
    assert len({(record["task"]["id"], record["seed"]) for record in records}) == len(records)


def test_metrics_say_how_the_model_played(run: Path) -> None:
    lines = lines_of(run)
    assert [line["step"] for line in lines] == [1, 2, 3]
    for line in lines:
        assert line["success"] == 0
        assert line["turns"] == 2
        assert line["cut_by_turns"] == 1
        assert line["env_errors"] == 0
        assert 0 < line["anchor_coverage"] <= 1
        assert line["anchor_size"] >= 2
        assert 0.99 < line["ratio_min"] <= line["ratio_max"] < 1.01


def test_the_panel_is_played_and_the_best_model_kept(run: Path) -> None:
    evals = list(read_records(run / "evals.jsonl"))
    assert [(line["step"], line["env_id"]) for line in evals] == [
        (step, f"act/ALFWorld-generated-{side}") for step in (0, 2, 3) for side in ("seen", "unseen")
    ]
    assert [line["errors"] for line in evals] == [0] * 6
    assert (run / "best" / "model.safetensors").read_bytes() == (run / "checkpoint" / "model.safetensors").read_bytes()


def test_samples_are_whole_episodes(run: Path) -> None:
    samples = list(read_records(run / "samples.jsonl"))
    assert [(one["step"], one["number"]) for one in samples] == [(2, number) for number in range(4)]
    assert all("<|im_start|>user" in one["reply"] for one in samples)


def test_the_checkpoint_says_how_it_was_asked(run: Path) -> None:
    assert json.loads((run / "checkpoint" / "act_gym.json").read_text())["history"] == "conversation"


def test_show_and_report_read_the_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 12
    task = Episode.from_json(next(iter(read_records(run / "episodes.jsonl")))).task.id
    assert main(["show", str(run), "--task", task, "--turn", "2", "--prompt"]) == 0
    assert "its hash is the recorded one" in capsys.readouterr().out
    page = tmp_path / "report.html"
    assert main(["report", str(run), "--out", str(page)]) == 0
    assert "Reward" in page.read_text(encoding="utf-8")


def test_a_finished_run_is_not_repeated(run: Path, settings: Rollout) -> None:
    weights = (run / "checkpoint" / "model.safetensors").stat().st_mtime_ns
    assert train(replace(settings, algorithm="gigpo", out=run, resume=True))["steps"] == 3
    assert (run / "checkpoint" / "model.safetensors").stat().st_mtime_ns == weights


def test_a_dry_run_counts_and_leaves_nothing(settings: Rollout, tmp_path: Path) -> None:
    counted = train(replace(settings, out=tmp_path / "run", dry_run=True, algorithm="branch", continuations=3))
    assert counted["episodes"] == 3 * 2 * (2 + 3)
    assert counted["questions"] > 100
    assert counted["tokens"] > counted["episodes"] * 300
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb"])
def test_trackers_get_each_step(
    tracker: Any, settings: Rollout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(tracker)
    monkeypatch.setenv("WANDB_MODE", "offline")
    out = tmp_path / "run"
    panel = {"eval_every": 2, "eval_games": 1, "eval_max_turns": 1}
    train(replace(settings, steps=2, probe=0, save_every=0, report_to=tracker, out=out, **panel))
    assert capsys.readouterr().out == ""
    if tracker == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(out / "tensorboard"))
        events.Reload()
        assert [event.step for event in events.Scalars("train/success")] == [1, 2]
        assert [event.step for event in events.Scalars("eval/generated-seen/success")] == [2]
    else:
        (start,) = (out / "wandb").glob("offline-run-*")
        written = b"".join(path.read_bytes() for path in start.glob("*.wandb"))
        assert b"train/success" in written


def test_shaping_is_marked_in_the_run(settings: Rollout, tmp_path: Path) -> None:
    train(replace(settings, steps=1, probe=0, save_every=0, shaping=0.1, out=tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["privileged"] == ["planner shaping"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": 3, "limit": 2}, "--groups 3 tasks are played in a step, and there are 2"),
        ({"measure_steps": True}, "--dry-run"),
        ({"decode": "ranked", "thinking": True}, "--decode ranked"),
        ({"success_range": (0.8, 0.2)}, "--success-range"),
        ({"num_generations": 1}, "--num-generations is 1"),
        ({"max_episode_tokens": 500}, "would cut 100% of 2 episodes .* Raise --max-episode-tokens"),
        ({"env": ("act/ScienceWorld-train",), "shaping": 1.0}, "--shaping needs a planner"),
        ({"task_types": ("fly",)}, "fly"),
    ],
)
def test_settings_that_cannot_work_leave_no_folder(
    settings: Rollout, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(replace(settings, out=tmp_path / "run", **change))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--algorithm hgpo", "needs --contexts"),
        ("--algorithm branch", "needs --continuations"),
        ("--anchor text", "--anchor is a setting of --algorithm gigpo"),
    ],
)
def test_an_algorithm_without_its_setting_is_refused(
    words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "rollout", *words.split(), "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_model_that_writes_no_action_is_sent_to_imitation(
    settings: Rollout, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"100% of 2 first replies .* hold no action .* act-gym train imitation"):
        train(replace(settings, model=str(tiny_model), max_malformed=0.9, out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_training_teaches_what_is_rewarded(settings: Rollout, tmp_path: Path) -> None:
    """A reply without an action costs 1: most of the first replies have none, and after ten steps few."""
    short = replace(settings, num_generations=4, max_turns=1, max_completion_tokens=16, steps=12, save_every=0, probe=0)
    out = tmp_path / "run"
    train(replace(short, algorithm="gigpo", invalid_penalty=1.0, learning_rate=3e-3, samples_every=0, out=out))
    errors = [line["format_error_rate"] for line in lines_of(out)]
    assert errors[0] > 0.5
    assert sum(errors[-4:]) / 4 < 0.25
