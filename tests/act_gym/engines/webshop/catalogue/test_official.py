import hashlib
import json
import shutil
import zipfile

import pytest

from act_gym.cli.download import main
from act_gym.engines.webshop.catalogue import official, open_shop
from act_gym.engines.webshop.catalogue.folder import verify
from act_gym.engines.webshop.catalogue.official import FILES, OfficialFile, install
from act_gym.errors import (
    CorruptDataError,
    DataError,
    DownloadError,
    MissingDependencyError,
    UnknownNameError,
    UsageError,
)
from tests.act_gym.engines.webshop.catalogue.conftest import ROW, write_files

NAMES = {
    "products": "items_shuffle_1000.json",
    "attributes": "items_ins_v2_1000.json",
    "people": "items_human_ins.json",
}


@pytest.fixture
def source(tmp_path):
    return write_files(tmp_path / "source", [ROW, ROW | {"asin": "B1", "name": None}])


@pytest.fixture
def release(server, source):
    """Official files of two rows, on a server."""
    files = []
    for role, name in NAMES.items():
        content = (source / name).read_bytes()
        server.files[f"/{name}"] = content
        files.append(OfficialFile(role, name, len(content), hashlib.sha256(content).hexdigest(), "nowhere"))
    return files


@pytest.fixture
def fetching(cache, server, release, model):
    """Installs the release from the server."""
    return lambda **more: install(files=release, base_url=server.url("/"), pause=0.01, **more)


def names(cache):
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


def test_the_official_files_are_the_published_ones():
    assert [(file.name, file.size, file.sha256[:8]) for file in (*FILES["1000"], *FILES["full"][:2])] == [
        ("items_shuffle_1000.json", 4_467_013, "30a4765c"),
        ("items_ins_v2_1000.json", 147_099, "f88a3631"),
        ("items_human_ins.json", 5_137_548, "cf786675"),
        ("items_shuffle.json", 5_479_720_229, "2ef591d6"),
        ("items_ins_v2.json", 186_295_270, "1d36af47"),
    ]
    assert FILES["1000"][2] == FILES["full"][2]
    assert FILES["1000"][0].addresses(None) == (
        "https://drive.google.com/uc?id=1EgHdxQ_YxqIQlvvq5iKlCrkEKR6-j0Ib",
        "https://huggingface.co/datasets/YWZBrandon/webshop-data/resolve/main/items_shuffle_1000.json",
    )


def test_the_files_are_fetched_checked_built_and_deleted(fetching, cache, server):
    server.breaks = [100, 200]
    said = fetching()
    assert said == (
        f"WebShop's catalogue is ready: 1 products, 2 synthetic and 1 human goals in {cache / '1000'}; "
        "1 of 2 rows were skipped: 1 no title."
    )
    assert len(server.asked) == 5
    assert names(cache) == ["1000"]
    shop = open_shop("1000")
    assert shop.products.product(0).nouns == ("plain", "cotton", "shirt", "men")
    assert "not_official" not in shop.manifest["details"]
    verify(cache / "1000")


def test_what_is_complete_is_not_fetched_again_unless_it_is_asked_for(fetching, cache, server):
    fetching()
    server.asked.clear()
    assert "is complete already: 1 products" in fetching()
    assert server.asked == []
    assert "is ready" in fetching(force=True)
    assert len(server.asked) == 3
    (cache / "1000/asins").write_bytes(b"another123")
    assert "is ready" in fetching(), "what is damaged is built anew"


def test_the_second_place_is_asked_where_the_first_one_fails(fetching, server, monkeypatch):
    places = [server.url("/gone/{}"), server.url("/{}")]
    monkeypatch.setattr(OfficialFile, "addresses", lambda self, base: [each.format(self.name) for each in places])
    assert "is ready" in fetching()
    places.reverse()
    server.files["/items_shuffle_1000.json"] = b"<html>Quota exceeded</html>"
    with pytest.raises(DownloadError, match=r"any of 2 places.*it is another file.*404.*--source FOLDER"):
        fetching(force=True)


def test_what_could_not_be_fetched_is_kept_and_taken_up(fetching, cache, server):
    server.breaks = [50]
    server.statuses = []
    content = server.files.pop("/items_ins_v2_1000.json")
    with pytest.raises(DownloadError, match="404"):
        fetching()
    assert names(cache) == ["files-1000"]
    server.files["/items_ins_v2_1000.json"] = content
    server.asked.clear()
    assert "is ready" in fetching()
    assert len(server.asked) == 2, "the first file was there"


