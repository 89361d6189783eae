import fcntl
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import gymnasium as gym
import pytest

from act_gym.cli import main as command_line
from act_gym.cli.download import main
from act_gym.engines.alfworld import download
from act_gym.engines.alfworld.download import ReleaseFile, count_games, install
from act_gym.errors import CorruptDataError, DownloadError, UnknownNameError, UsageError
from act_gym.splits.alfworld import tasks

KINDS = ("game.tw-pddl", "traj_data.json", "initial_state.pddl")
GAMES = [task.payload["game"] for task in tasks()]
FEW = GAMES[:2] + GAMES[-3:]  # two of training, three unseen


DOMAIN = """(define (domain tiny) (:types agent) (:predicates (done ?a - agent))
    (:action finish :parameters (?a - agent) :precondition () :effect (done ?a)))"""
GRAMMAR = """grammar :: \"""{"intro": [{"rhs": "Your task is to: finish."}]}\""";
action finish { template :: "finish"; feedback :: "Done."; }"""


def content(game, kind):
    """A file of a game in which one command wins; what is no game file is a few words."""
    if kind != "game.tw-pddl":
        return f"{kind} of {game}".encode()
    problem = f"(define (problem {game}) (:domain tiny) (:objects me - agent) (:init) (:goal (done me)))"
    return json.dumps({"pddl_domain": DOMAIN, "grammar": GRAMMAR, "pddl_problem": problem}).encode()


def zipped(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(path, names, kinds=KINDS):
    with tarfile.open(path, "w") as archive:
        for game in names:
            for kind in kinds:
                info = tarfile.TarInfo(f"json_2.1.1/{game}/{kind}")
                info.size = len(content(game, kind))
                archive.addfile(info, io.BytesIO(content(game, kind)))
    return path


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """An archive with every game file, each one a few bytes, and some files that are not wanted."""
    path = tmp_path_factory.mktemp("archives") / "full.tar"
    return tarred(path, [*GAMES, "valid_train/pick-a-b-c-1/trial_1", "train/foreign/trial_2"], KINDS[:1])


@pytest.fixture(scope="session")
def contents():
    """The three release files with every game, each one a few bytes."""
    return {
        f"/1.0/{kind}.zip": zipped((f"json_2.1.1/{game}/{kind}", content(game, kind)) for game in GAMES)
        for kind in KINDS
    }


@pytest.fixture
def release(server, contents):
    server.files.update(contents)
    return tuple(
        ReleaseFile(path.removeprefix("/"), len(data), hashlib.sha256(data).hexdigest(), Path(path).stem, 3827 * 100)
        for path, data in contents.items()
    )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache/alfworld"


def files(cache):
    """Everything in the cache but the lock and the store, which comes and goes with the games."""
    found = {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file()}
    assert ("json_2.1.1/games.sqlite" in found) == any(name.startswith("json") for name in found)
    return found - {".lock", "json_2.1.1/games.sqlite"}


def expected(names=GAMES, kinds=KINDS):
    return {f"json_2.1.1/{game}/{kind}" for game in names for kind in kinds}


def few(tmp_path):
    return str(tarred(tmp_path / "few.tar", FEW))


def test_the_official_release_is_the_published_one():
    assert [(file.address, file.size, file.sha256[:8]) for file in download.RELEASE] == [
        ("0.4.2/json_2.1.3_tw-pddl.zip", 36_507_267, "5df77ea7"),
        ("0.2.2/json_2.1.1_json.zip", 72_018_818, "25171f16"),
        ("0.2.2/json_2.1.1_pddl.zip", 34_881_784, "913942eb"),
    ]
    assert download.BASE_URL == "https://github.com/alfworld/alfworld/releases/download"


def test_the_release_is_fetched_checked_unpacked_and_its_archives_deleted(cache, server, release):
    server.breaks = [10_000, 20_000]  # and taken up where they broke
    said = install(release=release, base_url=server.url("/"), pause=0.01)
    ready = f"ALFWorld is ready: 3,553 train, 140 seen, 134 unseen games in {cache / 'json_2.1.1'}."
    assert said.startswith(f"{ready} 3,827 are prepared to start at once (")
    assert files(cache) == expected()
    for game in FEW:
        for kind in KINDS:
            assert (cache / "json_2.1.1" / game / kind).read_bytes() == content(game, kind)
    asked = len(server.asked)
    assert "complete already" in install(release=release, base_url=server.url("/"))
    assert "complete already" in install(release=release, base_url=server.url("/"), games_only=True)
    assert len(server.asked) == asked


def test_games_only_fetches_one_file_and_is_not_complete_without_it(cache, server, release):
    install(release=release, base_url=server.url("/"), games_only=True)
    assert len(server.asked) == 1
    assert files(cache) == expected(kinds=KINDS[:1])
    with pytest.raises(DownloadError, match="404"):
        install(release=release, base_url=server.url("/nowhere"))
    assert "complete already" in install(release=release, base_url=server.url("/nowhere"), games_only=True)


@pytest.mark.parametrize("damage", ["byte", "size", "404", "incomplete"])
def test_nothing_is_unpacked_from_a_wrong_release_and_what_was_there_stays(cache, server, release, tmp_path, damage):
    install(few(tmp_path))
    before = files(cache)
    release = release[:2]
    address = "/" + release[-1].address
    data = server.files[address]
    if damage == "byte":
        server.files[address] = data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]
    elif damage == "size":
        server.files[address] = data[:-1]
    elif damage == "404":
        del server.files[address]
    else:
        short = zipped([(f"{FEW[0]}/traj_data.json", b"x")])
        server.files[address] = short
        release = (release[0], ReleaseFile(address[1:], len(short), hashlib.sha256(short).hexdigest(), KINDS[1], 1))
    with pytest.raises(DownloadError if damage == "404" else CorruptDataError):
        install(release=release, base_url=server.url("/"), pause=0.01)
    assert expected(FEW) == before == {name for name in files(cache) if name.startswith("json")}
    if damage == "byte":  # the good file need not be fetched again
        server.files[address] = data
        server.asked.clear()
        install(release=release, base_url=server.url("/"))
        assert len(server.asked) == 1
        assert files(cache) == expected(kinds=KINDS[:2])


