import json
from collections import Counter

import pytest

from act_gym.engines.scienceworld import gold as solutions
from act_gym.errors import EngineError, UnknownNameError
from act_gym.io.jsonl import read_records
from act_gym.splits.scienceworld import tasks
from act_gym.types import StepResult
from benchmarks.checks.gold import chosen, in_turn, main, replay, run, summary, table


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACT_GYM_DATA", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(solutions, "_kept", {})
        yield


class Countdown:
    """A small game: three words from the end, and what the last one is worth."""

    def __init__(self, *, worth: int, breaks: bool = False) -> None:
        self.goal, self.versions = "say three words", {}
        self._worth, self._breaks, self._said = worth, breaks, 0

    def reset(self, task):
        self._said = 0
        return self._state()

    def step(self, command):
        if self._breaks:
            raise EngineError("The game broke.")
        self._said += command != "mumble"
        return self._state(action_valid=command != "mumble")

    def admissible_commands(self):
        return ("word",)

    def expert_commands(self):
        return ("mumble", "word", "word", "word", "word")

    def close(self):
        pass

    def _state(self, action_valid=True):
        raw = self._worth if self._said == 3 else 0
        return StepResult(
            observation=f"{self._said}",
            score=raw / 100,
            raw_score=raw,
            success=raw == 100,
            terminated=self._said == 3,
            action_valid=action_valid,
        )


def test_any_first_part_of_the_order_is_a_fair_sample_of_the_task_types():
    order = in_turn(tasks(), 0)
    assert Counter(task.id for task in order) == Counter(task.id for task in tasks())
    assert len({task.task_type for task in order[:30]}) == 30
    counts = Counter(task.task_type for task in order[:300])
    assert set(counts.values()) == {10}


def test_the_order_of_a_task_type_is_drawn_and_does_not_depend_on_the_others():
    boil = [task for task in in_turn(tasks(), 0) if task.task_type == "boil"]
    assert boil == in_turn(chosen(["boil"]), 0)
    assert boil != in_turn(chosen(["boil"]), 1)
    with pytest.raises(UnknownNameError, match="Did you mean boil"):
        chosen(["boill"])


def test_a_record_says_how_far_the_solution_was_played():
    record = replay(Countdown(worth=100), tasks()[0])
    assert (record["commands"], record["steps"], record["not_understood"]) == (5, 4, 1)
    assert (record["raw_score"], record["error"]) == (100, "")


def test_a_solution_that_falls_short_or_breaks_is_listed_with_the_reason():
    short, broken = replay(Countdown(worth=87), tasks()[0]), replay(Countdown(worth=100, breaks=True), tasks()[1])
    assert broken["raw_score"] is None
    listed = summary([short, broken])
    assert f"- `{tasks()[0].id}`: 87 after 4 of 5 commands, 1 of them not understood" in listed
    assert f"- `{tasks()[1].id}`: The game broke." in listed
    assert "2 of 7,207 variations played, 0 reached 100, 2 did not" in listed
    assert f"| {tasks()[0].task_type} | 30 | 2 | 0 | – | – | – |" in table([short, broken])


def test_the_simulators_solutions_end_at_100_and_are_not_played_twice(tmp_path, capsys):
    out = tmp_path / "gold.jsonl"
    command = ["--tasks", "find-plant", "--limit", "1", "--out", str(out)]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert "1 of 7,207 variations played, 1 reached 100, 0 did not" in first
    assert [record["raw_score"] for record in read_records(out)] == [100]
    before = out.read_bytes()
    assert main(command) == 0
    assert (capsys.readouterr().out, out.read_bytes()) == (first, before)


def test_what_failed_is_played_again(tmp_path):
    out = tmp_path / "gold.jsonl"
    (task,) = in_turn(chosen(["find-plant"]), 0)[:1]
    failed = replay(Countdown(worth=0), task)
    out.write_text(json.dumps(failed) + "\n", encoding="utf-8")
    (record,) = run([task], workers=1, out=out)
    assert record["raw_score"] == 100
    assert [each["raw_score"] for each in read_records(out)] == [0, 100]


def test_a_mistake_is_told_in_words(capsys):
    assert main(["--limit", "-1"]) == 2
    assert capsys.readouterr().err == "--limit is 0 or more, and --workers is at least 1.\n"
