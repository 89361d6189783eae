"""The scripts of `examples/` run, and end with a table."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TRAINED = ("collect_and_imitate", "critical_training")
SCRIPTS = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if path.read_text()[:4] == "# %%")


def run(name: str, folder: Path) -> str:
    """Return what an example prints when it runs in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OUT": str(folder)}
    environment.pop("MODEL", None)
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def rows(output: str) -> list[list[float]]:
    """Return the numbers of the lines at the end that hold some."""
    lines = output.strip().splitlines()
    return [[float(word) for word in re.findall(r"(?<![\w-])\d+(?:\.\d+)?(?![\w-])", line)] for line in lines]


def test_an_agent_of_fifteen_lines_buys(tmp_path):
    seen, unseen = rows(run("play_and_write_an_agent", tmp_path))[-2:]
    assert seen[0] == unseen[0] == 40
    assert min(seen[1], unseen[1]) > 0.1


def test_search_finds_more_with_more_products(tmp_path):
    scores = [row[1] for row in rows(run("tree_search", tmp_path))[-4:]]
    assert scores == sorted(scores)
    assert scores[-1] > 2 * scores[0]


def test_an_own_trainer_learns(tmp_path):
    for before, after, *_ in rows(run("own_trainer", tmp_path))[-2:]:
        assert after > before + 0.1


def test_agents_are_compared(tmp_path):
    assert "expert" in run("evaluate_and_compare", tmp_path)
    assert (tmp_path / "evaluate" / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_a_training_example_ends_with_a_table(name, tmp_path):
    pytest.importorskip("trl")
    output = run(name, tmp_path)
    assert name == "critical_training" or all(len(row) >= 3 for row in rows(output)[-2:]), output[-500:]


def test_every_example_is_run_and_linked():
    listed = (ROOT / "docs" / "tutorials.md").read_text(encoding="utf-8")
    source = Path(__file__).read_text(encoding="utf-8")
    for name in SCRIPTS:
        assert f"../examples/{name}.py" in listed
        assert f"tutorials/{name}\n" in listed
        assert f'"{name}"' in source
