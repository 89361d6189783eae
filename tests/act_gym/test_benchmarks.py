import pytest

from act_gym import UnknownNameError, UsageError, env_ids, tasks
from act_gym.benchmarks import BENCHMARKS, at_level, benchmark, parse_id

COUNTS = {
    "act/ALFWorld": 3827,
    "act/ALFWorld-train": 3553,
    "act/ALFWorld-seen": 140,
    "act/ALFWorld-unseen": 134,
    "act/ALFWorld-train-seen-types": 2207,
    "act/ALFWorld-unseen-types": 38,
    "act/ALFWorld-generated-train": 3000,
    "act/ALFWorld-generated-seen": 150,
    "act/ALFWorld-generated-unseen": 150,
    "act/ScienceWorld": 7207,
    "act/ScienceWorld-train": 3592,
    "act/ScienceWorld-dev": 1796,
    "act/ScienceWorld-test": 1819,
    "act/ScienceWorld-train-seen": 2898,
    "act/ScienceWorld-seen": 1469,
    "act/ScienceWorld-unseen": 350,
    "act/WebShop": 6910,
    "act/WebShop-train": 5410,
    "act/WebShop-dev": 1000,
    "act/WebShop-test": 500,
    "act/WebShop-train-seen": 4308,
    "act/WebShop-seen": 397,
    "act/WebShop-unseen": 95,
    "act/WebShop-generated-train": 2604,
    "act/WebShop-generated-seen": 414,
    "act/WebShop-generated-unseen": 85,
}


def test_every_id_holds_as_many_tasks_as_published():
    assert {env_id: len(tasks(env_id)) for env_id in env_ids()} == COUNTS


@pytest.mark.parametrize("env_id", env_ids())
def test_tasks_are_the_same_at_each_call_and_each_once(env_id):
    found = tasks(env_id)
    assert tasks(env_id) == found
    assert len({task.id for task in found}) == len(found)
    entry, split = parse_id(env_id)
    assert {task.benchmark for task in found} == {entry.name}
    assert all(task.id.startswith(f"{entry.name.lower()}/") for task in found)
    assert split is None or {task.split for task in found} == {split}


def test_an_id_says_benchmark_and_split():
    assert parse_id("act/ALFWorld") == (BENCHMARKS["ALFWorld"], None)
    assert parse_id("act/ScienceWorld-train-seen") == (BENCHMARKS["ScienceWorld"], "train-seen")


def test_a_level_is_a_split_of_every_benchmark():
    assert at_level("act/ALFWorld-L2") == "act/ALFWorld-unseen-types"
    assert at_level("act/ALFWorld-seen") == "act/ALFWorld-seen"
    for name, entry in BENCHMARKS.items():
        found = [at_level(f"act/{name}-{level}") for level in ("L0", "L1", "L2")]
        assert found == [f"act/{name}-{entry.levels[level]}" for level in ("L0", "L1", "L2")]
        assert set(found) < set(env_ids())


@pytest.mark.parametrize("env_id", ["act/ALFWorld-unsen", "ALFWorld-unseen", "act_gym:act/ALFWorld-unseen", ""])
def test_an_unknown_id_is_refused(env_id):
    with pytest.raises(UnknownNameError, match=f"No environment {env_id}"):
        tasks(env_id)


def test_unknown_names_come_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"No benchmark Crafter\."):
        benchmark("Crafter")
    with pytest.raises(UnknownNameError, match=r"No split of ALFWorld unsen\. Did you mean unseen"):
        benchmark("ALFWorld").tasks("unsen")
    with pytest.raises(UnknownNameError, match=r"No engine of ScienceWorld jvn\. Did you mean jvm"):
        benchmark("ScienceWorld").make_engine("jvn")


def test_options_an_engine_does_not_take_are_named():
    with pytest.raises(UsageError, match=r"The jvm engine of ScienceWorld does not take \{'colour': 'red'\}"):
        benchmark("ScienceWorld").make_engine(colour="red")


def test_only_options_that_choose_tasks_are_taken_with_a_split():
    assert benchmark("WebShop").choosing({"human_goals": True, "show_attrs": True}) == {"human_goals": True}
    assert len(tasks("act/WebShop-test", human_goals=True)) == 13
    with pytest.raises(UsageError, match=r"show_attrs=True does not choose tasks of WebShop; only catalogue, human"):
        tasks("act/WebShop-test", show_attrs=True)
    with pytest.raises(UsageError, match=r"human_goals=True does not choose tasks of ALFWorld; none does"):
        tasks("act/ALFWorld-seen", human_goals=True)


def test_a_type_error_inside_an_engine_is_not_taken_for_a_wrong_option(counting, monkeypatch):
    def broken(self, *, broken=""):
        return len(3)

    monkeypatch.setattr(counting, "__init__", broken)
    with pytest.raises(TypeError, match=r"has no len"):
        benchmark("Counting").make_engine()