def test_the_real_checksums_refuse_what_a_mirror_serves_instead(cache, server, capfd):
    for file in download.RELEASE:
        server.files["/" + file.address] = b"not the release"
    status = command_line(["download", "alfworld", "--base-url", server.url("")])
    assert status == 1
    assert "expected 36,507,267" in capfd.readouterr().err
    assert not (cache / "json_2.1.1").exists()


@pytest.mark.parametrize("form", ["path", "folder", "inner folder", "file", "http"])
def test_a_source_may_be_an_archive_a_folder_or_an_address(cache, server, tmp_path, capfd, form):
    archive = few(tmp_path)
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "folder", filter="data")
    server.files["/a/few.tar"] = Path(archive).read_bytes()
    source = {
        "path": archive,
        "folder": str(tmp_path / "folder"),
        "inner folder": str(tmp_path / "folder/json_2.1.1"),
        "file": Path(archive).as_uri(),
        "http": server.url("/a/few.tar"),
    }[form]
    assert main(["alfworld", "--source", source]) == 0
    shown = capfd.readouterr()
    assert "2 of 3,553 train, 0 of 140 seen, 3 of 134 unseen" in shown.out
    assert "5 of 3,827 games" in shown.err
    assert files(cache) == expected(FEW)
    assert count_games(cache / "json_2.1.1") == {"train": 2, "seen": 0, "unseen": 3}


def test_a_complete_source_is_taken_and_what_is_not_ours_left_out(cache, full, capfd):
    assert main(["alfworld", "--games-only", "--source", str(full)]) == 0
    assert capfd.readouterr().err == ""  # no bar, no note: this is not a terminal
    assert files(cache) == expected(kinds=KINDS[:1])


