import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from act_gym.engines.webshop.catalogue import build as building
from act_gym.engines.webshop.catalogue.build import Item, build
from act_gym.engines.webshop.catalogue.folder import MANIFEST, Products, verify
from act_gym.engines.webshop.catalogue.generated import GeneratedProducts
from act_gym.engines.webshop.search import SearchIndex
from act_gym.errors import CorruptDataError, DataError, UsageError

PROGRAM = """
import sys
from pathlib import Path
from act_gym.engines.webshop.catalogue.build import build
from act_gym.engines.webshop.catalogue.generated import GeneratedProducts
build(Path(sys.argv[1]), GeneratedProducts(int(sys.argv[2])))
"""


class Few:
    """A source of a few items that counts how often they are asked for."""

    finder = None
    processes = 1

    def __init__(self, items, name="few"):
        self.identity = {"kind": name}
        self.asked = []
        self._items = items

    def details(self):
        return {}

    def items(self, first):
        self.asked.append(first)
        return iter(self._items[first:])


def started(place, count):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(place), str(count)], stderr=subprocess.PIPE, text=True)


def contents(place):
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_folder_is_built_once_and_then_taken_as_it_is(tmp_path):
    source = Few(list(GeneratedProducts(5).items(0)))
    manifest = build(tmp_path / "few", source)
    assert build(tmp_path / "few", source) == manifest
    assert source.asked == [0]
    assert build(tmp_path / "few", source, force=True) == manifest
    assert source.asked == [0, 0]
    assert names(tmp_path) == ["few"]


def test_a_folder_of_another_source_is_built_anew(tmp_path):
    build(tmp_path / "few", Few(list(GeneratedProducts(5).items(0))))
    build(tmp_path / "few", Few(list(GeneratedProducts(3).items(0)), name="others"))
    assert len(Products(tmp_path / "few")) == 3
    verify(tmp_path / "few")


def test_a_damaged_folder_is_built_anew(tmp_path):
    source = Few(list(GeneratedProducts(5).items(0)))
    build(tmp_path / "few", source)
    (tmp_path / "few/asins").write_bytes(b"")
    build(tmp_path / "few", source)
    verify(tmp_path / "few")


def test_rows_that_are_skipped_are_counted_by_their_reason(tmp_path):
    items = list(GeneratedProducts(3).items(0))
    source = Few([items[0], Item(None, "no title"), items[1], items[0], Item(None, "no title"), items[2], items[2]])
    manifest = build(tmp_path / "few", source)
    assert manifest["skipped"] == {"no title": 2, "identifier that came before": 2}
    assert (manifest["rows"], manifest["products"]) == (7, 3)
    assert [product.asin for product in Products(tmp_path / "few")] == [item.product.asin for item in items]


def test_a_catalogue_without_products_is_an_error_and_leaves_no_folder(tmp_path):
    with pytest.raises(CorruptDataError, match=r"no product; rows skipped: \{'no title': 1\}"):
        build(tmp_path / "few", Few([Item(None, "no title")]))
    assert not (tmp_path / "few").exists()
    build(tmp_path / "few", Few(list(GeneratedProducts(1).items(0))))
    assert len(Products(tmp_path / "few")) == 1


def test_a_search_finds_positions_in_the_catalogue(hundred):
    products, search = Products(hundred), SearchIndex(hundred / "search")
    assert len(search) == len(products)
    for at in range(0, 100, 7):
        assert at in search.search(products.product(at).title, 5)


def test_products_of_equal_score_come_in_the_order_of_their_identifiers(tmp_path):
    from dataclasses import replace

    product = GeneratedProducts(1).item(0).product
    asins = ("C0", "A0", "B0")
    build(tmp_path / "few", Few([Item(replace(product, asin=asin)) for asin in asins]))
    found = SearchIndex(tmp_path / "few/search").search(product.title)
    assert [asins[at] for at in found] == ["A0", "B0", "C0"]


def test_a_run_that_failed_is_continued_where_it_was_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "_BATCH", 2)
    monkeypatch.setattr(building, "_NOTED", 4)
    items = list(GeneratedProducts(12).items(0))
    source = Few([*items[:3], Item(None, "no title"), *items[3:]])
    whole = build(tmp_path / "whole", source)
    source.asked.clear()

    def failing(first):
        yield from source._items[first:9]
        raise OSError("the cable")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "items", failing)
        with pytest.raises(UsageError, match="the cable"):
            build(tmp_path / "part", source)
    assert names(tmp_path) == [".part.building", "whole"]
    continued = build(tmp_path / "part", source)
    assert source.asked == [8]
    assert continued == whole | {"name": "part"}
    assert contents(tmp_path / "part").keys() == contents(tmp_path / "whole").keys()
    verify(tmp_path / "part")


def test_what_another_source_left_half_done_is_not_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "_NOTED", 1)
    left = tmp_path / ".few.building"
    left.mkdir()
    (left / "done.json").write_text(json.dumps({"about": {"source": "another"}, "rows": 3}))
    source = Few(list(GeneratedProducts(5).items(0)))
    build(tmp_path / "few", source)
    assert source.asked == [0]


def test_a_build_that_is_killed_is_continued_and_comes_out_the_same(tmp_path, monkeypatch):
    process = started(tmp_path / "killed", 15_000)
    notes = tmp_path / ".killed.building/done.json"
    until = time.monotonic() + 120
    while not notes.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    rows = json.loads(notes.read_bytes())["rows"]
    assert 0 < rows < 15_000
    assert not (tmp_path / "killed").exists()
    asked = []
    items = GeneratedProducts.items
    monkeypatch.setattr(GeneratedProducts, "items", lambda self, first: asked.append(first) or items(self, first))
    build(tmp_path / "killed", GeneratedProducts(15_000))
    assert asked == [rows]
    verify(tmp_path / "killed")
    build(tmp_path / "fresh", GeneratedProducts(15_000))
    killed, fresh = contents(tmp_path / "killed"), contents(tmp_path / "fresh")
    killed.pop(MANIFEST), fresh.pop(MANIFEST)
    assert killed == fresh


def test_of_two_that_build_at_once_one_waits_and_takes_what_the_other_built(tmp_path):
    place = tmp_path / "both"
    processes = [started(place, 4000) for _ in range(2)]
    said = [process.communicate(timeout=200)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sorted(said) == ["", f"Another run is building {place}; waiting for it.\n"]
    verify(place)
    assert names(tmp_path) == ["both"]


@pytest.mark.parametrize("room", [2_000, 200_000, 1_600_000])
def test_a_full_disk_is_an_error_that_leaves_nothing_half_written(tmp_path, small_disk, room):
    place = tmp_path / "shop"
    with small_disk(room), pytest.raises(DataError, match="full"):
        build(place, GeneratedProducts(1500))
    assert not place.exists()
    build(place, GeneratedProducts(1500))
    verify(place)
    assert names(tmp_path) == ["shop"]


def test_a_full_disk_leaves_the_old_folder_as_it_was(tmp_path, small_disk):
    place = tmp_path / "shop"
    build(place, GeneratedProducts(100))
    before = contents(place)
    with small_disk(200_000), contextlib.suppress(DataError):
        build(place, GeneratedProducts(1500))
    assert contents(place) == before


def test_where_nothing_can_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="Cannot write to"):
        build(tmp_path / "file/shop", GeneratedProducts(1))
