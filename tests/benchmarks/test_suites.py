import json
from collections import Counter
from dataclasses import replace

import pytest

from act_gym import CorruptDataError, UnknownNameError, tasks
from act_gym.errors import MissingDependencyError
from act_gym.splits.alfworld import FOLDERS, MANIFEST
from benchmarks.evaluate import main as evaluate
from benchmarks.run.manifest import data_facts
from benchmarks.suites import SUCCESS, content_hash, installed, main, simulator_of, suite, suites

MINIS = [name for name in suites() if name.endswith("-mini")]
# Numbers are published under these. A change is another version, and another line here.
PUBLISHED = {
    ("alfworld-seen-140", 1): "078fa1b21f91bf577808bb0a11d046749e289e6aa144008c54de02ff1eed2e6b",
    ("alfworld-unseen-134", 1): "8a9b8ce15dfccc32e78c84264a3bbde0c0529329918d234c61cd25f5b3e2fed7",
    ("webshop-test-500", 1): "6bfa776edfda5c80e3278dd59403ce93136602d2fb184642427c0d186dbdd8bd",
    ("scienceworld-test", 1): "50577491613c20d11b13c9f9ad23da0ec90b97e983da8598dd3d9339658fc68b",
}


@pytest.mark.parametrize("name", suites())
def test_a_suite_is_as_it_was_frozen(name):
    frozen = suite(name)
    tasks = frozen.tasks()  # checks the hash
    assert len(tasks) == frozen.size == len({task.id for task in tasks})


def test_what_is_published_under_a_name_and_version_never_changes():
    assert {(name, suite(name).version): suite(name).sha256 for name, _ in PUBLISHED} == PUBLISHED


@pytest.mark.parametrize("name", MINIS)
def test_a_small_suite_has_as_many_tasks_of_every_type_all_from_the_whole_one(name):
    small = suite(name)
    (full,) = [each for each in suites().values() if each.env_id == small.env_id and each.task_ids is None]
    assert {task.id for task in small.tasks()} < {task.id for task in full.tasks()}
    counts = Counter(task.task_type for task in small.tasks())
    assert counts.keys() == {task.task_type for task in full.tasks()}
    assert len(set(counts.values())) == 1


@pytest.mark.parametrize(("name", "split"), [("alfworld-seen-140", "seen"), ("alfworld-unseen-134", "unseen")])
def test_alfworlds_suites_are_every_game_of_the_official_folders(name, split):
    lines = MANIFEST.read_text(encoding="ascii").splitlines()
    official = [f"alfworld/{line}" for line in lines if line.startswith(f"{FOLDERS[split]}/")]
    assert [task.id for task in suite(name).tasks()] == official


def test_webshops_suite_is_the_official_fold_of_the_official_catalogue():
    assert [task.id for task in suite("webshop-test-500").tasks()] == [f"webshop/1000/{n}" for n in range(500)]


@pytest.mark.parametrize(
    "change",
    [
        {"max_turns": 30},
        {"task_ids": suite("alfworld-seen-mini").task_ids[::-1]},
        {"task_ids": suite("alfworld-seen-mini").task_ids[1:]},
        {"task_ids": ("alfworld/valid_seen/no-such-game", *suite("alfworld-seen-mini").task_ids[1:])},
    ],
    ids=["step limit", "order", "fewer", "unknown"],
)
def test_a_suite_that_was_changed_is_refused(change):
    with pytest.raises(CorruptDataError, match="alfworld-seen-mini"):
        replace(suite("alfworld-seen-mini"), **change).tasks()


def test_the_hash_is_over_ids_in_their_order_step_limit_and_success():
    hashes = {
        content_hash("ALFWorld", ["a", "b"], 50),
        content_hash("ALFWorld", ["b", "a"], 50),
        content_hash("ALFWorld", ["a", "b"], 49),
        content_hash("ALFWorld", ["a", "b"], {"pick": 50}),
        content_hash("WebShop", ["a", "b"], 50),
    }
    assert len(hashes) == 5
    assert content_hash("ALFWorld", ("a", "b"), 50) in hashes


def test_a_name_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean alfworld-unseen-134"):
        suite("alfworld-unsen-134")


def test_the_list_shows_every_suite_with_its_count_and_hash(capsys):
    assert main([]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == list(suites())
    assert [row[2] for row in rows] == [str(each.size) for each in suites().values()]
    assert [row[5] for row in rows] == [each.sha256[:12] for each in suites().values()]
    assert main(["--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert listing[0]["success"] == SUCCESS["ALFWorld"]
    assert {"sha256", "missing", "task_ids"} <= set(listing[0])


def test_the_list_says_what_data_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path))
    main([])
    states = {line.split("\t")[0]: line.split("\t")[-1] for line in capsys.readouterr().out.splitlines()}
    assert states["alfworld-seen-140"] == "act-gym download alfworld"
    assert states["webshop-test-500"] == "act-gym download webshop"
    assert states["alfworld-generated-seen"] == states["webshop-generated-seen"] == "ready"


@pytest.fixture
def another_scienceworld(tmp_path, monkeypatch):
    """A machine on which another minor version of the simulator is installed, as its metadata say."""
    folder = tmp_path / "scienceworld-1.3.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: scienceworld\nVersion: 1.3.0\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_scienceworlds_suites_are_those_of_one_minor_version():
    named = {name: each.simulator for name, each in suites().items()}
    assert {named[name] for name in named if name.startswith("scienceworld")} == {"scienceworld 1.2"}
    assert {named[name] for name in named if not name.startswith("scienceworld")} == {""}
    assert simulator_of("ScienceWorld", "1.2.3") == simulator_of("ScienceWorld", "1.2.9") == "scienceworld 1.2"
    for each in suites().values():
        each.check_simulator()


def test_another_minor_version_is_refused_before_a_folder(another_scienceworld, tmp_path):
    with pytest.raises(
        MissingDependencyError, match=r"Here is scienceworld 1\.3\.0.*Run: pip install 'scienceworld==1\.2\.\*'"
    ):
        evaluate(["--suite", "scienceworld-test-mini", "--agent", "random", "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
    suite("alfworld-seen-mini").check_simulator()


def test_a_manifest_names_the_minor_version(another_scienceworld):
    env_id = "act/ScienceWorld-test"
    assert data_facts(env_id, tasks(env_id)[:1], {}) == {"simulator": "scienceworld 1.3"}


def test_a_benchmark_without_a_package_has_no_version():
    assert (installed(""), installed("no-such-package")) == ("", "")
    assert installed("numpy")