def test_fewer_games_never_replace_more_unless_forced(cache, tmp_path):
    install(few(tmp_path))
    fewer = str(tarred(tmp_path / "fewer.tar", FEW[:1]))
    with pytest.raises(UsageError, match=r"fewer games \(1\) than .* \(5\).*--force"):
        install(fewer)
    assert files(cache) == expected(FEW)
    install(fewer, force=True)
    assert files(cache) == expected(FEW[:1])


@pytest.mark.parametrize("name", ["json_2.1.1/../../../../escape", "/tmp/escape"])
def test_an_archive_that_leads_out_changes_nothing(cache, tmp_path, name):
    install(few(tmp_path))
    evil = tmp_path / "evil.zip"
    evil.write_bytes(zipped([*((f"{game}/{KINDS[0]}", b"x") for game in FEW), (name, b"x")]))
    with pytest.raises(CorruptDataError, match="not unpacked"):
        install(str(evil))
    assert {name for name in files(cache) if name.startswith("json")} == expected(FEW)
    assert not list(tmp_path.rglob("escape*"))


def test_a_symbolic_link_in_an_archive_changes_nothing(cache, tmp_path):
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as archive:
        link = tarfile.TarInfo(f"json_2.1.1/{FEW[0]}")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo(f"json_2.1.1/{FEW[0]}/game.tw-pddl"))
    with pytest.raises(CorruptDataError, match="a link"):
        install(str(evil))
    assert not (tmp_path / "game.tw-pddl").exists()
    assert not (cache / "json_2.1.1").exists()


def test_what_holds_no_games_is_refused(cache, tmp_path):
    other = tmp_path / "other.zip"
    other.write_bytes(zipped([("readme.txt", b"hello")]))
    with pytest.raises(CorruptDataError, match=r"none of ALFWorld's 3,827 games"):
        install(str(other))
    with pytest.raises(UsageError, match="No file or folder"):
        install(str(tmp_path / "nowhere"))


def test_a_full_disk_is_said_and_nothing_half_done_stays(cache, tmp_path, small_disk):
    big = tmp_path / "big.zip"
    big.write_bytes(zipped([(f"{FEW[0]}/game.tw-pddl", bytes(600_000))]))
    install(few(tmp_path))
    with small_disk(500_000), pytest.raises(DownloadError, match=r"full.*ACT_GYM_DATA"):
        install(str(big), force=True)
    assert files(cache) == expected(FEW)


def test_too_little_room_is_said_before_anything_is_fetched(cache, server, release):
    huge = (ReleaseFile(release[0].address, release[0].size, release[0].sha256, KINDS[0], 10**18),)
    with pytest.raises(DownloadError, match="MB more are needed"):
        install(release=huge, base_url=server.url("/"))
    assert server.asked == []


def start(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "act_gym.cli.download", "alfworld", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        if time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"Nothing happened within a minute: {process.communicate()}")
        time.sleep(0.001)


