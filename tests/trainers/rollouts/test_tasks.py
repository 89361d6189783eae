"""Which tasks a step plays."""

from __future__ import annotations

import pytest

from act_gym.errors import UsageError
from act_gym.types import Task
from trainers.rollouts.tasks import TaskChooser, seed_of

GAMES = [
    ("act/x", Task(id=f"x/{number}", benchmark="x", split="train", task_type="ab"[number % 2])) for number in range(10)
]


def ids(games: list[tuple[str, Task]]) -> list[str]:
    return [task.id for _, task in games]


def test_every_task_comes_once_before_any_comes_again() -> None:
    chooser = TaskChooser(GAMES, seed=3)
    drawn = [ids(chooser.draw(2)) for _ in range(5)]
    assert sorted(name for one in drawn for name in one) == sorted(ids(GAMES))
    assert drawn != [ids(TaskChooser(GAMES, seed=4).draw(2)) for _ in range(5)]


def test_the_order_follows_from_seed_and_state() -> None:
    chooser = TaskChooser(GAMES, seed=3, by_success=True)
    for _ in range(3):
        for _, task in chooser.draw(3):
            chooser.note(task, [task.id < "x/5", False])
    other = TaskChooser(GAMES, seed=3, by_success=True)
    other.restore(chooser.state())
    assert [ids(chooser.draw(3)) for _ in range(4)] == [ids(other.draw(3)) for _ in range(4)]


def test_tasks_of_a_step_are_different_also_where_a_sweep_ends() -> None:
    chooser = TaskChooser(GAMES, seed=0)
    for _ in range(20):
        assert len(set(ids(chooser.draw(7)))) == 7
    assert not set(ids(chooser.draw(3, used=["x/0", "x/1"]))) & {"x/0", "x/1"}


def test_mastered_and_hopeless_tasks_come_last() -> None:
    chooser = TaskChooser(GAMES, seed=0, by_success=True)
    for number, (_, task) in enumerate(GAMES):
        solved = 10 if number < 4 else 0 if number < 8 else 5
        chooser.note(task, [True] * solved + [False] * (10 - solved))
    assert set(ids(chooser.draw(3))[:2]) == {"x/8", "x/9"}
    assert len(set(ids(chooser.draw(5)))) == 5, "others are taken where there are not enough"


def test_a_new_task_begins_with_the_success_of_its_type() -> None:
    chooser = TaskChooser(GAMES, seed=0, by_success=True)
    assert chooser.success(GAMES[0][1]) == 0.5
    chooser.note(GAMES[1][1], [True] * 8)
    # 9 of 10 with one more of each kind; two episodes of it count for a task that was not played.
    assert chooser.success(GAMES[3][1]) == pytest.approx(0.9)
    assert chooser.success(GAMES[1][1]) == pytest.approx((8 + 2 * 0.9) / 10)
    assert chooser.success(GAMES[0][1]) == 0.5


def test_more_tasks_than_there_are_is_refused() -> None:
    with pytest.raises(UsageError, match="wants 11 different tasks and there are 10"):
        TaskChooser(GAMES, seed=0).draw(11)


def test_seeds_follow_from_all_their_numbers() -> None:
    seeds = {seed_of(seed, step, place) for seed in range(3) for step in range(3) for place in range(3)}
    assert len(seeds) == 27
    assert seed_of(1, 2, 3) == seed_of(1, 2, 3)
