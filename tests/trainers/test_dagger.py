"""DAgger on real games with a tiny model: rounds, labels, resuming, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from act_gym.errors import UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.types import Episode
from tests.tiny_models import save_with_tokenizer
from trainers.dagger import DaggerConfig, train

pytestmark = pytest.mark.slow

ENV = "act/ALFWorld-generated-train"


@pytest.fixture(scope="module")
def settings(tiny_model: Path) -> DaggerConfig:
    return DaggerConfig(
        env=(ENV,),
        model=str(tiny_model),
        rounds=2,
        games=3,
        betas=(0.8, 0.4),
        max_turns=4,
        parallel_games=2,
        batch=2,
        learning_rate=1e-3,
        precision="fp32",
        save_every=0,
    )


@pytest.fixture(scope="module")
def whole(settings: DaggerConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dagger") / "whole"
    train(replace(settings, out=out))
    return out


def episodes(out: Path, number: int) -> list[Episode]:
    return [Episode.from_json(record) for record in read_records(out / f"round-{number}" / "episodes.jsonl")]


def test_every_state_is_labelled_and_rounds_play_other_games(whole: Path) -> None:
    first, second = episodes(whole, 1), episodes(whole, 2)
    assert len(first) == len(second) == 3
    assert not {one.task.id for one in first} & {one.task.id for one in second}
    assert all(turn.label for one in first + second for turn in one.turns)
    assert any(turn.label != turn.action for one in second for turn in one.turns)


def test_a_round_trains_on_all_episodes_so_far(whole: Path) -> None:
    trained = [json.loads((whole / f"round-{n}" / "train" / "done.json").read_text())["summary"] for n in (1, 2)]
    labels = [sum(len(one.turns) for one in episodes(whole, n)) for n in (1, 2)]
    assert [summary["labels"] for summary in trained] == [labels[0], sum(labels)]
    lines = [line for line in read_records(whole / "metrics.jsonl") if line.get("event") == "round"]
    assert [line["beta"] for line in lines] == [0.8, 0.4]
    assert all(line["unlabelled"] == 0 for line in lines)


def test_the_checkpoint_is_the_last_rounds_and_says_how_it_reads(whole: Path) -> None:
    one, last = (folder / "checkpoint" for folder in (whole, whole / "round-2" / "train"))
    assert (one / "model.safetensors").read_bytes() == (last / "model.safetensors").read_bytes()
    assert json.loads((one / "act_gym.json").read_text())["history"] == "conversation"


def test_agreement_counts_the_turns_that_the_model_played(whole: Path) -> None:
    lines = [line for line in read_records(whole / "metrics.jsonl") if line.get("event") == "round"]
    for number, line in enumerate(lines, 1):
        turns = [turn for one in episodes(whole, number) for turn in one.turns]
        expert = [turn for turn in turns if not turn.prompt_hash]
        assert 0 < len(expert) < len(turns)
        own = [turn.action == turn.label for turn in turns if turn.prompt_hash]
        assert line["agreement"] == sum(own) / len(own)


def test_a_run_that_was_stopped_ends_in_the_same_weights(
    settings: DaggerConfig, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if killed in round 2 after one game; round 1 is finished, and the model was good in it."""
    weights = (whole / "checkpoint" / "model.safetensors").read_bytes()
    played = [[turn.action for turn in one.turns] for one in episodes(whole, 2)]
    shutil.rmtree(whole / "checkpoint")
    (whole / "done.json").unlink()
    shutil.rmtree(whole / "round-2" / "train")
    path = whole / "round-2" / "episodes.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    with RecordWriter(whole / "metrics.jsonl") as log:
        log.write({"event": "round", "round": 1, "agreement": 0.9})
    train(replace(settings, out=whole, resume=True))
    assert "of its turns, in the round before in 90%" in capsys.readouterr().err
    assert sorted([turn.action for turn in one.turns] for one in episodes(whole, 2)) == sorted(played)
    assert (whole / "checkpoint" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": ("act/WebShop-generated-train",)}, "labels ALFWorld's states"),
        ({"env": ("act/ScienceWorld-train",), "expert": "expert"}, "cannot label the states"),
        ({"betas": (0.5, 1.5)}, "--betas"),
        ({"betas": ()}, "shares of turns"),
        ({"dry_run": True}, "imitation --dry-run"),
        ({"games": 0}, "--games"),
    ],
)
def test_settings_that_cannot_work_leave_no_folder(
    settings: DaggerConfig, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(replace(settings, out=tmp_path / "run", **change))  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_the_best_round_is_kept(settings: DaggerConfig, tmp_path: Path) -> None:
    model = save_with_tokenizer(tmp_path / "model")
    panel = {"eval_every": 100, "eval_games": 1, "eval_max_turns": 1, "eval_env": ("act/ALFWorld-generated-seen",)}
    out = tmp_path / "run"
    summary = train(replace(settings, model=str(model), games=1, max_turns=2, out=out, **panel))
    lines = [list(read_records(out / f"round-{number}" / "train" / "evals.jsonl")) for number in (1, 2)]
    assert [[line["errors"] for line in one] for one in lines] == [[0], [0]], "each round ends with an evaluation"
    assert (summary["best_round"], summary["best_step"]) == (2, lines[1][0]["step"])
    best, last = (folder / "model.safetensors" for folder in (out / "best", out / "round-2" / "train" / "checkpoint"))
    assert best.read_bytes() == last.read_bytes()


def test_only_games_of_the_wanted_types_are_played(settings: DaggerConfig, tmp_path: Path) -> None:
    types = ("look_at_obj_in_light",)
    train(replace(settings, rounds=1, games=2, max_turns=2, task_types=types, out=tmp_path / "run"))
    assert {episode.task.task_type for episode in episodes(tmp_path / "run", 1)} == set(types)