def test_a_run_killed_while_it_unpacks_leaves_the_old_games_and_the_next_one_finishes(cache, full, tmp_path):
    install(few(tmp_path))
    with start("--games-only", "--source", str(full)) as process:
        wait_for(lambda: any((cache / ".unpacking").rglob(KINDS[0])), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert {name for name in files(cache) if name.startswith("json")} == expected(FEW)
    assert any(name.startswith(".unpacking") for name in files(cache))
    install(str(full), games_only=True)
    assert files(cache) == expected(kinds=KINDS[:1])


def test_a_run_killed_while_it_fetches_does_no_harm(cache, server, release, full):
    server.files["/full.tar"] = full.read_bytes()
    server.stalls = 1_000_000
    with start("--games-only", "--source", server.url("/full.tar")) as process:
        wait_for(lambda: any(path.stat().st_size for path in cache.glob("archives/*.part")), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    server.stalls = None
    install(server.url("/full.tar"), games_only=True)  # without a checksum it is fetched from the start
    assert files(cache) == expected(kinds=KINDS[:1])


def test_a_run_killed_between_the_two_renames_gets_the_old_games_back(cache, tmp_path):
    install(few(tmp_path))
    (cache / "json_2.1.1").rename(cache / ".old")
    (cache / ".unpacking").mkdir()
    with pytest.raises(UsageError, match="fewer games"):
        install(str(tarred(tmp_path / "fewer.tar", FEW[:1])))
    assert {name for name in files(cache) if name.startswith("json")} == expected(FEW)


def test_a_second_run_waits_for_the_first(cache, tmp_path):
    source = few(tmp_path)
    cache.mkdir(parents=True)
    handle = os.open(cache / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with start("--source", source) as process:
        assert process.stderr is not None
        assert "waiting for it" in process.stderr.readline()
        assert not (cache / "json_2.1.1").exists()
        os.close(handle)
        out, _ = process.communicate(timeout=60)
    assert "2 of 3,553 train" in out
    assert files(cache) == expected(FEW)


def test_names_are_understood_and_unknown_ones_get_suggestions(cache, capfd):
    assert main(["scienceworld"]) == 0
    assert "needs no download" in capfd.readouterr().out
    with pytest.raises(UnknownNameError, match="Did you mean alfworld"):
        main(["alfwrld"])


def test_a_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match="Cannot write"):
        install(str(tmp_path))


def test_games_are_prepared_and_what_is_prepared_is_enough_to_play(cache, tmp_path):
    said = install(few(tmp_path))
    assert re.search(r" 5 are prepared to start at once \(0\.\d MB in games\.sqlite\)\.$", said)
    for game in FEW:
        (cache / "json_2.1.1" / game / KINDS[0]).unlink()
    env = gym.make("act/ALFWorld")
    _, info = env.reset(options={"task_id": f"alfworld/{FEW[0]}"})
    assert info["goal"] == "finish."
    assert env.step("finish")[4]["success"]
    env.close()


def test_complete_games_without_a_store_that_can_be_read_only_get_a_new_one(cache, full):
    install(str(full), games_only=True)
    store, leftover = cache / "json_2.1.1/games.sqlite", cache / "json_2.1.1/.games.sqlite.1234"
    good = store.read_bytes()
    leftover.write_bytes(b"left by a killed run")
    for bad in (b"", good[: len(good) // 2][::-1], None):
        store.unlink() if bad is None else store.write_bytes(bad)
        said = install(str(full), games_only=True)
        assert re.search(r"complete already: .* 3,827 are prepared to start at once \(.*\)\. --force fetches", said)
        assert store.read_bytes() == good
    assert "prepared" not in install(str(full), games_only=True)
    assert not leftover.exists()


def test_games_that_cannot_be_prepared_are_said_and_installed_all_the_same(cache, tmp_path, capfd):
    source = tmp_path / "source"
    for game in FEW:
        (source / game).mkdir(parents=True)
        (source / game / KINDS[0]).write_bytes(content(game, KINDS[0]))
    foreign = source / FEW[1] / KINDS[0]
    foreign.write_bytes(foreign.read_bytes().replace(b"(done ?a)))", b"(increase (cost) 1)))"))
    said = install(str(source))
    shown = capfd.readouterr().err
    assert f"{FEW[1]} was not prepared: " in shown
    assert 'engine="textworld"' in shown
    assert " 4 are prepared to start at once" in said
    foreign.write_bytes(b"no game")
    assert " 4 are prepared to start at once" in install(str(source))
    assert "is not JSON" in capfd.readouterr().err
    assert count_games(cache / "json_2.1.1") == {"train": 2, "seen": 0, "unseen": 3}


def test_a_disk_too_full_for_the_store_is_said_and_the_games_are_installed(cache, tmp_path, small_disk, capfd):
    source = few(tmp_path)
    with small_disk(3_000):
        assert "prepared" not in install(source)
    assert "Note: the games were not prepared, so each one takes longer to start: " in capfd.readouterr().err
    found = {path.name for path in (cache / "json_2.1.1").iterdir()}
    assert found == {"train", "valid_unseen"}
