"""The frozen splits of WebShop, by themselves and against the catalogue."""

import subprocess
import sys

import pytest

from act_gym.engines.webshop.shop_cache import shared_goals, shared_shop
from act_gym.errors import CorruptDataError, MissingDataError, UnknownNameError, UsageError
from act_gym.splits import webshop_goals
from act_gym.splits.webshop import SPLITS, tasks
from act_gym.splits.webshop_goals import FROZEN, check_frozen, check_generated, held_out


def ids(split, **options):
    return [task.id for task in tasks(split, **options)]


def kinds_and_products(split):
    """Return the kinds, the products and the last parts of the paths of a split's goals."""
    shop, goals = shared_shop(FROZEN), shared_goals(FROZEN, human=False)
    found = [shop.products.product(goals.instruction(task.payload["goal"])[1].position) for task in tasks(split)]
    kinds = {f"{product.category}/{product.query}" for product in found}
    paths = {product.product_category.split("›")[-1].strip() for product in found}
    return kinds, {product.asin for product in found}, paths


@pytest.mark.parametrize(
    ("split", "count", "human"),
    [
        (None, 6910, 13),
        ("train", 5410, 0),
        ("dev", 1000, 0),
        ("test", 500, 13),
        ("train-seen", 4308, 0),
        ("seen", 397, 0),
        ("unseen", 95, 2),
    ],
)
def test_a_split_has_its_number_of_tasks(split, count, human):
    assert len(tasks(split)) == len(set(ids(split))) == count
    assert len(tasks(split, human_goals=True)) == human


def test_a_tasks_number_is_webshops():
    everything = tasks()
    assert [task.payload for task in everything] == [{"goal": number} for number in range(6910)]
    assert everything[455].id == "webshop/1000/455"
    assert tasks(human_goals=True)[3].id == "webshop/1000-human/3"


def test_the_official_folds_part_all_tasks():
    assert ids("test") + ids("dev") + ids("train") == ids(None)
    assert {task.split for task in tasks()} == {"test", "dev", "train"}


def test_seen_and_unseen_are_of_the_test_fold_and_train_seen_of_the_training_fold():
    assert set(ids("seen")) | set(ids("unseen")) < set(ids("test"))
    assert set(ids("seen")).isdisjoint(ids("unseen"))
    assert set(ids("train-seen")) < set(ids("train"))


def test_departments_are_the_task_types():
    assert {task.task_type for task in tasks()} == {"beauty", "electronics", "fashion", "garden", "grocery"}
    assert {task.task_type for task in tasks("unseen")} == {task.task_type for task in tasks()}


def test_what_is_held_out_shares_nothing_with_what_is_trained_on(webshop_data):
    kinds, products, paths = kinds_and_products("train-seen")
    other_kinds, other_products, other_paths = kinds_and_products("unseen")
    assert kinds.isdisjoint(other_kinds)
    assert products.isdisjoint(other_products)
    assert paths.isdisjoint(other_paths)
    assert other_kinds <= held_out()


def test_seen_goals_are_of_kinds_that_are_trained_on(webshop_data):
    kinds, products, _ = kinds_and_products("train-seen")
    seen_kinds, seen_products, _ = kinds_and_products("seen")
    assert seen_kinds <= kinds
    assert (len(seen_products), len(seen_products & products)) == (110, 100)


@pytest.mark.parametrize("human", [False, True])
def test_the_catalogue_has_the_goals_that_are_frozen(webshop_data, human):
    assert len(shared_goals(FROZEN, human=human)) == len(tasks(human_goals=human))


def test_another_catalogue_under_that_name_is_noticed():
    with pytest.raises(CorruptDataError, match=r"it has 7 goals from 1 instructions.*6,910 from 415"):
        check_frozen([("B000000000", 7)], human_goals=False)


def test_tasks_are_listed_without_data_and_without_opening_a_shop():
    code = (
        "import sys\nimport act_gym\n"
        "assert len(act_gym.tasks('act/WebShop-unseen')) == 95\n"
        "print([name for name in sys.modules if 'webshop.catalogue' in name or 'webshop.search' in name])"
    )
    environment = {"ACT_GYM_DATA": "/nonexistent", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "[]\n"


def test_another_catalogues_tasks_need_it(monkeypatch, tmp_path):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match="act-gym download webshop --catalogue full"):
        tasks("test", catalogue="full")


def test_a_generated_shop_has_the_goals_that_are_frozen(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path_factory.getbasetemp() / "webshop-split"))
    listed = tasks("train-seen", catalogue="generated")
    assert [task.id for task in listed] == ids("generated-train")
    assert ids("seen", catalogue="generated") == ids("generated-seen")
    assert ids("unseen", catalogue="generated") == ids("generated-unseen")
    assert {task.payload["catalogue"] for task in tasks("generated-seen")} == {"generated"}
    assert set(ids("generated-unseen")).isdisjoint([*ids("generated-seen"), *ids("generated-train")])


def test_a_shop_that_another_version_generated_is_noticed(tmp_path):
    with pytest.raises(CorruptDataError, match=r"made by another version of act-gym.*rm -r"):
        check_generated([("garden/beds", 3)], tmp_path)


def test_the_generated_splits_are_of_no_other_catalogue():
    with pytest.raises(UsageError, match="generated-seen is of the catalogue generated"):
        tasks("generated-seen", catalogue="full")
    with pytest.raises(UsageError, match="human_goals=True"):
        tasks("generated-seen", human_goals=True)


@pytest.mark.parametrize("split", SPLITS[:6])
def test_a_generated_shop_has_the_same_splits(split, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path_factory.getbasetemp() / "webshop-split"))
    found = tasks(split, catalogue="generated-400")
    assert found
    assert {task.split for task in found} == {split}
    assert found[0].id.startswith("webshop/generated-400/")


def test_an_unknown_split_is_refused():
    with pytest.raises(UnknownNameError, match=r"No split of WebShop unsen\. Did you mean unseen"):
        tasks("unsen")


def test_a_changed_manifest_is_noticed(monkeypatch):
    monkeypatch.setattr(webshop_goals, "_SHA256", "0" * 64)
    webshop_goals._manifest.cache_clear()
    try:
        with pytest.raises(CorruptDataError, match=r"webshop\.json has sha256"):
            held_out()
    finally:
        monkeypatch.undo()
        webshop_goals._manifest.cache_clear()
