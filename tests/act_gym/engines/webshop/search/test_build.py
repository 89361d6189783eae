"""Building: whole or not at all, and always the same bytes."""

import pytest

from act_gym.engines.webshop.search import SearchIndex, build, verify
from act_gym.errors import MissingDataError, UsageError

BATCH = 1 << 16  # documents that are counted together


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def short(number):
    """Many documents, quickly read ones."""
    return [f"shirt {place % 997} brand{place % 31} {'red ' * (place % 3)}" for place in range(number)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An index of three batches."""
    folder = tmp_path_factory.mktemp("whole") / "search"
    build(short(2 * BATCH + 10), folder)
    return folder


def test_an_index_knows_its_documents(whole):
    verify(whole)
    index = SearchIndex(whole)
    assert len(index) == 2 * BATCH + 10
    having_both = {place for place in range(2 * BATCH) if place % 997 == 996 and place % 31 == 30}
    assert set(index.search("996 brand30", len(having_both))) == having_both


def test_documents_of_later_batches_are_found(whole):
    last = 2 * BATCH + 9
    index = SearchIndex(whole)
    assert last in index.search(f"{last % 997} brand{last % 31}", 400)


def test_a_failing_source_leaves_nothing_that_opens(whole, tmp_path):
    folder = tmp_path / "search"

    def failing():
        yield from short(BATCH + 5)
        raise RuntimeError("the source broke down")

    with pytest.raises(RuntimeError, match="broke down"):
        build(failing(), folder)
    with pytest.raises(UsageError, match="names"):
        build(short(5), folder, names=["one"])
    with pytest.raises(MissingDataError):
        SearchIndex(folder)
    seen = []
    build(iter(short(2 * BATCH + 10)), folder, progress=seen.append)
    assert seen == [BATCH, BATCH, 10]
    assert contents(folder) == contents(whole)


def test_a_full_disk_leaves_nothing_that_opens(whole, tmp_path, small_disk):
    folder = tmp_path / "search"
    with pytest.raises(OSError), small_disk(1 << 18):
        build(short(2 * BATCH + 10), folder)
    with pytest.raises(MissingDataError):
        SearchIndex(folder)
    build(short(2 * BATCH + 10), folder)
    assert contents(folder) == contents(whole)


def test_a_folder_that_has_an_index_is_left_alone(whole):
    before = contents(whole)
    with pytest.raises(UsageError, match=r"has a search index already\. Give another folder"):
        build(["shirt"], whole)
    assert contents(whole) == before


def test_names_decide_between_equal_scores_and_may_be_collected_on_the_way(tmp_path):
    names = []

    def documents():
        for name in ("b", "c", "a", "é", "Z"):
            names.append(name)
            yield "red shirt"

    build(documents(), tmp_path / "named", names=names)
    build(["red shirt"] * 5, tmp_path / "unnamed")
    assert SearchIndex(tmp_path / "named").search("shirt") == (4, 2, 0, 1, 3)
    assert SearchIndex(tmp_path / "unnamed").search("shirt") == (0, 1, 2, 3, 4)
