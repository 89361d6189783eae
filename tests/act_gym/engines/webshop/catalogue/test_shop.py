import json
import os
import shutil
import time

import pytest

from act_gym.engines.webshop.catalogue import open_shop
from act_gym.engines.webshop.catalogue.generated import make
from act_gym.errors import CorruptDataError, MissingDataError, UnknownNameError
from tests.act_gym.engines.webshop.catalogue.conftest import ROW, write_files


def test_a_generated_shop_is_made_when_it_is_first_asked_for(cache):
    shop = open_shop("generated-20")
    assert (cache / "generated-20").is_dir()
    assert (shop.name, len(shop.products), len(shop.checksum)) == ("generated-20", 20, 64)
    assert shop.manifest["nouns"] == {"model": "none: the products have them"}
    assert shop.instructions(False) is shop.instructions(False)
    changed = (cache / "generated-20/manifest.json").stat().st_mtime_ns
    again = open_shop("generated-20")
    assert again.checksum == shop.checksum
    assert (cache / "generated-20/manifest.json").stat().st_mtime_ns == changed


def test_a_seed_can_be_given(cache):
    assert open_shop("generated-5-7").products.product(0) != open_shop("generated-5").products.product(0)
    assert {path.name for path in cache.iterdir() if path.is_dir()} == {"generated-5", "generated-5-7"}


def test_a_generated_shop_of_another_version_or_damaged_is_made_anew(cache, monkeypatch):
    open_shop("generated-5")
    (cache / "generated-5/search/search.json").write_text("{}")
    assert len(open_shop("generated-5").search.search("the")) >= 0
    monkeypatch.setattr(make, "VERSION", make.VERSION + 1)
    assert open_shop("generated-5").manifest["source"]["version"] == make.VERSION


@pytest.mark.parametrize("name", ["1000", "full"])
def test_without_its_data_the_error_names_the_command_and_the_way_without(cache, name):
    with pytest.raises(
        MissingDataError, match=rf'act-gym download webshop --catalogue {name}\..*catalogue="generated"'
    ):
        open_shop(name)


def test_a_damaged_official_folder_is_an_error_that_names_the_command(cache, hundred):
    shutil.copytree(hundred, cache / "1000")
    assert len(open_shop("1000").products) == 100
    (cache / "1000/search/ranks.npy").unlink()
    with pytest.raises(CorruptDataError, match=r"ranks\.npy is missing.*act-gym download webshop --catalogue 1000"):
        open_shop("1000")


def test_a_folder_can_be_named_by_its_path(cache, hundred, tmp_path):
    assert len(open_shop(hundred).products) == len(open_shop(str(hundred)).products) == 100
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingDataError, match="Expected the folder of a catalogue"):
        open_shop(tmp_path / "empty")


@pytest.mark.parametrize("name", ["100", "generated-", "generated-0", "generated-x", "nowhere/items.json"])
def test_a_name_that_is_none_is_an_error(cache, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match="No catalogue of WebShop, file or folder"):
        open_shop(name)


def test_a_catalogue_in_webshops_format_is_indexed_when_it_is_first_asked_for(cache, tmp_path, model):
    files = write_files(tmp_path / "mine", [ROW, ROW | {"asin": "nan"}, ROW | {"asin": "B1", "name": None}])
    path = files / "items_shuffle_1000.json"
    shop = open_shop(path)
    assert [product.asin for product in shop.products] == [ROW["asin"]]
    assert shop.manifest["skipped"] == {"no identifier of up to ten letters and digits": 1, "no title": 1}
    assert shop.products.product(0).nouns == ("plain", "cotton", "shirt", "men")
    assert [each.text for each in shop.instructions(True)] == ["i want a shirt."]
    assert [each.goals for each in shop.instructions(False)] == [2]
    checksum = shop.checksum
    assert open_shop(str(path)).checksum == checksum
    path.write_text(json.dumps([ROW | {"name": "Another Shirt"}]))
    os.utime(path, ns=(time.time_ns(), time.time_ns()))
    assert open_shop(path).products.product(0).title == "Another Shirt"


def test_a_catalogue_without_its_other_files_has_products_but_no_goals(cache, tmp_path, model):
    (tmp_path / "alone.json").write_text(json.dumps([ROW]))
    shop = open_shop(tmp_path / "alone.json")
    assert shop.products.product(0).attributes == ("DUMMY_ATTR",)
    assert (len(shop.instructions(True)), len(shop.instructions(False))) == (0, 0)


def test_the_real_catalogue_has_the_goals_it_is_known_to_have(cache, webshop_files, model):
    shop = open_shop(webshop_files / "items_shuffle_1000.json")
    assert len(shop.products) == 1000
    assert shop.manifest["goals"] == {"synthetic": 6910, "human": 13}
    assert len({each.position for each in shop.instructions(False)}) == 415
    assert shop.manifest["skipped"] == {}
