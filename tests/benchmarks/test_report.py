import base64
import csv
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from act_gym import RunError, UsageError
from benchmarks.report import main
from tests.benchmarks.html_report.written import (
    HOSTILE,
    episode_of,
    hostile_turns,
    turns_of,
    write_episodes,
    write_judgement,
    write_next_action,
    write_summary,
)

DRAWN = {"meta", "input", "wbr"}


class Tags(HTMLParser):
    """Collects the elements of a page and checks that they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in DRAWN:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(path: Path) -> tuple[str, Tags]:
    html = path.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    return html, tags


def test_runs_of_all_kinds_are_joined_by_their_labels(tmp_path, capsys):
    for label in ("base", "after ACT"):
        write_judgement(tmp_path / label / "j", label, ["right", "wrong"])
        write_summary(tmp_path / label / "n", "next_action", label)
        write_episodes(tmp_path / label / "e", label, [episode_of(0, "x", turns=turns_of("go"))])
    out = tmp_path / "report.html"
    assert main([str(tmp_path / "base"), str(tmp_path / "after ACT"), "--out", str(out), "--title", "A title"]) == 0
    html, _ = read(out)
    headline = html[html.index(">Cellar</h2>") : html.index("Stage by stage")]
    assert headline.index("base") < headline.index("after ACT")
    assert headline.count('scope="row"') == 6
    assert "[25.0, 75.0]" in headline
    assert html.count('class="learning"') == 3
    assert "6 runs" in capsys.readouterr().out


def test_lines_join_only_what_is_said_to_be_stages(tmp_path):
    folders = [str(write_summary(tmp_path / label, "judge", label)) for label in ("random", "expert")]
    out = tmp_path / "report.html"
    for words, drawn in (((), 0), (("--stages", "yes"), 1), (("--stages", "no"), 0)):
        main([*folders, "--out", str(out), *words])
        assert read(out)[0].count('class="learning"') == drawn


def test_agents_beside_the_stages_of_a_training_are_not_joined(tmp_path):
    stages = [str(write_summary(tmp_path / label, "judge", label)) for label in ("base", "after ACT")]
    others = [str(write_summary(tmp_path / label, "next_action", label)) for label in ("random", "expert")]
    out = tmp_path / "report.html"
    main([*stages, *others, "--out", str(out)])
    assert read(out)[0].count('class="learning"') == 1


def test_hostile_text_neither_acts_nor_hides(tmp_path):
    episodes = [episode_of(0, HOSTILE, turns=hostile_turns(HOSTILE), text=HOSTILE)]
    write_episodes(tmp_path / "runs" / "e", HOSTILE, episodes, text=HOSTILE)
    write_judgement(tmp_path / "runs" / "j", HOSTILE, ["neither", "malformed"], text=HOSTILE)
    write_next_action(tmp_path / "runs" / "n", HOSTILE, ["wrong", "malformed"], text=HOSTILE)
    out = tmp_path / "report.html"
    main([str(tmp_path / "runs"), "--out", str(out), "--title", HOSTILE])
    html, tags = read(out)
    assert {tag for tag, _ in tags.found}.isdisjoint({"img", "iframe", "link", "object", "base"})
    assert not [key for _, attributes in tags.found for key in attributes if key.startswith("on")]
    assert len([1 for tag, attributes in tags.found if tag == "script" and "type" not in attributes]) == 1
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html)
    assert "[U+202E]" in html


def test_the_page_loads_nothing_and_only_its_own_style_and_script_count(tmp_path):
    write_judgement(tmp_path / "run", "base", ["right", "right"])
    main([str(tmp_path / "run"), "--out", str(tmp_path / "report.html")])
    html, tags = read(tmp_path / "report.html")
    (policy,) = [a["content"] for _, a in tags.found if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for name in ("style", "script"):
        content = re.search(f"<{name}>(.*?)</{name}>", html, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert "url(" not in html
    assert set(re.findall(r"\w+://[\w./]+", html)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not [a for _, a in tags.found if "src" in a or not a.get("href", "#").startswith("#") or "style" in a]


def test_of_many_episodes_the_first_are_carried_and_the_rest_is_counted(tmp_path):
    episodes = [episode_of(number, "x", turns=turns_of("go")) for number in (4, 2, 0, 3, 1)]
    write_episodes(tmp_path / "run", "base", episodes)
    main([str(tmp_path / "run"), "--out", str(tmp_path / "report.html"), "--episodes", "2"])
    html, _ = read(tmp_path / "report.html")
    archive = json.loads(re.search('id="archive">(.*?)</script>', html, re.S)[1])
    assert sorted(row[4] for row in archive["episodes"]) == ["cellar/lamp/0", "cellar/lamp/1"]
    assert archive["runs"][0]["left_out"] == 3


def test_two_runs_of_one_kind_and_label_get_rows_of_their_own(tmp_path):
    one, other = (write_summary(tmp_path / name, "judge", "base") for name in ("one", "other"))
    main([str(one), str(other), "--out", str(tmp_path / "report.html")])
    html, _ = read(tmp_path / "report.html")
    assert f"base ({other})" in html


def test_a_folder_without_runs_and_a_run_of_another_kind_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds neither an evaluation"):
        main([str(tmp_path), "--out", str(tmp_path / "report.html")])
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "summary.json").write_text(json.dumps({"kind": "pairs"}))
    with pytest.raises(RunError):
        main([str(tmp_path / "pairs"), "--out", str(tmp_path / "report.html")])


def test_csv_has_a_row_an_episode_and_a_row_a_measurement(tmp_path):
    episodes = [episode_of(n, "mine", turns=turns_of("go", "look"), success=n == 1) for n in range(3)]
    write_episodes(tmp_path / "run", "mine", episodes)
    write_judgement(tmp_path / "judged", HOSTILE, ["right", "wrong"], text=HOSTILE)
    names = [str(tmp_path / name) for name in ("run", "judged")]
    main([*names, "--out", str(tmp_path / "r.html"), "--csv", str(tmp_path / "new" / "tables")])
    tables = {}
    for name in ("episodes", "measurements"):
        with (tmp_path / "new" / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert [row["success"] for row in tables["episodes"]] == ["False", "True", "False"]
    assert {(row["run"], row["label"], row["turns"]) for row in tables["episodes"]} == {(names[0], "mine", "2")}
    first, _, judged, _ = tables["measurements"]
    assert [first[name] for name in ("kind", "name", "split", "value", "low", "high", "n")] == [
        *("episodes", "success", "seen", "0.5", "0.25", "0.75", "8")
    ]
    assert judged["kind"] == "judge"
    assert "[U+202E]" in judged["label"]
