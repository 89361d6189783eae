import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from act_gym import RunError, Task, Turn
from act_gym.rollout import Job, unplayed
from benchmarks.reporting.tables import _gap_title, in_words, print_summary
from benchmarks.stats.measurement import Summary
from benchmarks.stats.scores import failures, flat_record, measure
from benchmarks.stats.significance import fisher


def record(number: int, *, split: str = "seen", seed: int = 0, success: bool = False, score: float = 0.0, **more):
    task = Task(id=f"cellar/{split}/{number}", benchmark="Cellar", split=split, task_type=f"type-{number % 2}")
    turns = (
        Turn(observation="", action="a", action_valid=False, prompt_tokens=10, completion_tokens=2, seconds=0.25),
        Turn(observation="", action="b", prompt_tokens=20, completion_tokens=3, seconds=0.5),
    )
    values = {"stop": "terminated", "error": "", **more}
    ended = unplayed(Job(f"act/Cellar-{split}", task, seed), "x", **values)
    return flat_record(replace(ended, turns=turns, success=success, score=score, raw_score=score))


def measured(records) -> dict:
    return {(*one.group, one.name): one for one in measure(records, np.random.default_rng(0))}


def test_a_flat_record_adds_up_the_turns():
    line = record(0)
    assert (line["turns"], line["invalid_actions"]) == (2, 1)
    assert (line["prompt_tokens"], line["completion_tokens"], line["seconds"]) == (30, 5, 0.75)


def test_splits_and_task_types_are_counted_apart():
    found = measured([record(0, success=True, score=1.0), record(1), record(2), record(0, split="unseen", score=0.5)])
    assert found["Cellar", "seen", "", "success"].value == pytest.approx(1 / 3)
    assert found["Cellar", "seen", "type-0", "success"].value == 0.5
    assert found["Cellar", "seen", "type-1", "success"].n == 1
    assert found["Cellar", "unseen", "", "score"].value == 0.5
    assert found["Cellar", "seen", "", "invalid_actions"].value == 0.5
    assert found["Cellar", "seen - unseen", "", "success"].value == pytest.approx(1 / 3)


def test_each_pair_of_splits_has_its_own_gap():
    rows = [record(0, split=split, success=split.endswith("-seen")) for split in ("generated-seen", "generated-unseen")]
    found = measured([*rows, record(0), record(0, split="unseen")])
    assert found["Cellar", "generated-seen - generated-unseen", "", "success"].value == 1.0
    assert found["Cellar", "seen - unseen", "", "success"].value == 0.0


def test_there_is_no_gap_without_both_sides():
    assert not [key for key in measured([record(0)]) if key[1] == "seen - unseen"]


def test_seeds_of_a_task_count_as_one_observation():
    records = [record(number, seed=seed, success=seed == 0) for number in range(4) for seed in (0, 1)]
    found = measured(records)
    success = found["Cellar", "seen", "", "success"]
    assert (success.value, success.n) == (0.5, 4)
    # Every task has the same mean over its seeds, so Wilson's stands in: 1/2 ± z/(2·sqrt(n + z²)), n = 4 tasks.
    assert (success.low, success.high) == pytest.approx((0.15004, 0.84996), abs=1e-5)
    assert found["Cellar", "seen", "", "success_std_over_seeds"].value == 0.5


def test_the_order_of_the_records_moves_no_number():
    records = [record(number, score=number / 10) for number in range(9)]
    assert measure(records, np.random.default_rng(0)) == measure(records[::-1], np.random.default_rng(0))


def test_failures_are_counted_by_cause_and_successes_are_none():
    records = [
        record(0, success=True),
        record(1, stop="truncated"),
        record(2, stop="truncated"),
        record(3),
        record(4, stop="env_error", error="The process died.\nmore"),
    ]
    assert failures(records) == {
        "the step limit was reached": 2,
        "the simulator ended it without success": 1,
        "env_error: The process died.": 1,
    }


def test_a_summary_survives_its_file(tmp_path: Path):
    summary = Summary(
        kind="episodes",
        label="base",
        subject="x",
        measurements=measure([record(0)], np.random.default_rng(0)),
        failures={"a": 1},
    )
    summary.write(tmp_path)
    assert Summary.read(tmp_path) == summary


@pytest.mark.parametrize("content", ["[]", "{}", "nonsense", json.dumps({"kind": "pairs"})])
def test_what_is_no_summary_is_refused_with_what_was_expected(tmp_path: Path, content: str):
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(RunError, match="act-gym eval"):
        Summary.read(tmp_path)


def test_numbers_read_as_per_cent_counts_and_signed_gaps():
    found = measured([record(0, success=True, score=1.0), record(0, split="unseen")])
    assert in_words(found["Cellar", "seen", "", "success"]) == "100.0 [20.7, 100.0]"
    assert in_words(found["Cellar", "seen", "", "turns"]) == "2.0"
    # Newcombe's of Wilson's [20.7, 100] and [0, 79.3]: 1 - sqrt(0.793² + 0.793²), and not more than 1.
    assert in_words(found["Cellar", "seen - unseen", "", "score"]) == "+100.0 [−12.2, +100.0]"
    assert in_words(None) == "–"


