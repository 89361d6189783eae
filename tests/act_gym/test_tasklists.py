from array import array

import pytest

from act_gym.sampling import LazyTaskList
from act_gym.types import Task


def make(number):
    return Task(id=f"counting/{number}", benchmark="Counting", split="even", task_type="short")


def number_of(task_id):
    name, _, number = task_id.partition("/")
    return int(number) if name == "counting" and number.isdecimal() else None


@pytest.fixture(params=[range(0, 10, 2), array("I", [0, 2, 4, 6, 8])])
def tasks(request):
    return LazyTaskList(request.param, make, number_of)


def test_it_reads_like_a_tuple(tasks):
    whole = tuple(make(number) for number in range(0, 10, 2))
    assert tuple(tasks) == whole
    assert (len(tasks), tasks[1], tasks[-1], tasks[1:3]) == (5, whole[1], whole[-1], whole[1:3])
    with pytest.raises(IndexError):
        tasks[5]


def test_it_knows_where_each_id_stands(tasks):
    assert {task_id: tasks.positions[task_id] for task_id in tasks.positions} == {
        f"counting/{number}": number // 2 for number in range(0, 10, 2)
    }
    assert len(tasks.positions) == 5


@pytest.mark.parametrize("other", ["counting/3", "counting/10", "counting/x", "elsewhere/2", ""])
def test_other_ids_are_not_there(tasks, other):
    assert other not in tasks.positions
    assert tasks.position(other) is None
