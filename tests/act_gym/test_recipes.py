"""Recipes laid over one another."""

from pathlib import Path

import pytest

from act_gym.config import layered, read_recipe
from act_gym.errors import UsageError


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_a_later_recipe_wins_and_what_it_does_not_name_stays(tmp_path):
    write(tmp_path, one="a: 1\ninner: {x: 1, y: [1, 2]}\n", two="b: 2\ninner: {y: [3], z: {deep: 1}}\n")
    merged = layered([tmp_path / "one.yaml", tmp_path / "two.yaml"])
    assert merged == {"a": 1, "b": 2, "inner": {"x": 1, "y": [3], "z": {"deep": 1}}}


def test_a_recipe_stands_on_others_seen_from_its_own_folder(tmp_path):
    write(
        tmp_path,
        ground="a: 1\nb: 1\nc: 1\n",
        parts__left="base: ../ground.yaml\nb: 2\n",
        parts__right="c: 3\nd: {e: 1}\n",
        top="base: [parts/left.yaml, parts/right.yaml]\nd: {f: 2}\n",
    )
    assert read_recipe(tmp_path / "top.yaml") == {"a": 1, "b": 2, "c": 3, "d": {"e": 1, "f": 2}}


def test_a_value_and_a_mapping_replace_each_other(tmp_path):
    write(tmp_path, one="a: {x: 1}\nb: 1\n", two="a: 1\nb: {x: 1}\n")
    assert layered([tmp_path / "one.yaml", tmp_path / "two.yaml"]) == {"a": 1, "b": {"x": 1}}


def test_recipes_that_stand_on_each_other_are_refused(tmp_path):
    write(tmp_path, one="base: two.yaml\n", two="base: one.yaml\n")
    with pytest.raises(UsageError, match=r"is its own base: one\.yaml → two\.yaml → one\.yaml"):
        read_recipe(tmp_path / "one.yaml")


@pytest.mark.parametrize("base", ["3", "{a: b}", "[1]"])
def test_a_base_that_is_no_file_is_refused(tmp_path, base):
    write(tmp_path, one=f"base: {base}\n")
    with pytest.raises(UsageError, match="expected a file or a list of files"):
        read_recipe(tmp_path / "one.yaml")


def test_a_missing_base_names_who_asked_for_it(tmp_path):
    write(tmp_path, one="base: absent.yaml\n")
    with pytest.raises(UsageError, match=r"absent\.yaml \(a base of .*one\.yaml\): No such file"):
        read_recipe(tmp_path / "one.yaml")
