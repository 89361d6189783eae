import json

import pytest

from act_gym.errors import UnknownNameError, UsageError
from act_gym.io.jsonl import read_records
from benchmarks.experts.__main__ import main
from benchmarks.experts.attempts import DEAD_END, NOT_FOUND, WON, Attempt, agreement, length_table, time_table


def attempt(group: str, task_id: str, outcome: str, turns: int, seconds: float = 0.001) -> Attempt:
    return Attempt(group, task_id, outcome, turns, walkthrough=6, seconds=seconds)


ATTEMPTS = [
    attempt("ours", "a", WON, 6),
    attempt("ours", "b", WON, 7, 0.003),
    attempt("ours", "c", DEAD_END, 0),
    attempt("ours", "d", WON, 2),
    attempt("theirs", "a", WON, 6),
    attempt("theirs", "b", WON, 9),
    attempt("theirs", "c", WON, 9),
    attempt("theirs", "d", NOT_FOUND, 99),
]


def test_lengths_are_those_of_plans_that_won() -> None:
    lines = list(length_table(ATTEMPTS))
    assert lines[2] == "| ours | 4 | 3 | 1 | 0 | 5.00 | 6.00 | 33.3% | 33.3% | 33.3% |"
    assert lines[3] == "| theirs | 4 | 3 | 0 | 1 | 8.00 | 6.00 | 0.0% | 33.3% | 66.7% |"


def test_a_group_that_never_won_has_no_lengths() -> None:
    assert list(length_table([attempt("none", "a", NOT_FOUND, 9)]))[2] == "| none | 1 | 0 | 0 | 1 | – | – | – | – | – |"


def test_times_are_in_milliseconds() -> None:
    assert list(time_table(ATTEMPTS))[2] == "| ours | 1.0 | 3.0 | 3.0 | 3.0 |"


def test_two_experts_are_compared_where_both_won() -> None:
    sentence = agreement(ATTEMPTS, "ours", "theirs")
    assert sentence == ("Of 2 states that both won, “ours” was shorter in 1, equal in 1 and longer in 0 than “theirs”.")


def test_the_program_measures_the_planner_and_writes_records(alfworld_data, tmp_path, capsys) -> None:
    out = tmp_path / "records.jsonl"
    options = ["--limit", "2", "--steps", "5", "--data", str(alfworld_data), "--out", str(out)]
    assert main(["alfworld", *options]) == 0
    shown = capsys.readouterr().out
    assert "| seen, from the start | 2 | 2 | 0 | 0 |" in shown
    records = list(read_records(out))
    assert {record["group"] for record in records} >= {"unseen, from the start", "train, after 5 random commands"}
    assert all(json.dumps(record["turns"]).isdigit() for record in records)


def test_mistakes_are_named(capsys) -> None:
    with pytest.raises(UnknownNameError, match="alfworld"):
        main(["chess"])
    with pytest.raises(UsageError, match="0 or more"):
        main(["alfworld", "--steps", "-1"])
    assert main([]) == 2
    assert "alfworld" in capsys.readouterr().out
