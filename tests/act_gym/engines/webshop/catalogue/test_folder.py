import json
import pickle
import shutil

import pytest

from act_gym.engines.webshop.catalogue.folder import (
    FORMAT,
    MANIFEST,
    Instructions,
    Lines,
    LineWriter,
    Products,
    read_manifest,
    verify,
)
from act_gym.engines.webshop.catalogue.generated import GeneratedProducts
from act_gym.errors import CorruptDataError, MissingDataError

CURE = "Run: the cure"


@pytest.fixture
def copy(hundred, tmp_path):
    return shutil.copytree(hundred, tmp_path / "copy")


def test_products_are_what_the_source_gave_in_its_order(hundred):
    products = Products(hundred)
    expected = [item.product for item in GeneratedProducts(100).items(0)]
    assert len(products) == 100
    assert list(products) == expected
    assert [products.product(position) for position in reversed(range(100))] == expected[::-1]


def test_a_product_is_found_by_its_identifier(hundred):
    products = Products(hundred)
    assert [products.position(products.product(at).asin) for at in range(100)] == list(range(100))
    known = {product.asin for product in products}
    for asin in (
        "",
        "0",
        "nan",
        "B000000000",
        "ZZZZZZZZZZ",
        "ZZZZZZZZZZZZ",
        "é",
        "\ud800",
        *(name[:-1] for name in known),
    ):
        assert products.position(asin) is None


@pytest.mark.parametrize("position", [-1, 100, 10**9])
def test_where_there_is_no_product_is_an_index_error(hundred, position):
    with pytest.raises(IndexError):
        Products(hundred).product(position)


def test_instructions_are_a_sequence_in_the_order_of_the_products(hundred):
    instructions = Instructions(hundred, human=False)
    entries = [(at, item.entry) for at, item in enumerate(GeneratedProducts(100).items(0)) if item.entry]
    assert [(each.position, each.text) for each in instructions] == [
        (at, entry["instruction"]) for at, entry in entries
    ]
    assert instructions[-1] == instructions[len(instructions) - 1]
    assert instructions[1:3] == [instructions[1], instructions[2]]
    assert sum(each.goals for each in instructions) == read_manifest(hundred, cure="")["goals"]["synthetic"]
    with pytest.raises(IndexError):
        instructions[len(instructions)]
    assert list(Instructions(hundred, human=True)) == []


def test_a_whole_folder_is_verified(hundred):
    verify(hundred)
    manifest = read_manifest(hundred, cure=CURE)
    assert (manifest["products"], manifest["rows"], manifest["skipped"]) == (100, 100, {})
    there = {path.relative_to(hundred).as_posix() for path in hundred.rglob("*") if path.is_file()}
    assert there == {*manifest["files"], MANIFEST}


def test_no_folder_is_an_error_with_the_cure(tmp_path):
    with pytest.raises(MissingDataError, match=CURE) as caught:
        read_manifest(tmp_path / "nowhere", cure=CURE)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    "name", ["products.jsonl", "asins", "synthetic.index", "search/search.json", "search/codes.npy"]
)
def test_a_file_that_is_cut_off_or_gone_is_an_error_with_the_cure(copy, name):
    path = copy / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptDataError, match=rf"{path.name} has [0-9,]+ bytes; expected [0-9,]+\. {CURE}"):
        read_manifest(copy, cure=CURE)
    path.unlink()
    with pytest.raises(CorruptDataError, match=f"{path.name} is missing. {CURE}"):
        read_manifest(copy, cure=CURE)


def test_another_byte_in_a_small_file_is_an_error(copy):
    path = copy / "products.jsonl"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Soft", b"Hard", 1))
    assert path.read_bytes() != content
    with pytest.raises(CorruptDataError, match=f"is not what it was when it was built. {CURE}"):
        read_manifest(copy, cure=CURE)
    with pytest.raises(CorruptDataError, match="is not what it was"):
        verify(copy)


def test_a_folder_of_another_format_is_an_error_with_the_cure(copy):
    manifest = json.loads((copy / MANIFEST).read_bytes())
    (copy / MANIFEST).write_text(json.dumps(manifest | {"format": FORMAT + 1}))
    with pytest.raises(CorruptDataError, match=rf"has format {FORMAT + 1}; this version reads format {FORMAT}. {CURE}"):
        read_manifest(copy, cure=CURE)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format"', b"\xff"])
def test_a_manifest_that_is_none_is_an_error_with_the_cure(copy, content):
    (copy / MANIFEST).write_bytes(content)
    with pytest.raises(CorruptDataError, match=CURE):
        read_manifest(copy, cure=CURE)


def test_files_that_do_not_belong_together_are_not_opened(copy):
    (copy / "asins").write_bytes(b"")
    with pytest.raises(CorruptDataError, match="identifiers of 100 products"):
        Products(copy)
    (copy / "products.index").write_bytes(b"\0" * 808)
    with pytest.raises(CorruptDataError, match="not as long as its index says"):
        Products(copy)


def test_a_line_that_is_no_json_is_an_error_that_says_where(tmp_path):
    with_lines = LineWriter(tmp_path, "few")
    for content in ("one", {"two": 2}):
        with_lines.write(content)
    for file in with_lines.files():
        file.close()
    lines = Lines(tmp_path, "few")
    assert [lines.read(0), lines.read(1)] == ["one", {"two": 2}]
    path = tmp_path / "few.jsonl"
    path.write_bytes(path.read_bytes().replace(b'{"two"', b'{"two '))
    with pytest.raises(CorruptDataError, match=r"few.jsonl is damaged at byte 6"):
        Lines(tmp_path, "few").read(1)


def test_lines_are_taken_up_where_they_were_known_to_be(tmp_path):
    first = LineWriter(tmp_path, "few")
    first.write("one")
    size = first.size
    first.write("torn")
    for file in first.files():
        file.close()
    second = LineWriter(tmp_path, "few", lines=1, size=size)
    second.write("two")
    for file in second.files():
        file.close()
    lines = Lines(tmp_path, "few")
    assert [lines.read(at) for at in range(len(lines))] == ["one", "two"]