def test_a_gap_has_the_p_value_of_fishers_test_and_over_seeds_that_of_permutations():
    rows = [
        record(n, split=split, success=n < solved) for split, solved in (("seen", 9), ("unseen", 3)) for n in range(12)
    ]
    found = measured(rows)
    assert found["Cellar", "seen - unseen", "", "success_p_value"].value == fisher((9, 12), (3, 12))
    again = [record(n, split=split, seed=1, success=n < 6) for split in ("seen", "unseen") for n in range(12)]
    over_seeds = measured([*rows, *again])["Cellar", "seen - unseen", "", "success_p_value"].value
    assert 0.01 < over_seeds < 1
    assert over_seeds != found["Cellar", "seen - unseen", "", "success_p_value"].value


def test_a_split_with_an_error_has_no_interval_and_no_test():
    failed = record(0, stop="agent_error", error="ZeroDivisionError: division by zero (a.py:3)", success=False)
    rows = [failed, *(record(n, split=split, success=True) for split in ("seen", "unseen") for n in range(1, 9))]
    found = measured(rows)
    seen, unseen = found["Cellar", "seen", "", "success"], found["Cellar", "unseen", "", "success"]
    assert (seen.value, seen.low, seen.high) == (8 / 9, None, None)
    assert (found["Cellar", "seen", "", "errors"].value, found["Cellar", "seen", "", "errors"].n) == (1, 9)
    assert (unseen.low is not None, found["Cellar", "unseen", "", "errors"].value) == (True, 0)
    assert found["Cellar", "seen", "type-1", "success"].low is not None  # the error was in a task of the other type
    assert found["Cellar", "seen - unseen", "", "success"].low is None
    for place in (("seen", "success_bootstrap"), ("seen - unseen", "success_p_value")):
        assert ("Cellar", place[0], "", place[1]) not in found


@pytest.mark.parametrize("stop", ["agent_error", "env_error"])
def test_a_table_counts_errors_and_says_what_they_mean(stop):
    rows = [record(n, stop=stop, error="no service") for n in range(3)]
    summary = Summary(
        kind="episodes", label="base", subject="x", measurements=measure(rows, np.random.default_rng(0)), failures={}
    )
    assert (summary.errors, summary.observations) == (3, 3)
    shown = StringIO()
    print_summary(summary, file=shown)
    (line,) = [line for line in shown.getvalue().splitlines() if line.lstrip().startswith("Cellar seen ")]
    assert line.split()[2:5] == ["3", "3", "0.0"]
    assert "an error counts as a failure" in shown.getvalue()


def test_the_bootstrap_stands_beside_with_the_same_number():
    found = measured([record(number, score=number / 10) for number in range(9)])
    ours, bootstrap = found["Cellar", "seen", "", "score"], found["Cellar", "seen", "", "score_bootstrap"]
    assert (ours.value, ours.n) == (bootstrap.value, bootstrap.n)
    assert (ours.low, ours.high) != (bootstrap.low, bootstrap.high)


def test_a_table_shows_tasks_the_spread_over_seeds_and_the_test_of_the_gap():
    rows = [
        record(n, split=split, seed=seed, success=(n + seed) % 3 == 0)
        for split in ("seen", "unseen")
        for n in range(5)
        for seed in (0, 1)
    ]
    summary = Summary(
        kind="episodes", label="base", subject="x", measurements=measure(rows, np.random.default_rng(0)), failures={}
    )
    shown = StringIO()
    print_summary(summary, file=shown)
    (seen,) = [
        line for line in shown.getvalue().splitlines() if line.split()[:2] == ["Cellar", "seen"] and "−" not in line
    ]
    assert seen.split()[2] == "5"  # tasks, not episodes
    assert "±0.0" in seen  # two of five are solved with either seed
    assert "p = 1.000 for success" in shown.getvalue()
    assert "population standard deviation over seeds" in shown.getvalue()


def test_a_table_fits_in_80_columns_without_empty_columns():
    none = {"invalid_actions": 0, "prompt_tokens": 0, "completion_tokens": 0}
    rows = [
        {**record(n, split=split, success=n < 3, score=n / 9), **none} for split in ("seen", "unseen") for n in range(9)
    ]
    summary = Summary(
        kind="episodes", label="base", subject="x", measurements=measure(rows, np.random.default_rng(0)), failures={}
    )
    shown = StringIO()
    print_summary(summary, file=shown)
    lines = shown.getvalue().splitlines()
    table = lines[: lines.index(next(line for line in lines if line.startswith("per cent")))]
    assert max(len(line.rstrip()) for line in table) <= 80
    assert "success" in shown.getvalue()
    assert not any(word in shown.getvalue() for word in ("errors", "tokens", "invalid"))


def test_the_title_of_a_gap_leaves_out_what_both_names_share():
    assert _gap_title("webshop-generated-seen-mini", "webshop-generated-unseen-mini") == "seen − unseen"
    assert _gap_title("a", "a") == "a − a"
