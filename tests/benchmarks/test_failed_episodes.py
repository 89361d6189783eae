"""An agent or a simulator that fails is no bad player: errors are counted, and never pass for a score."""

import json
from pathlib import Path

import pytest

from act_gym import FailedEpisodesError
from act_gym.cli import run as run_program
from act_gym.io.jsonl import read_records
from benchmarks.compare import main as compare
from benchmarks.evaluate import EarlyStop, main
from benchmarks.leaderboard.program import main as leaderboard
from benchmarks.leaderboard.submission import Entry
from benchmarks.leaderboard.verify import check
from benchmarks.merge import main as merge
from benchmarks.report import main as report
from benchmarks.stats.measurement import Summary

SUITE = "webshop-generated-seen-mini"
AGENT = """
from act_gym import AgentAction

class Broken:
    name = "broken"

    def act(self, views):
        return [self.choose(view) for view in views]

    def choose(self, view):
        raise ZeroDivisionError(f"on {view.task.id}")

class Flaky(Broken):
    name = "flaky"

    def choose(self, view):
        if view.task.id[-1] in "37" and view.history:
            raise ValueError(f"on {view.task.id}")
        return AgentAction(action=view.admissible_commands[-1])
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run of an agent that fails on some tasks, and one of an agent that never does."""
    folder = tmp_path_factory.mktemp("failed")
    (folder / "failing_agent.py").write_text(AGENT, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        words = ["--suite", SUITE, "--workers", "1"]
        assert main([*words, "--agent", "random", "--out", str(folder / "random")]) == 0
        assert main([*words, "--agent", "failing_agent:Flaky", "--out", str(folder / "flaky"), "--plots"]) == 3
        yield folder


def failed_in(folder: Path) -> int:
    return sum(record["stop"] == "agent_error" for record in read_records(folder / "records.jsonl"))


def test_a_run_with_errors_counts_them_and_exits_with_3(runs, capsys):
    errors = failed_in(runs / "flaky")
    assert 0 < errors < 25
    found = {(one.name, one.task_type): one for one in Summary.read(runs / "flaky").measurements}
    assert (found["errors", ""].value, found["errors", ""].n) == (errors, 25)
    assert found["success", ""].low is None
    words = ["--suite", SUITE, "--agent", "failing_agent:Flaky", "--workers", "1", "--out", str(runs / "flaky")]
    assert main([*words, "--resume", "--keep-errors"]) == 3
    out, err = capsys.readouterr()
    (line,) = [line for line in out.splitlines() if line.split()[:1] == [SUITE]]
    assert line.split()[2] == str(errors)
    assert "[" not in line
    assert f"{errors} of 25 episodes ended with an error and count as failures." in err


def test_the_same_error_five_times_in_a_row_stops_a_run(runs, tmp_path, capsys):
    words = ["--suite", SUITE, "--agent", "failing_agent:Broken", "--workers", "1", "--out", str(tmp_path / "run")]
    assert run_program(main, words) == 3
    assert len(list(read_records(tmp_path / "run" / "episodes.jsonl"))) == 5
    assert not (tmp_path / "run" / "summary.json").exists()
    said = capsys.readouterr().err
    assert "5 episodes in a row ended with the same error" in said
    assert "ZeroDivisionError: on webshop" in said
    assert main([*words, "--resume", "--keep-going"]) == 3
    assert failed_in(tmp_path / "run") == 25


def ended(number: int, error: str = "", stop: str = "env_error") -> dict:
    return {"task_id": f"cellar/{number}", "error": error, "stop": stop if error else "terminated"}


def test_errors_are_the_same_by_kind_and_place_or_by_words():
    alike = [ended(n, f"ValueError: on {n} (/a.py:3)", "agent_error") for n in range(5)]
    with pytest.raises(FailedEpisodesError, match=r"--resume --keep-going"):
        [EarlyStop.add(stop, one) for stop in [EarlyStop()] for one in alike]
    servers = [ended(n, f"cellar/{n}: port {n} refused") for n in range(5)]
    with pytest.raises(FailedEpisodesError):
        [EarlyStop.add(stop, one) for stop in [EarlyStop()] for one in servers]


@pytest.mark.parametrize(
    "played",
    [
        [*(ended(n, "no service") for n in range(4)), ended(4), *(ended(n, "no service") for n in range(5, 9))],
        [*(ended(n, "no service") for n in range(4)), *(ended(n, "no Java") for n in range(4, 8))],
        [ended(n, f"ValueError: x (/a.py:{n % 2})") for n in range(20)],
        [ended(n) for n in range(20)],
    ],
    ids=["one went well", "another error", "another place", "no error"],
)
def test_other_errors_stop_no_run(played):
    stop = EarlyStop()
    for record in played:
        stop.add(record)


def test_five_equal_errors_stop_a_run_that_began_well():
    stop = EarlyStop()
    for record in [ended(0), *(ended(n, "no service") for n in range(1, 5))]:
        stop.add(record)
    with pytest.raises(FailedEpisodesError, match="5 episodes in a row"):
        stop.add(ended(5, "no service"))


def test_runs_with_errors_are_compared_only_if_asked_for(runs, capsys):
    errors = failed_in(runs / "flaky")
    folders = [str(runs / "random"), str(runs / "flaky")]
    with pytest.raises(FailedEpisodesError, match=rf"{SUITE}: {errors} of 25 episodes"):
        compare(folders)
    assert compare([*folders, "--count-errors", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["contrasts"]
    assert found[0]["errors"] == [0, errors]
    assert compare([*folders, "--count-errors"]) == 0
    assert f"0 : {errors}" in capsys.readouterr().out


def test_a_merged_run_keeps_its_errors(runs, tmp_path, capsys):
    words = ["--suite", SUITE, "--agent", "failing_agent:Flaky", "--workers", "1", "--seeds", "1"]
    assert main([*words, "--out", str(tmp_path / "one")]) == 3
    capsys.readouterr()
    assert merge([str(runs / "flaky"), str(tmp_path / "one"), "--out", str(tmp_path / "both")]) == 3
    errors = failed_in(runs / "flaky") + failed_in(tmp_path / "one")
    assert Summary.read(tmp_path / "both").errors == errors
    assert f"{errors} of 50 episodes ended with an error" in capsys.readouterr().err


def test_the_leaderboard_takes_errors_only_if_asked_to(runs, tmp_path, capsys):
    errors = failed_in(runs / "flaky")
    words = [str(tmp_path / "board"), "--add", str(runs / "flaky")]
    with pytest.raises(FailedEpisodesError, match=f"{errors} of 25 episodes"):
        leaderboard(words)
    assert not (tmp_path / "board").exists()
    assert leaderboard([*words, "--count-errors"]) == 0
    entry = Entry.read(tmp_path / "board" / SUITE / "flaky")
    assert (entry.numbers["errors"].value, entry.numbers["success"].low) == (errors, None)
    pages = ["--out", str(tmp_path / "page.html"), "--markdown", str(tmp_path / "page.md")]
    assert leaderboard([str(tmp_path / "board"), *pages]) == 0
    assert f"| flaky | {errors} |" in (tmp_path / "page.md").read_text()
    facts = {key: value for key, value in entry.facts.items() if key != "errors_count_as_failures"}
    (entry.folder / "entry.json").write_text(json.dumps(facts))
    assert [f"has {errors} episodes that ended" in one for one in check(Entry.read(entry.folder), replays=1)] == [True]


def test_the_report_warns_of_errors_first(runs, tmp_path, capsys):
    errors = failed_in(runs / "flaky")
    assert report([str(runs / "random"), str(runs / "flaky"), "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    warning = page[page.index('role="alert"') : page.index('class="card headline"')]
    assert f"flaky: {errors} of 25 episodes." in warning
    assert "agent_error: ValueError" in warning
    assert "random:" not in warning
    _, _, after = page.partition('class="pairings"')
    table, _, _ = after.partition("</table>")
    assert f"0 : {errors}" in table
    assert "[" not in table  # no interval
    assert "an error counts as a failure" in capsys.readouterr().out