def test_a_file_with_other_bytes_is_an_error_and_is_deleted(fetching, cache, server):
    content = server.files["/items_shuffle_1000.json"]
    server.files["/items_shuffle_1000.json"] = content[:-2] + b" ]"
    with pytest.raises(CorruptDataError, match="sha256"):
        fetching()
    assert list((cache / "files-1000").iterdir()) == []


def test_a_folder_of_ones_own_is_taken_and_said_to_be_other_bytes(cache, source, model, capsys):
    assert main(["webshop", "--source", str(source)]) == 0
    said = capsys.readouterr().out
    assert said.endswith(
        "; not the official bytes: items_shuffle_1000.json, items_ins_v2_1000.json, items_human_ins.json.\n"
    )
    manifest = open_shop("1000").manifest
    sums = {role: hashlib.sha256((source / name).read_bytes()).hexdigest() for role, name in NAMES.items()}
    assert manifest["details"]["sha256"] == sums
    assert manifest["details"]["not_official"] == list(NAMES.values())
    assert names(cache) == ["1000"]
    assert main(["webshop"]) == 0
    assert "is complete already" in capsys.readouterr().out


def test_an_archive_of_ones_own_is_taken(cache, source, model, tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for name in NAMES.values():
            archive.write(source / name, f"data/{name}")
        archive.writestr("data/other.json", "{}")
    assert "is ready" in install("1000", str(tmp_path / "mine.zip"))
    assert names(cache) == ["1000"]


def test_a_source_may_lack_what_people_asked_for_and_nothing_else(cache, source, model, capsys):
    (source / NAMES["people"]).unlink()
    assert "2 synthetic and 0 human goals" in install("1000", str(source))
    assert "has no items_human_ins.json, so there are no goals that people wrote" in capsys.readouterr().err
    (source / NAMES["attributes"]).unlink()
    with pytest.raises(UsageError, match=r"has no items_ins_v2_1000.json and no items_human_ins.json"):
        install("1000", str(source), force=True)
    with pytest.raises(UsageError, match="No file or folder"):
        install("1000", str(source / "nowhere"))


@pytest.mark.parametrize("content", ["{}", "[]", "[1, 2]", "[" + json.dumps(ROW)])
def test_a_source_that_is_no_catalogue_is_an_error_and_leaves_what_was_there(cache, source, model, content):
    install("1000", str(source))
    (source / NAMES["products"]).write_text(content)
    with pytest.raises(CorruptDataError):
        install("1000", str(source))
    assert len(open_shop("1000").products) == 1


def test_attributes_that_are_no_object_are_an_error(cache, source, model):
    for content in ("[]", "{"):
        (source / NAMES["attributes"]).write_text(content)
        with pytest.raises(CorruptDataError, match="no JSON"):
            install("1000", str(source))


def test_another_model_of_nouns_has_the_folder_built_anew(fetching, server, model):
    fetching()
    server.asked.clear()
    assert "is ready" in fetching(nouns=model)
    assert open_shop("1000").manifest["source"]["nouns"] == model
    assert "is complete already" in fetching(nouns=model)


def test_without_spacy_nothing_is_fetched(cache, server, release, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install .*\[webshop\]"):
        install(files=release, base_url=server.url("/"))
    assert server.asked == []


def test_a_full_disk_is_an_error_before_and_while_it_is_fetched(
    fetching, release, server, cache, small_disk, monkeypatch
):
    with small_disk(100), pytest.raises(DataError, match="full"):
        fetching()
    assert not (cache / "1000").exists()
    assert "is ready" in fetching()
    usage = shutil.disk_usage(cache)
    monkeypatch.setattr(official.shutil, "disk_usage", lambda folder: usage._replace(free=10))
    server.asked.clear()
    with pytest.raises(DownloadError, match=r"is full.*About 0 MB more are needed"):
        fetching(force=True)
    assert server.asked == []


def test_a_generated_shop_can_be_made_ahead(cache, capsys):
    assert main(["webshop", "--catalogue", "generated-30"]) == 0
    assert capsys.readouterr().out.startswith("The shop is ready: 30 products, ")
    assert len(open_shop("generated-30").products) == 30


def test_a_catalogue_that_is_none_is_an_error(cache):
    with pytest.raises(UnknownNameError, match="No catalogue of WebShop to download named 100"):
        install("100")
    with pytest.raises(UnknownNameError, match="webshop"):
        main(["webshops"])
