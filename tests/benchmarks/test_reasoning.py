import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from act_gym.errors import MissingDataError
from act_gym.io.jsonl import read_records
from benchmarks.reasoning import EXAMS, math_questions, measure
from benchmarks.stats.measurement import Summary

ROOT = Path(__file__).parents[2]
CANARY = "quokka-zeppelin"
PROBLEMS = [
    {"problem": "What is $1/2 + 1/4$?", "solution": "It is $\\boxed{\\frac{3}{4}}$.", "subject": "Algebra"},
    {"problem": "What is $2 + 2$?", "solution": "It is $\\boxed{4}$.", "subject": "Number Theory", "unique_id": "two"},
]


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(problem) + "\n" for problem in PROBLEMS))
    return path


def test_an_answer_is_right_in_any_form_that_means_the_same(problems: Path) -> None:
    (question, _), source = math_questions(problems)
    mark = EXAMS["math500"].config(False)["process_results"]
    assert "sha256" in source
    for reply in ("So \\boxed{\\frac{3}{4}}.", "\\boxed{0.75}", "$\\boxed{\\dfrac34}$"):
        assert mark(question, [reply]) == {"right": 1.0, "no_answer": 0.0}
    assert mark(question, ["\\boxed{\\frac{4}{3}}"]) == {"right": 0.0, "no_answer": 0.0}
    assert mark(question, ["I do not know."]) == {"right": 0.0, "no_answer": 1.0}


def test_reasoning_is_asked_for_in_words_and_the_form_of_the_answer_always(problems: Path) -> None:
    (question, _), _ = math_questions(problems)
    direct, reasoned = (EXAMS["math500"].config(thinking)["doc_to_text"](question) for thinking in (False, True))
    assert direct == "What is $1/2 + 1/4$?\n\nPut your final answer within \\boxed{}."
    assert reasoned.endswith("Reason step by step, and put your final answer within \\boxed{}.")
    choice = {"question": "Which?", "choices": ["red", "green", "blue", "grey"], "answer": "C"}
    config = EXAMS["gpqa"].config(True)
    assert "(C) blue\n" in config["doc_to_text"](choice)
    assert config["process_results"](choice, ["C"]) == {"right": 1.0, "no_answer": 0.0}
    assert config["process_results"](choice, ["[invalid]"]) == {"right": 0.0, "no_answer": 1.0}


def test_a_file_that_is_not_math_500_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="No file"):
        math_questions(tmp_path / "none.jsonl")
    (tmp_path / "other.jsonl").write_text('{"question": "?"}\n')
    with pytest.raises(MissingDataError, match="line 1 has no problem and solution"):
        math_questions(tmp_path / "other.jsonl")


def test_exams_and_subjects_are_measured_apart() -> None:
    records = [
        {"benchmark": "MATH-500", "split": "", "task_type": kind, "right": right, "no_answer": False}
        for kind, right in (("Algebra", True), ("Algebra", False), ("Geometry", True))
    ]
    found = {(one.name, one.task_type): one.value for one in measure(records)}
    assert found["accuracy", ""] == pytest.approx(2 / 3)
    assert (found["accuracy", "Algebra"], found["accuracy", "Geometry"]) == (0.5, 1.0)


class Hub(BaseHTTPRequestHandler):
    """Serves one gated file as the hub does: to whoever shows the token, and to nobody else."""

    def do_GET(self) -> None:
        admitted = self.headers.get("Authorization") == "Bearer good"
        body = table() if admitted else b'{"error": "gated"}'
        self.send_response(200 if admitted and self.path.endswith("/resolve/main/gpqa_diamond.csv") else 401)
        if not admitted:
            self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def table() -> bytes:
    """Return a table of our own with GPQA's columns."""
    columns = ["Question", "Correct Answer", *(f"Incorrect Answer {place}" for place in (1, 2, 3)), "High-level domain"]
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    for number in range(2):
        writer.writerow([f"{CANARY} {number}?", f"{CANARY} yes", "no", "never", "hardly", "Physics"])
    return file.getvalue().encode()


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def asked(hub: str, folder: Path, token: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program with caches and temporary files below a folder."""
    places = {"HF_HOME": folder / "hub", "TMPDIR": folder / "tmp", "HOME": folder, "XDG_CACHE_HOME": folder / "cache"}
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_TOKEN": token, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.reasoning", *words, "--out", str(folder / "run")],
        cwd=ROOT,
        env={**environment, **{name: str(place) for name, place in places.items()}},
        capture_output=True,
        text=True,
        check=False,
    )


def test_who_is_not_admitted_to_gpqa_is_told_how(hub: str, tmp_path: Path) -> None:
    run = asked(hub, tmp_path, "bad", "--tasks", "gpqa")
    assert run.returncode == 1
    for word in ("huggingface.co/datasets/Idavidrein/gpqa", "Agree to its terms", "export HF_TOKEN"):
        assert word in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_real_model_sits_both_exams_and_nothing_of_gpqa_is_written(hub: str, tmp_path: Path, problems: Path) -> None:
    words = ["--tasks", "math500", "gpqa", "--data", str(problems), "--max-new-tokens", "2", "--label", "base"]
    run = asked(hub, tmp_path, "good", *words, "--thinking")
    assert run.returncode == 0, run.stderr
    assert CANARY not in run.stdout + run.stderr
    summary = Summary.read(tmp_path / "run")
    counts = {one.benchmark: one.n for one in summary.measurements if one.name == "accuracy" and not one.task_type}
    assert counts == {"MATH-500": 2, "GPQA-Diamond": 2}
    assert [record["name"] for record in read_records(tmp_path / "run" / "math500.jsonl")] == ["0", "two"]
    assert all("reply" not in record for record in read_records(tmp_path / "run" / "gpqa.jsonl"))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "gpqa.jsonl" for path in written)
    assert not [path for path in written if CANARY.encode() in path.read_bytes()]
    again = asked(hub, tmp_path, "good", *words, "--thinking", "--resume")  # without asking again
    assert again.returncode == 0, again.stderr
    assert "generate_until" not in again.stderr
