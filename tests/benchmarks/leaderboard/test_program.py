import json
import lzma
import shutil
from pathlib import Path

import pytest

from act_gym.errors import RunError
from benchmarks.evaluate import main as evaluate
from benchmarks.leaderboard.program import main
from benchmarks.leaderboard.submission import Entry, entries_below, make_entries
from benchmarks.leaderboard.verify import check
from benchmarks.suites import suite

LEADERBOARD = Path(__file__).parents[3] / "leaderboard"
SUITE = "webshop-generated-unseen-mini"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A real run of a small suite that needs no download."""
    folder = tmp_path_factory.mktemp("run") / "random"
    words = ["--workers", "1", "--keep-commands", "--resume", "--out", str(folder)]  # which move no number
    assert evaluate(["--suite", SUITE, "--agent", "random", *words]) == 0
    return folder


@pytest.fixture
def entry(run, tmp_path) -> Entry:
    (made,) = make_entries(run, tmp_path / "board")
    return made


def edit(path: Path, change) -> None:
    """Change the lines of a file of records, or the content of a JSON file."""
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt") as file:
        content = [json.loads(line) for line in file] if "jsonl" in path.name else json.load(file)
    change(content)
    lines = [json.dumps(each) for each in content] if "jsonl" in path.name else [json.dumps(content)]
    with opened(path, "wt") as file:
        file.writelines(line + "\n" for line in lines)


def problems(entry: Entry, replays: int = 0) -> list[str]:
    return list(check(Entry.read(entry.folder), replays=replays))


def test_an_entry_is_small_says_how_it_was_made_and_fits(entry, run):
    assert entry.facts["command"] == f"act-gym eval --suite {SUITE} --agent random"
    assert entry.folder.name == "random"
    assert sum(path.stat().st_size for path in entry.folder.iterdir()) < 20_000
    assert str(run) not in (entry.folder / "entry.json").read_text()
    summary = json.loads((run / "summary.json").read_text())
    stated = {(one["name"], one["value"]) for one in summary["measurements"] if not one["task_type"]}
    assert {(one.name, one.value) for one in entry.numbers.values()} <= stated
    assert problems(entry) == []


def test_a_number_that_the_records_do_not_have_is_refused(entry):
    edit(entry.folder / "entry.json", lambda facts: facts["numbers"][0].update(value=0.99))
    assert any("success value 0.99; the records say" in problem for problem in problems(entry, replays=1))


def test_a_record_that_the_simulator_does_not_bear_out_is_refused(entry):
    edit(entry.folder / "records.jsonl", lambda records: records[3].update(success=True, score=1.0))
    found = problems(entry)
    assert any("success True is False, score 1.0 is" in problem for problem in found)
    assert any("the records say" in problem for problem in found)


def test_an_entry_of_another_minor_version_of_the_simulator_is_refused(tmp_path):
    (there,) = [one for one in entries_below(LEADERBOARD / "scienceworld-seen-mini") if one.label == "random"]
    assert list(check(there, replays=1)) == []
    other = tmp_path / "scienceworld-seen-mini" / "random"
    shutil.copytree(there.folder, other)
    edit(other / "entry.json", lambda facts: facts["simulator"].update(scienceworld="1.3.0"))
    assert list(check(Entry.read(other), replays=1)) == [
        "was played with scienceworld 1.3, and scienceworld-seen-mini is of scienceworld 1.2"
    ]


def test_a_run_of_another_minor_version_makes_no_entry(run, tmp_path):
    """A real run, said to be of the suite and the simulator."""
    other = tmp_path / "run"
    shutil.copytree(run, other)
    name = "scienceworld-seen-mini"

    def change(manifest):
        played = {**next(iter(manifest["suites"].values())), "sha256": suite(name).sha256}
        manifest.update(suites={name: played}, simulators={"ScienceWorld": {"engine": "jvm", "scienceworld": "1.3.0"}})

    edit(other / "manifest.json", change)
    with pytest.raises(RunError, match=r"with scienceworld 1\.3, and the suite is of scienceworld 1\.2"):
        make_entries(other, tmp_path / "board")


def test_other_actions_of_an_agent_without_a_model_are_refused(entry):
    edit(entry.folder / "actions.jsonl.xz", lambda lines: lines[0]["actions"].__setitem__(0, "search[a lamp]"))
    assert any("random acts otherwise" in problem for problem in problems(entry))


def test_actions_of_any_other_agent_are_played_as_they_are(entry):
    edit(entry.folder / "entry.json", lambda facts: facts["agent"].update(asked_for="my_module:MyAgent"))
    assert problems(entry) == []
    edit(entry.folder / "actions.jsonl.xz", lambda lines: lines[0]["actions"].__setitem__(0, "search[a lamp]"))
    (problem,) = problems(entry)
    assert "digest" in problem


def test_a_task_that_is_missing_or_there_twice_is_refused(entry):
    edit(entry.folder / "records.jsonl", lambda records: records.__setitem__(4, records[5]))
    assert problems(entry) == ["has not each of the 25 tasks once for each seed, in the suite's order"]


def test_another_version_of_a_suite_is_refused(entry):
    edit(entry.folder / "entry.json", lambda facts: facts["suite"].update(sha256="0" * 64))
    assert "is of another webshop-generated-unseen-mini" in problems(entry)[0]


def test_what_is_damaged_is_refused_and_not_raised(entry):
    (entry.folder / "actions.jsonl.xz").write_bytes(b"no archive")
    assert problems(entry)[0].startswith("cannot be read")
    edit(entry.folder / "records.jsonl", lambda records: records[0].pop("task_id"))
    assert problems(entry)[0].startswith("cannot be read")


def test_the_pages_show_every_entry_with_its_command_and_hostile_names_do_nothing(entry, tmp_path, capsys):
    shutil.copytree(entry.folder, entry.folder.parent / "other")
    evil = "<script>alert(1)</script>|`x`\n# x\u202e"
    edit(entry.folder.parent / "other" / "entry.json", lambda facts: facts.update(label=evil, command="x\n```\n# x"))
    page, text = tmp_path / "board.html", tmp_path / "board.md"
    assert main([str(tmp_path / "board"), "--out", str(page), "--markdown", str(text)]) == 0
    html, written = page.read_text(encoding="utf-8"), text.read_text(encoding="utf-8")
    assert f"act-gym eval --suite {SUITE} --agent random" in html
    assert f"act-gym eval --suite {SUITE} --agent random" in written
    assert "<script" not in html
    assert "<script" not in written
    assert written.count("\n# ") == 0
    assert written.count("```") == 6
    assert "U+202E" in written
    assert "\u202e" not in written + html
    assert main([str(tmp_path / "board"), "--check", "--replays", "2"]) == 0
    edit(entry.folder / "entry.json", lambda facts: facts["numbers"][0].update(value=0.99))
    assert main([str(tmp_path / "board"), "--check", "--replays", "2"]) == 1
    assert "refused" in capsys.readouterr().out


def test_the_pages_and_the_check_say_which_catalogue_was_played(entry, tmp_path, capsys):
    def other_files(facts):
        facts["data"]["catalogue"] |= {"source": "files", "not_official": ["items_ins.json"], "sha256": "0" * 64}

    page, text = tmp_path / "board.html", tmp_path / "board.md"
    show = [str(tmp_path / "board"), "--out", str(page), "--markdown", str(text)]
    digest = entry.facts["data"]["catalogue"]["sha256"][:12]
    assert main(show) == 0
    assert all(f"catalogue generated (made from a seed), sha256 {digest}" in path.read_text() for path in (page, text))
    edit(entry.folder / "entry.json", other_files)
    assert main(show) == 0
    assert "catalogue generated (not official: other items_ins.json), sha256 000000000000" in page.read_text()
    assert "catalogue generated (not official: other items\\_ins.json), sha256 000000000000" in text.read_text()
    assert problems(entry) == []  # every episode shows the same here
    edit(entry.folder / "actions.jsonl.xz", lambda lines: lines[0]["actions"].__setitem__(0, "search[a lamp]"))
    other, changed = problems(entry)
    assert "other data than is here" in other
    assert f'catalogue.sha256        "{"0" * 57}' in other
    assert "random acts otherwise" in changed
    edit(entry.folder / "entry.json", lambda facts: facts.pop("data"))
    with pytest.raises(RunError, match="is not an entry"):
        Entry.read(entry.folder)


def test_a_run_that_is_no_whole_suite_makes_no_entry(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    edit(copy / "episodes.jsonl", lambda episodes: episodes.pop())
    with pytest.raises(RunError, match="lacks 1 episodes"):
        make_entries(copy, tmp_path / "board")
    edit(copy / "manifest.json", lambda manifest: manifest["suites"][SUITE].update(sha256="0" * 64))
    with pytest.raises(RunError, match="as it is frozen"):
        make_entries(copy, tmp_path / "board")
    edit(copy / "manifest.json", lambda manifest: manifest.update(suites={}))
    with pytest.raises(RunError, match="played no suite"):
        make_entries(copy, tmp_path / "board")
