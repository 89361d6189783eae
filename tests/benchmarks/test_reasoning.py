import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from act_gym.io.jsonl import read_records
from benchmarks.reasoning import measure
from benchmarks.stats.measurement import Summary

ROOT = Path(__file__).parents[2]
PROBLEMS = [
    {"problem": "What is $1/2 + 1/4$?", "solution": "It is $\\boxed{\\frac{3}{4}}$.", "subject": "Algebra"},
    {"problem": "What is $2 + 2$?", "solution": "It is $\\boxed{4}$.", "subject": "Number Theory", "unique_id": "two"},
]


def test_exams_and_subjects_are_measured_apart() -> None:
    records = [
        {"benchmark": "MATH-500", "split": "", "task_type": kind, "right": right, "no_answer": False}
        for kind, right in (("Algebra", True), ("Algebra", False), ("Geometry", True))
    ]
    found = {(one.name, one.task_type): one.value for one in measure(records)}
    assert found["accuracy", ""] == pytest.approx(2 / 3)
    assert (found["accuracy", "Algebra"], found["accuracy", "Geometry"]) == (0.5, 1.0)


def asked(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program without a hub, with caches below a folder."""
    places = {"HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.reasoning", *words, "--out", str(folder / "run")],
        cwd=ROOT,
        env={**os.environ, **places},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_a_hub_the_error_says_how_to_get_gpqa(tmp_path: Path) -> None:
    run = asked(tmp_path, "--tasks", "gpqa")
    assert run.returncode == 1
    for word in ("huggingface.co/datasets/Idavidrein/gpqa", "Agree to its terms", "HF_TOKEN", "--gpqa-data"):
        assert word in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_real_model_sits_both_exams_from_local_files(tmp_path: Path) -> None:
    problems, choices = tmp_path / "test.jsonl", tmp_path / "gpqa_diamond.csv"
    problems.write_text("".join(json.dumps(problem) + "\n" for problem in PROBLEMS))
    with choices.open("w", newline="") as file:
        writer = csv.writer(file)
        wrong = [f"Incorrect Answer {place}" for place in (1, 2, 3)]
        writer.writerow(["Question", "Correct Answer", *wrong, "High-level domain"])
        writer.writerows([f"Is it {number}?", "yes", "no", "never", "hardly", "Physics"] for number in range(2))
    words = ["--tasks", "math500", "gpqa", "--math-data", str(problems), "--gpqa-data", str(choices)]
    words += ["--max-new-tokens", "2", "--label", "base", "--thinking"]
    run = asked(tmp_path, *words)
    assert run.returncode == 0, run.stderr
    summary = Summary.read(tmp_path / "run")
    counts = {one.benchmark: one.n for one in summary.measurements if one.name == "accuracy" and not one.task_type}
    assert counts == {"MATH-500": 2, "GPQA-Diamond": 2}
    records = list(read_records(tmp_path / "run" / "math500.jsonl"))
    assert [record["task_type"] for record in records] == ["Algebra", "Number Theory"]
    assert all("reply" in record for record in records)
    assert all("reply" not in record for record in read_records(tmp_path / "run" / "gpqa.jsonl"))
    again = asked(tmp_path, *words, "--resume")  # without asking again
    assert again.returncode == 0, again.stderr
    assert "generate_until" not in again.stderr
