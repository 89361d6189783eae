import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from act_gym import Episode, RunError, Task, Turn, UsageError
from act_gym.records import RecordWriter
from benchmarks.intervals import Interval
from benchmarks.markup import Markup, element, plain
from benchmarks.measurement import Measurement, Summary
from benchmarks.report import main

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31mred\u202eevil\x00 & \ud800\"'"


class Tags(HTMLParser):
    """Collects the elements of a page and checks that they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def write_run(
    folder: Path, kind: str, label: str, *, name: str = "accuracy", episodes: int = 0, text: str = ""
) -> Path:
    group = ("Cellar", "seen")
    measurements = (
        Measurement.of(name, Interval(0.5, 0.25, 0.75, 8), group),
        Measurement.of(name, Interval(0.25, 0.0, 0.5, 4), (*group, text or "lamp")),
    )
    Summary(kind=kind, label=label, subject=text or "x", measurements=measurements, failures={text: 1}).write(folder)
    task = Task(id=text or "cellar/lamp/0", benchmark="Cellar", split="seen", task_type="lamp")
    turn = Turn(observation=text, response=text, thought=text, action=text, action_valid=False, reward=-0.5)
    for number in range(episodes):
        episode = Episode(
            task=task,
            env_id="act/Cellar-seen",
            agent="x",
            seed=number,
            goal=text,
            turns=(turn,),
            final_observation=text,
            success=False,
            score=0.0,
            raw_score=0.0,
            stop="env_error",
            error=text,
        )
        with RecordWriter(folder / "episodes.jsonl") as file:
            file.write(episode.to_json())
    return folder


def read(path: Path) -> tuple[str, Tags]:
    html = path.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    return html, tags


def test_runs_of_all_kinds_are_joined_by_their_labels(tmp_path, capsys):
    for label in ("base", "after ACT"):
        write_run(tmp_path / label / "j", "judgement", label)
        write_run(tmp_path / label / "n", "next_action", label)
        write_run(tmp_path / label / "e", "episodes", label, name="success", episodes=1, text="hello")
    out = tmp_path / "report.html"
    assert main([str(tmp_path / "base"), str(tmp_path / "after ACT"), "--out", str(out), "--title", "A title"]) == 0
    html, _ = read(out)
    headline = html[html.index("<h2>Cellar</h2>") : html.index("<section>")]
    assert headline.index("base") < headline.index("after ACT")
    assert headline.count("<tr") == 3
    assert "[25.0, 75.0]" in headline
    assert "6 runs" in capsys.readouterr().out


def test_hostile_text_neither_acts_nor_hides(tmp_path):
    folder = write_run(tmp_path / "run", "episodes", HOSTILE, name="success", episodes=1, text=HOSTILE)
    out = tmp_path / "report.html"
    main([str(folder), "--out", str(out), "--title", HOSTILE])
    html, tags = read(out)
    assert {tag for tag, _ in tags.found}.isdisjoint({"script", "img", "iframe", "link", "object", "base"})
    assert not [key for _, attributes in tags.found for key in attributes if key.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html)
    assert "[U+202E]" in html


def test_the_page_loads_nothing_and_says_so(tmp_path):
    folder = write_run(tmp_path / "run", "judgement", "base")
    main([str(folder), "--out", str(tmp_path / "report.html")])
    html, tags = read(tmp_path / "report.html")
    policies = [a["content"] for tag, a in tags.found if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies[0].startswith("default-src 'none'")
    assert "://" not in html
    assert "url(" not in html
    assert not [a for _, a in tags.found if "src" in a or "href" in a]


def test_episodes_are_cut_short_and_the_rest_is_announced(tmp_path):
    folder = write_run(tmp_path / "run", "episodes", "base", name="success", episodes=5, text="x" * 5000)
    main([str(folder), "--out", str(tmp_path / "report.html"), "--episodes", "2"])
    html, _ = read(tmp_path / "report.html")
    assert "3 more are in" in html
    assert "(3,500 more characters)" in html


def test_two_runs_of_one_kind_and_label_get_rows_of_their_own(tmp_path):
    one, other = (write_run(tmp_path / name, "judgement", "base") for name in ("one", "other"))
    main([str(one), str(other), "--out", str(tmp_path / "report.html")])
    html, _ = read(tmp_path / "report.html")
    assert f"base ({other})" in html


def test_a_folder_without_runs_and_a_run_of_another_kind_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no evaluation run"):
        main([str(tmp_path), "--out", str(tmp_path / "report.html")])
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "summary.json").write_text(json.dumps({"kind": "pairs"}))
    with pytest.raises(RunError):
        main([str(tmp_path / "pairs"), "--out", str(tmp_path / "report.html")])


def test_elements_escape_text_and_attributes_and_leave_markup_alone():
    assert element("p", "<b>", Markup("<i></i>"), None, title='"<') == '<p title="&quot;&lt;">&lt;b&gt;<i></i></p>'
    assert element("details", open=True, hidden=False, data_x=1) == '<details open data-x="1"></details>'


def test_plain_shows_what_is_hidden_and_keeps_lines():
    assert plain("a\tb\nc") == "a\tb\nc"
    assert plain("\x1b[0m\u202e\u200b\x85") == "␛[0m[U+202E][U+200B]\ufffd"
    assert plain("abcdef", 2) == "ab … (4 more characters)"
