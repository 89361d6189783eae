import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import act_gym
from act_gym.errors import CorruptDataError
from act_gym.splits import alfworld

EVERYTHING = alfworld.tasks()


@pytest.mark.parametrize(("split", "count"), [("train", 3553), ("seen", 140), ("unseen", 134), (None, 3827)])
def test_a_split_has_the_official_number_of_games(split, count):
    assert len(alfworld.tasks(split)) == count
    assert len(act_gym.tasks("act/ALFWorld" + (f"-{split}" if split else ""))) == count


def test_the_manifest_is_the_frozen_one():
    found = hashlib.sha256(alfworld.MANIFEST.read_bytes()).hexdigest()
    assert found == "e31f8eef1c485dc402ded96e02880b6a72361a2e0011c1fb326db02f17ce5596"


def test_the_splits_are_disjoint_sorted_and_make_up_everything():
    ids = [task.id for task in EVERYTHING]
    assert ids == sorted(set(ids))
    assert {task.split for task in EVERYTHING} == {"train", "seen", "unseen"}
    assert sum(len(alfworld.tasks(split)) for split in alfworld.COUNTS) == len(ids)
    trials = [task.id.rsplit("/", 1)[1] + task.id.split("/")[2] for task in EVERYTHING]
    assert len(set(trials)) == len(trials)


def test_unseen_games_are_in_rooms_that_training_never_visits():
    def rooms(split):
        return {int(task.id.split("/")[2].rsplit("-", 1)[1]) for task in alfworld.tasks(split)}

    assert rooms("unseen").isdisjoint(rooms("train") | rooms("seen"))
    assert rooms("seen") <= rooms("train")


@given(st.sampled_from(EVERYTHING))
def test_a_task_says_where_it_comes_from(task):
    folder = alfworld.FOLDERS[task.split]
    assert re.fullmatch(rf"alfworld/{folder}/[A-Za-z]\w+-\w+-\w+-\w+-\d+/trial_T\d{{8}}_\d{{6}}_\d{{6}}", task.id)
    assert task.id == f"alfworld/{task.payload['game']}"
    assert task.benchmark == "ALFWorld"
    assert task.task_type in alfworld.TASK_TYPES


@pytest.mark.parametrize("split", ["train", "seen", "unseen"])
def test_every_split_has_all_six_types(split):
    assert {task.task_type for task in alfworld.tasks(split)} == set(alfworld.TASK_TYPES)


def test_a_changed_manifest_is_refused(tmp_path, monkeypatch):
    changed = tmp_path / "alfworld.txt"
    changed.write_bytes(alfworld.MANIFEST.read_bytes().replace(b"trial_", b"Trial_", 1))
    monkeypatch.setattr(alfworld, "MANIFEST", changed)
    alfworld._manifest.cache_clear()
    try:
        with pytest.raises(CorruptDataError, match="sha256"):
            alfworld.tasks("seen")
    finally:
        alfworld._manifest.cache_clear()
