import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import act_gym
from act_gym.errors import CorruptDataError, UsageError
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


def test_two_types_are_held_out_of_one_training_split():
    held, train = alfworld.tasks("unseen-types"), alfworld.tasks("train-seen-types")
    assert {task.task_type for task in held} == set(alfworld.HELD_OUT)
    assert {task.task_type for task in train} == set(alfworld.TASK_TYPES) - set(alfworld.HELD_OUT)
    assert {task.id for task in held} < {task.id for task in alfworld.tasks("unseen")}
    assert {task.id for task in train} < {task.id for task in alfworld.tasks("train")}


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


def written(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


def test_files_of_ones_own_become_tasks_named_by_their_place(tmp_path):
    written(
        tmp_path,
        "pick_heat_then_place_in_recep-Mug-None-Sink-1/trial_2/game.tw-pddl",
        "pick_heat_then_place_in_recep-Mug-None-Sink-1/trial_1/game.tw-pddl",
        "kitchens/pick_two_obj_and_place/b.tw-pddl",
        "kitchens/b.c.tw-pddl",
        "kitchens/notes.txt",
    )
    found = alfworld.tasks_of_files(str(tmp_path))
    assert [(task.id, task.task_type) for task in found] == [
        ("alfworld/kitchens/b.c", "unknown"),
        ("alfworld/kitchens/pick_two_obj_and_place/b", "pick_two_obj_and_place"),
        ("alfworld/pick_heat_then_place_in_recep-Mug-None-Sink-1/trial_1", "pick_heat_then_place_in_recep"),
        ("alfworld/pick_heat_then_place_in_recep-Mug-None-Sink-1/trial_2", "pick_heat_then_place_in_recep"),
    ]
    assert {(task.benchmark, task.split) for task in found} == {("ALFWorld", "own")}
    assert found[0].payload == {"file": str(tmp_path / "kitchens/b.c.tw-pddl")}
    assert act_gym.tasks("act/ALFWorld", games=tmp_path) == found


def test_single_files_and_several_places_are_taken_and_a_game_given_twice_is_one(tmp_path, monkeypatch):
    written(tmp_path, "one/game.tw-pddl", "two/game.tw-pddl", "two/extra.tw-pddl")
    monkeypatch.chdir(tmp_path)
    found = alfworld.tasks_of_files([tmp_path / "two", "one/game.tw-pddl", "two/extra.tw-pddl"])
    assert [task.id for task in found] == ["alfworld/extra", "alfworld/one", "alfworld/two"]
    assert [task.id for task in alfworld.tasks_of_files("one/game.tw-pddl")] == ["alfworld/one"]


def test_files_that_cannot_be_tasks_are_refused_with_what_to_do(tmp_path):
    written(tmp_path, "a/x.tw-pddl", "b/x.tw-pddl", "b/notes.txt")
    (tmp_path / "empty").mkdir()
    for games, complaint in (
        (tmp_path / "nowhere", rf"no file or folder {tmp_path / 'nowhere'}\. games= takes \.tw-pddl files"),
        (tmp_path / "empty", rf"No \.tw-pddl file lies in {tmp_path / 'empty'} or below it"),
        (tmp_path / "b/notes.txt", r"notes\.txt is no \.tw-pddl file"),
        ([tmp_path / "a", tmp_path / "b"], r"Two games would be called alfworld/x: .*a/x\.tw-pddl and .*b/x\.tw-pddl"),
        ([], r"games= names no game"),
    ):
        with pytest.raises(UsageError, match=complaint):
            alfworld.tasks_of_files(games)
