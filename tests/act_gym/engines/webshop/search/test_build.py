"""Building: in one go, in several, by several, after a kill, on a full disk; always the same bytes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from act_gym.engines.webshop.search import SearchIndex, build, verify
from act_gym.errors import DataError, MissingDataError, UsageError

RUN = 1 << 16  # documents; what a run is cut to


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def short(number):
    """More documents than one run has, and quickly read ones."""
    return [f"shirt {place % 997} brand{place % 31} {'red ' * (place % 3)}" for place in range(number)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An index of three runs, built in one go."""
    folder = tmp_path_factory.mktemp("whole") / "search"
    build(short(2 * RUN + 10), folder)
    return folder


def test_an_index_knows_its_documents_and_leaves_no_runs(whole):
    verify(whole)
    index = SearchIndex(whole)
    assert len(index) == 2 * RUN + 10
    assert not (whole / "runs").exists()
    having_both = {place for place in range(2 * RUN) if place % 997 == 996 and place % 31 == 30}
    assert set(index.search("996 brand30", len(having_both))) == having_both


def test_documents_of_later_runs_are_found(whole):
    last = 2 * RUN + 9
    index = SearchIndex(whole)
    assert last in index.search(f"{last % 997} brand{last % 31}", 400)


def test_other_processes_build_the_same_bytes(whole, tmp_path):
    done = []
    build(iter(short(2 * RUN + 10)), tmp_path / "search", workers=2, progress=done.append)
    assert contents(tmp_path / "search") == contents(whole)
    assert sorted(done) == [10, RUN, RUN]


def test_a_failing_source_leaves_nothing_that_opens_and_its_runs_are_used_again(whole, tmp_path):
    folder = tmp_path / "search"

    def failing():
        yield from short(RUN + 5)
        raise RuntimeError("the source broke down")

    with pytest.raises(RuntimeError, match="broke down"):
        build(failing(), folder)
    with pytest.raises(MissingDataError):
        SearchIndex(folder)
    (first,) = (folder / "runs").iterdir()
    written = first.stat().st_mtime_ns
    seen = []
    build(short(2 * RUN + 10), folder, progress=lambda _: seen.append(first.stat().st_mtime_ns))
    assert seen == [written] * 3
    assert contents(folder) == contents(whole)


def test_runs_of_other_documents_are_not_used(whole, tmp_path):
    folder = tmp_path / "search"
    with pytest.raises(UsageError, match="names"):
        build([f"{text} other" for text in short(RUN)], folder, names=["one"])
    build(short(2 * RUN + 10), folder)
    assert contents(folder) == contents(whole)


_KILLED = """
import sys
from pathlib import Path
from act_gym.engines.webshop.search import build

def documents():
    for place in range(2 * {run} + 10):
        yield f"shirt {{place % 997}} brand{{place % 31}} {{'red ' * (place % 3)}}"
        if place == {run} + 5:
            print("amid", flush=True)
            sys.stdin.read()

if __name__ == "__main__":
    build(documents(), Path({folder!r}), workers={workers})
"""


def killed_amid(folder, script, workers):
    """Build in another process, kill it when it reads its second run, and return when all it started has ended."""
    script.write_text(_KILLED.format(run=RUN, folder=str(folder), workers=workers))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[5])}
    command = [sys.executable, script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"amid\n"
        process.send_signal(signal.SIGKILL)
        assert process.stdout.read() == b""  # which the processes that it started would hold open
        process.wait()


def test_a_killed_build_goes_on_and_ends_with_the_same_bytes(whole, tmp_path):
    folder = tmp_path / "search"
    killed_amid(folder, tmp_path / "script.py", workers=0)
    with pytest.raises(MissingDataError):
        SearchIndex(folder)
    assert len(list((folder / "runs").glob("*.npz"))) == 1
    build(short(2 * RUN + 10), folder)
    assert contents(folder) == contents(whole)


def test_the_processes_of_a_killed_build_end_and_what_they_left_is_no_hindrance(whole, tmp_path):
    folder = tmp_path / "search"
    killed_amid(folder, tmp_path / "script.py", workers=2)
    build(short(2 * RUN + 10), folder)
    assert contents(folder) == contents(whole)


def test_a_full_disk_is_an_error_with_a_cure_and_the_next_build_goes_on(whole, tmp_path, small_disk):
    folder = tmp_path / "search"
    with pytest.raises(DataError, match=r"is full .*it goes on from here"), small_disk(1 << 20):
        build(short(2 * RUN + 10), folder)
    with pytest.raises(MissingDataError):
        SearchIndex(folder)
    assert not list((folder / "runs").glob("*.part"))
    build(short(2 * RUN + 10), folder)
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
