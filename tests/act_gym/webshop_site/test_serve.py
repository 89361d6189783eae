"""The program: what it prints, what it refuses, and how it ends."""

import os
import signal
import socket
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from act_gym.errors import UnknownNameError, UsageError
from act_gym.io.jsonl import read_records
from act_gym.types import Episode
from act_gym.webshop_site.serve import ShopConfig, customers_of, main
from tests.act_gym.webshop_site.browser import Browser

ROOT = Path(__file__).parents[3]


PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test that runs in the background has not
from act_gym.cli import main
sys.exit(main(["shop", *sys.argv[1:]]))
"""


def started(stock, out, *arguments):
    settings = ["--env", "act/WebShop", "--catalogue", str(stock), "--out", str(out), *arguments]
    words = [sys.executable, "-W", "error", "-c", PROGRAM, *settings]
    return Popen(words, stdout=PIPE, stderr=PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_one_address_and_ends_cleanly_with_the_visits_saved_and_the_port_free(stock, tmp_path, number):
    with started(stock, tmp_path / "visits", "--task", "4") as program:
        address = program.stdout.readline().strip()
        visitor = Browser(address)
        assert visitor.path == "/fixed_4"
        visitor.search("black for women")
        visitor.press("Next >")
        os.kill(program.pid, number)
        rest, log = program.communicate(timeout=30)
    assert (program.returncode, rest) == (0, "")
    assert "Traceback" not in log
    assert "The shop is closed." in log
    assert address.partition("token=")[2] not in log
    (record,) = read_records(tmp_path / "visits" / "episodes.jsonl")
    assert [turn.action for turn in Episode.from_json(record).turns] == ["search[black for women]", "click[next >]"]
    port = int(visitor.host.partition(":")[2])
    with started(stock, tmp_path / "visits", "--port", str(port)) as again:  # at once
        assert f":{port}/?token=" in again.stdout.readline()
        again.terminate()


def test_a_port_and_a_folder_have_one_shop(open_shop, stock, tmp_path, capsys):
    with open_shop() as running:
        taken = ["--env", "act/WebShop", "--catalogue", str(stock), "--out", str(running.out)]
        with pytest.raises(UsageError, match=r"Another act-gym shop records its visits in .*Choose another --out"):
            main(taken)
        port = str(running.server.guard.port)
        with pytest.raises(UsageError, match=r"Cannot use port \d+ of 127.0.0.1: Address already in use"):
            main([*taken[:-1], str(tmp_path / "other"), "--port", port])
        assert Browser(running.address).status == 200
    with open_shop():
        pass  # the folder is free again
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"env": "act/ScienceWorld-seen"}, "is no shop"),
        ({"env": "act/WebShop-tets"}, "Did you mean act/WebShop-test"),
        ({"max_turns": -1}, "--max-turns is 0"),
        ({"port": -1}, "--port 0"),
        ({"max_turns": 3, "step_limit": "eto"}, "two ways to say the same"),
        ({"step_limit": "etoo"}, "Did you mean eto"),
        ({"catalogue": "/nowhere"}, "No catalogue of WebShop"),
        ({"observation_mode": "smell"}, "No observation mode"),
        ({"out": Path("/dev/null/x")}, "Cannot record visits"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_opens(stock, tmp_path, settings, message):
    settings = {"catalogue": str(stock), "out": tmp_path / "visits"} | settings
    with pytest.raises((UsageError, UnknownNameError), match=message):
        customers_of(ShopConfig(**settings))


def test_a_task_that_is_not_there_is_refused(stock, tmp_path):
    with pytest.raises(UsageError, match=r"There is no task 99999 in act/WebShop. Expected the number of a goal, 0 to"):
        main(["--env", "act/WebShop", "--catalogue", str(stock), "--out", str(tmp_path), "--task", "99999"])


def test_a_port_beyond_all_is_refused(stock, tmp_path):
    with pytest.raises(UsageError, match=r"Cannot use port 70000 of 127\.0\.0\.1"):
        main(["--env", "act/WebShop", "--catalogue", str(stock), "--out", str(tmp_path), "--port", "70000"])


def test_a_full_disk_stops_no_visit_and_is_written_when_there_is_room(open_shop, small_disk, capfd):
    with open_shop() as running:
        visitor = Browser(running.address).get("/fixed_0").search("black for women")
        with small_disk(100):
            visitor.press("Leave")
        assert "not saved" in visitor.html
        assert (running.out / "episodes.jsonl").stat().st_size == 0
        with socket.create_connection(("127.0.0.1", running.server.guard.port)):
            visitor.get("/fixed_1").search("black").press("Leave")
        assert "saved in" in visitor.html
        goals = [record["task"]["payload"]["goal"] for record in read_records(running.out / "episodes.jsonl")]
    assert goals == [0, 1]
    assert "could not be saved" in capfd.readouterr().err
