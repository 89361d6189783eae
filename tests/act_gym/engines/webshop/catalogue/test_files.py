import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.engines.webshop.catalogue import files
from act_gym.engines.webshop.catalogue.files import read_array
from act_gym.errors import CorruptDataError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def written(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("arrays") / "array.json"
    path.write_bytes(content)
    return path


@given(
    st.lists(JSON, max_size=5),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from([None, 1]),
    st.sampled_from(["", " \n"]),
)
def test_elements_come_one_by_one_whatever_the_blocks(tmp_path_factory, values, block, escaped, indent, around):
    text = around + json.dumps(values, ensure_ascii=escaped, indent=indent) + around
    path = written(tmp_path_factory, text.encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_BLOCK", block)
        assert list(read_array(path)) == values


def test_a_number_at_the_end_of_a_block_is_read_whole(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(files, "_BLOCK", 3)
    assert list(read_array(written(tmp_path_factory, b"[12345, 1.5e3, -7]"))) == [12345, 1.5e3, -7]


def test_progress_is_told_in_bytes(tmp_path_factory):
    path = written(tmp_path_factory, b"[1, 2]")
    told = []
    assert list(read_array(path, told.append)) == [1, 2]
    assert told == [6]


def test_bytes_that_are_no_text_spoil_one_element(tmp_path_factory):
    path = written(tmp_path_factory, b'["good", "b\xffd", "\xc3\xa9"]')
    assert list(read_array(path)) == ["good", "b\udcffd", "é"]


def test_a_byte_order_mark_is_no_harm(tmp_path_factory):
    assert list(read_array(written(tmp_path_factory, b"\xef\xbb\xbf[1]"))) == [1]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "ends before"),
        (b"[", "ends before"),
        (b"[1, 2", "ends before"),
        (b'[1, {"a": ', "Expecting value"),
        (b"[1 2]", "expected ','"),
        (b"[1,]", "Expecting value"),
        (b"{}", r"expected '\['"),
        (b"<!DOCTYPE html>", r"expected '\['"),
        (b"[1] [2]", "something stands behind"),
        (b"[1]\n\n x", "something stands behind"),
        (b"[" * 100_000, "RecursionError"),
    ],
)
def test_what_is_no_array_is_an_error_that_says_where(tmp_path_factory, content, why):
    with pytest.raises(CorruptDataError, match=f"behind element [0-9]+, near byte [0-9]+: .*{why}"):
        list(read_array(written(tmp_path_factory, content)))


def test_an_element_that_never_ends_is_given_up(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(files, "_BLOCK", 100)
    monkeypatch.setattr(files, "MAX_ELEMENT", 1000)
    path = written(tmp_path_factory, b'[1, "' + b"x" * 100_000)
    read = []
    with pytest.raises(CorruptDataError, match="behind element 1, "):
        list(read_array(path, read.append))
    assert read[-1] < 5000, "it does not go through the whole file"


def test_what_came_before_damage_is_given(tmp_path_factory):
    elements = read_array(written(tmp_path_factory, b"[1, 2, oops]"))
    assert [next(elements), next(elements)] == [1, 2]
    with pytest.raises(CorruptDataError):
        next(elements)
