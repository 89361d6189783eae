import hashlib
import re

import pytest

from act_gym.engines.alfworld.generate import goal
from act_gym.errors import CorruptDataError, UnknownNameError
from act_gym.splits import alfworld_generated
from act_gym.splits.alfworld import TASK_TYPES
from act_gym.splits.alfworld_generated import COUNTS, tasks

EVERYTHING = tasks()


def parts(split):
    """Return the task type, object, receptacle and room of each game."""
    names = [task.id.split("/")[2].split("-") for task in tasks(split)]
    return [(task_type, kind, receptacle, int(room)) for task_type, kind, _, receptacle, room in names]


def test_there_are_as_many_tasks_as_promised_and_each_has_its_own_id():
    assert {split: len(tasks(split)) for split in COUNTS} == dict(COUNTS)
    assert tasks("generated-train") + tasks("generated-seen") + tasks("generated-unseen") == EVERYTHING
    assert len({task.id for task in EVERYTHING}) == len(EVERYTHING) == 3300


def test_the_manifest_is_what_the_generator_draws():
    for task in EVERYTHING:
        split, index = task.payload["generated"].split("/")
        wanted = goal(split, int(index))
        assert task.id == f"alfworld/generated-{split}/{wanted.name}/{index}"
        assert task.task_type == wanted.task_type
        assert (task.benchmark, task.split) == ("ALFWorld", f"generated-{split}")


def test_an_id_is_readable():
    form = r"alfworld/generated-(train|seen|unseen)/[a-z]\w+-[A-Z]\w+-None-[A-Z]\w+-\d+/\d+"
    assert all(re.fullmatch(form, task.id) for task in EVERYTHING)
    assert EVERYTHING[0].payload == {"generated": "train/0"}


def test_unseen_games_share_no_room_and_no_goal_with_training():
    train, unseen = parts("generated-train"), parts("generated-unseen")
    assert {room for *_, room in train}.isdisjoint(room for *_, room in unseen)
    assert {one[:3] for one in train}.isdisjoint(one[:3] for one in unseen)


def test_seen_games_are_in_the_rooms_of_training_and_share_no_goal_with_the_unseen():
    train, seen, unseen = (parts(split) for split in COUNTS)
    assert {room for *_, room in seen} <= {room for *_, room in train}
    assert {one[:3] for one in seen}.isdisjoint(one[:3] for one in unseen)


@pytest.mark.parametrize("split", COUNTS)
def test_every_split_has_all_six_types(split):
    assert {task.task_type for task in tasks(split)} == set(TASK_TYPES)


def test_the_manifest_is_the_frozen_one():
    found = hashlib.sha256(alfworld_generated.MANIFEST.read_bytes()).hexdigest()
    assert found == "dfcca9da6acb5ee92bab1c8366f23ff7fc255a403da9520ee704fcc272d19238"


def test_a_changed_manifest_is_refused(tmp_path, monkeypatch):
    changed = tmp_path / "alfworld_generated.txt"
    changed.write_bytes(alfworld_generated.MANIFEST.read_bytes().replace(b"Mug", b"Cup", 1))
    monkeypatch.setattr(alfworld_generated, "MANIFEST", changed)
    alfworld_generated._manifest.cache_clear()
    try:
        with pytest.raises(CorruptDataError, match=r"sha256.*Run: pip install --force-reinstall --no-deps .*/"):
            tasks("generated-seen")
    finally:
        alfworld_generated._manifest.cache_clear()


def test_a_split_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean generated-unseen"):
        tasks("generated-unsen")
