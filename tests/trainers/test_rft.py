"""Rejection sampling on real games, with a tiny model that has learnt one of them by heart."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from act_gym.errors import UsageError
from act_gym.io.jsonl import read_records, write_records
from act_gym.rollout import play
from act_gym.sampling import select_from
from act_gym.types import Episode, Turn
from agents.search_expert import SearchExpert
from tests.tiny_models import save_with_tokenizer
from trainers.imitation import ImitationConfig
from trainers.imitation import train as imitate
from trainers.rft import RFTConfig, successes, train

ENV = "act/ALFWorld-generated-train"
TYPE = "look_at_obj_in_light"


@pytest.fixture(scope="module")
def demonstration() -> Episode:
    """The search expert's, on the game that is played."""
    (task,) = select_from([ENV], task_types=(TYPE,), limit=1, seed=0)[ENV]
    (episode,) = play(ENV, SearchExpert(), [task])
    assert episode.success
    return episode


@pytest.fixture(scope="module")
def settings(demonstration: Episode, tmp_path_factory: pytest.TempPathFactory) -> RFTConfig:
    folder = tmp_path_factory.mktemp("imitation")
    turns = tuple(replace(turn, label=turn.action) for turn in demonstration.turns)
    write_records(folder / "episodes.jsonl", [replace(demonstration, turns=turns).to_json()])
    training = {"batch": 1, "learning_rate": 2e-2, "precision": "fp32", "save_every": 0, "samples_every": 0}
    learnt = ImitationConfig(
        episodes=(folder / "episodes.jsonl",),
        model=str(save_with_tokenizer(folder / "model")),
        out=folder / "run",
        epochs=100,
        **training,  # type: ignore[arg-type]
    )
    imitate(learnt)
    return RFTConfig(
        env=(ENV,),
        task_types=(TYPE,),
        limit=1,
        games=1,
        rounds=2,
        episodes_per_task=3,
        model=str(folder / "run" / "checkpoint"),
        max_turns=len(turns) + 2,
        temperature=0.5,
        **{**training, "learning_rate": 1e-4},  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def whole(settings: RFTConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rft") / "whole"
    train(replace(settings, out=out))
    return out


def episodes(path: Path) -> list[Episode]:
    return [Episode.from_json(record) for record in read_records(path)]


@pytest.mark.slow
def test_solved_games_are_kept_once_and_learnt(whole: Path) -> None:
    for number in (1, 2):
        played, kept = (episodes(whole / f"round-{number}" / f"{name}.jsonl") for name in ("played", "episodes"))
        assert [one.seed for one in played] == [3 * number - 3, 3 * number - 2, 3 * number - 1]
        assert len(kept) == 1
        assert kept[0].success
        assert all(turn.label == turn.action for turn in kept[0].turns if turn.action_valid)
    summary = json.loads((whole / "round-2" / "train" / "done.json").read_text())["summary"]
    assert summary["episodes"] == 2, "a round trains on the episodes of all rounds so far"
    lines = [line for line in read_records(whole / "metrics.jsonl") if line.get("event") == "round"]
    assert [(line["episodes"], line["kept"], line["solved_games"]) for line in lines] == [(3, 1, 1)] * 2


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_in_the_same_weights(settings: RFTConfig, whole: Path) -> None:
    """As if killed in round 2 after one episode; round 1 is finished."""
    weights = (whole / "checkpoint" / "model.safetensors").read_bytes()
    played = (whole / "round-2" / "played.jsonl").read_text()
    shutil.rmtree(whole / "checkpoint")
    (whole / "done.json").unlink()
    shutil.rmtree(whole / "round-2" / "train")
    (whole / "round-2" / "episodes.jsonl").unlink()
    (whole / "round-2" / "played.jsonl").write_text(played.splitlines(keepends=True)[0])
    train(replace(settings, out=whole, resume=True))
    actions = [[turn.action for turn in one.turns] for one in episodes(whole / "round-2" / "played.jsonl")]
    before = [[turn["action"] for turn in json.loads(line)["turns"]] for line in played.splitlines()]
    assert actions == before
    assert (whole / "checkpoint" / "model.safetensors").read_bytes() == weights


@pytest.mark.slow
def test_without_a_success_the_error_says_where_to_start(settings: RFTConfig, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"0 of 3 episodes succeeded.*act-gym train imitation"):
        train(replace(settings, out=tmp_path / "run", agent="random", max_turns=1, rounds=1))


def test_of_a_task_the_shortest_distinct_episodes_are_kept(demonstration: Episode) -> None:
    detour = Turn(observation="?", action="dance", action_valid=False)
    longer = replace(demonstration, turns=(detour, *demonstration.turns), seed=0)
    longest = replace(demonstration, turns=(detour, detour, *demonstration.turns), seed=1)
    failed = replace(demonstration, turns=(), success=False, seed=4)
    played = [longest, longer, demonstration, replace(demonstration, seed=3), failed]
    size = len(demonstration.turns)
    assert [len(one.turns) for one in successes(played, 0)] == [size, size + 1, size + 2]
    assert [len(one.turns) for one in successes(played, 2)] == [size, size + 1]
    assert [one.seed for one in successes(played, 1)] == [demonstration.seed]
    refused = successes(played, 2)[1].turns[0]
    assert (refused.action, refused.label) == ("dance", ""), "a refused action is not learnt"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agent": "random", "rounds": 2}, "--rounds 1"),
        ({"temperature": 0.0}, "--temperature 0"),
        ({"episodes_per_task": 0}, "--episodes-per-task"),
        ({"dry_run": True}, "imitation --dry-run"),
    ],
)
def test_settings_that_cannot_work_leave_no_folder(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(replace(RFTConfig(out=tmp_path / "run"), **change))  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
