from itertools import pairwise

import pytest

from act_gym import Task, UnknownNameError, UsageError
from act_gym.sampling import select, select_from

TASKS = tuple(
    Task(id=f"cellar/{kind}/{number}", benchmark="Cellar", split="train", task_type=kind)
    for kind, count in (("lamp", 30), ("door", 10), ("rope", 2))
    for number in range(count)
)


def kinds(tasks: tuple[Task, ...]) -> dict[str, int]:
    return {kind: sum(task.task_type == kind for task in tasks) for kind in ("lamp", "door", "rope")}


def test_without_wishes_everything_is_chosen_in_order():
    assert select(TASKS) == TASKS


def test_a_limit_takes_the_types_in_turn_for_as_long_as_they_last():
    assert kinds(select(TASKS, limit=9)) == {"lamp": 3, "door": 4, "rope": 2}
    assert kinds(select(TASKS, limit=2)) == {"lamp": 1, "door": 1, "rope": 0}


def test_per_type_cuts_every_type():
    assert kinds(select(TASKS, per_type=4)) == {"lamp": 4, "door": 4, "rope": 2}


def test_asking_for_more_keeps_what_was_chosen_before():
    choices = [{task.id for task in select(TASKS, per_type=count, seed=3)} for count in range(1, 12)]
    assert all(less <= more for less, more in pairwise(choices))


def test_leaving_a_type_out_changes_no_other_type():
    everything = select(TASKS, per_type=3)
    some = select(TASKS, per_type=3, task_types=("rope", "lamp"))
    assert some == tuple(task for task in everything if task.task_type != "door")


def test_the_seed_and_nothing_else_decides_which():
    assert select(TASKS, per_type=3, seed=1) == select(TASKS, per_type=3, seed=1)
    assert select(TASKS, per_type=3, seed=1) != select(TASKS, per_type=3, seed=2)


def test_wrong_wishes_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean lamp"):
        select(TASKS, task_types=("lamps",))
    with pytest.raises(UsageError):
        select(TASKS, limit=-1)


def test_a_type_that_stands_in_one_environment_only_is_chosen_there():
    chosen = select_from(
        ("act/ScienceWorld-seen", "act/ScienceWorld-unseen"),
        task_types=("find-plant", "find-animal"),
        per_type=2,
    )
    assert {task.task_type for task in chosen["act/ScienceWorld-seen"]} == {"find-plant"}
    assert {task.task_type for task in chosen["act/ScienceWorld-unseen"]} == {"find-animal"}
    with pytest.raises(UnknownNameError):
        select_from(("act/ScienceWorld-seen",), task_types=("find-animal",))
