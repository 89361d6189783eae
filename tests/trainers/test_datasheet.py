"""The data sheet of pairs, on real ALFWorld games and pairs whose worth is known beforehand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from act_gym.benchmarks import benchmark
from act_gym.errors import EngineError, UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.types import ActionPair
from trainers import collect, pairs
from trainers.data import execution
from trainers.data.execution import Comparison, Stop, compare, grouped
from trainers.data.pair_stats import datasheet
from trainers.data.questions import read_pairs
from trainers.datasheet import lengths, main

ENV = "act/ALFWorld-generated-train"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the pairs of four generated games."""
    out = tmp_path_factory.mktemp("sheet")
    collect.main(["--env", ENV, "--limit", "4", "--out", str(out / "collect")])
    command = ["--episodes", str(out / "collect" / "episodes.jsonl"), "--proposer", "random", "--per-state", "2"]
    pairs.main([*command, "--out", str(out / "pairs")])
    return out


def way_of(folder: Path, task: str) -> list[str]:
    for record in read_records(folder / "collect" / "episodes.jsonl"):
        if record["task"]["id"] == task:
            return [turn["action"] for turn in record["turns"]]
    raise AssertionError(task)


def first_pairs(folder: Path) -> list[ActionPair]:
    """Return the pairs of one task."""
    made = read_pairs(folder / "pairs" / "pairs.jsonl")
    return [pair for pair in made if pair.step.task.id == made[0].step.task.id]


def compared(pairs: list[ActionPair]) -> list[Comparison]:
    """Compare pairs of one episode."""
    by_step: dict[str, list[ActionPair]] = {}
    for pair in pairs:
        by_step.setdefault(pair.step.id, []).append(pair)
    (way,) = grouped(Stop(members[0].step, ()) for members in by_step.values())
    return list(compare(benchmark("ALFWorld").make_engine(None), way, by_step))


def with_alternative(pair: ActionPair, action: str) -> ActionPair:
    return ActionPair(step=pair.step, alternative=action, proposer="hand", expert_first=True)


def test_the_program_writes_json_markdown_and_what_it_compared(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder / "pairs" / "pairs.jsonl"
    assert main(["--pairs", str(source), "--execute", "12", "--model", "", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "datasheet.md").read_text()
    assert capsys.readouterr().out == text
    sheet = json.loads((tmp_path / "datasheet.json").read_text())
    assert (sheet["compared"], sheet["planned"]) == (12, 12)
    assert sheet["carried_out"] == 1.0  # all are admissible
    rows = list(read_records(tmp_path / "comparisons.jsonl"))
    assert len(rows) == 12
    assert sum(row["as_good"] for row in rows) == round(sheet["as_good"] * 12)
    assert sheet["pairs"] == len(read_pairs(source)) == sum(sheet["task_types"].values())
    assert "| expert, characters |" in text
    assert "tokens |" not in text
    assert f"Both actions of {sheet['compared']}" in text


def test_known_alternatives_are_told_apart(folder: Path) -> None:
    made = first_pairs(folder)
    way = way_of(folder, made[0].step.task.id)
    start = next(pair for pair in made if pair.step.turn == 0)
    later = next(pair for pair in made if pair.step.turn == 1)
    known = [
        with_alternative(start, start.step.expert_action.upper()),  # the simulator reads no capitals
        with_alternative(start, start.step.expert_action),
        with_alternative(start, "sing a song"),
        with_alternative(start, "look"),
        *(with_alternative(later, action) for action in later.step.admissible_commands if action.startswith("go ")),
    ]
    loud, same, song, look, *moves = compared(known)
    assert same.same_state
    assert same.as_good
    assert same.same_observation
    assert same.expert_left == same.alternative_left == len(way) - 1
    assert song.nothing_changed
    assert not look.nothing_changed  # the game's facts say that one has looked
    for useless in (song, look):
        assert not useless.as_good
        assert useless.alternative_left == len(way)  # nothing is gained, nothing lost
    assert not song.carried_out
    assert look.carried_out
    assert loud.carried_out == loud.same_state
    assert moves
    for move in moves:
        assert (move.expert_left, move.plans) == (len(way) - 2, True)
        assert move.as_good == (move.alternative_left is not None and move.alternative_left <= len(way) - 2)


def test_what_is_compared_does_not_depend_on_its_company(folder: Path) -> None:
    made = first_pairs(folder)
    together = compared(made)
    assert together == [one for pair in made for one in compared([pair])]
    assert len(together) == len(made)


def test_another_episode_than_the_pairs_is_noticed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = first_pairs(folder)
    later = next(pair for pair in made if pair.step.turn == 2)
    looked = replace(later.step, history=(replace(later.step.history[0], action="look"), *later.step.history[1:]))
    other = with_alternative(replace(later, step=looked), later.alternative)
    with pytest.raises(EngineError, match="--env-options"):
        compared([other])
    assert list(execution.compare_all([other], {})) == []
    assert "is left out" in capsys.readouterr().err


def test_without_any_execution_the_text_alone_is_described(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "alone.jsonl"
    with RecordWriter(copied) as file:
        for pair in [*first_pairs(folder), *first_pairs(folder)]:
            file.write(pair.to_json())
    count = len(first_pairs(folder))
    assert main(["--pairs", str(copied), "--execute", "0", "--model", "smollm2"]) == 0
    sheet = json.loads((tmp_path / "datasheet.json").read_text())
    assert (sheet["pairs"], sheet["duplicates"]) == (2 * count, count)
    assert "compared" not in sheet
    assert 0 < sheet["lengths"]["expert_tokens"]["mean"] < sheet["lengths"]["expert_characters"]["mean"]
    with pytest.raises(UsageError, match="of at least -1"):
        main(["--pairs", str(copied), "--execute", "-2", "--model", ""])


def test_taking_the_longer_action_is_scored_with_a_coin_for_ties(folder: Path, tmp_path: Path) -> None:
    pair = first_pairs(folder)[0]
    length = len(pair.step.expert_action)
    with RecordWriter(tmp_path / "pairs.jsonl") as file:
        for action in ("x", "x" * length, "x" * (length + 1), "x"):
            file.write(with_alternative(pair, action).to_json())
    sheet = datasheet(tmp_path / "pairs.jsonl", tmp_path / "none", tmp_path / "none")
    assert sheet["longer_is_expert"] == (1 + 0.5 + 0 + 1) / 4


def test_lengths_are_spread_as_numpy_says(folder: Path) -> None:
    pair = first_pairs(folder)[0]
    found = lengths([with_alternative(pair, "x" * count) for count in (1, 2, 3, 4)], tokens=lambda text: 2 * len(text))
    assert found["alternative_characters"] == {"mean": 2.5, "median": 2.5, "p95": pytest.approx(3.85), "max": 4.0}
    assert found["alternative_tokens"]["mean"] == 5.0
