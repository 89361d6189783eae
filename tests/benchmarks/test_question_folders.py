"""Run folders of the two programs that ask questions: nothing is left by a mistake, and a folder is complete."""

import json

import pytest

from act_gym import ActionPair, ExpertStep, RunError, Task, UsageError
from act_gym.io.jsonl import read_records, write_records
from benchmarks.html_report.runs import load
from benchmarks.judge import main as judgement
from benchmarks.next_action import main as next_action
from tests.tiny_models import save_with_tokenizer


def pair(number: int) -> ActionPair:
    task = Task(id=f"cellar/lamp/{number}", benchmark="Cellar", split="seen", task_type="lamp")
    step = ExpertStep(
        id=f"{task.id}#0",
        task=task,
        turn=0,
        goal="light the lamp",
        history=(),
        observation=f"Cellar {number}.",
        expert_action="light lamp",
    )
    return ActionPair(step=step, alternative="dance", proposer="random", expert_first=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random model of two layers with the tokenizer of the default model."""
    return save_with_tokenizer(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "data" / "pairs.jsonl"
    write_records(path, [pair(number).to_json() for number in range(4)])
    return path


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--limit", "-1"], UsageError, "--limit is -1; expected a number of at least 0"),
        (["--seed", "-1"], UsageError, "--seed is -1; expected a number of at least 0"),
        (["--batch-size", "0"], UsageError, "--batch-size is 0; expected a number of at least 1"),
        (["--max-new-tokens", "0"], UsageError, "--max-new-tokens is 0; expected a number of at least 1"),
        (["--temperature", "nan"], UsageError, "--temperature is nan; expected a number of at least 0"),
        (["--temperature", "-0.5"], UsageError, "is -0.5; expected a number of at least 0"),
        (["--model", "/no/such/model"], UsageError, "/no/such/model"),
        (["--overwrite", "--resume"], UsageError, "give one of them"),
    ],
    ids=str,
)
@pytest.mark.parametrize("program", [judgement, next_action], ids=["judge", "next-action"])
def test_a_mistake_leaves_no_folder(program, words, error, message, pairs, tmp_path):
    option = "--pairs" if program is judgement else "--decisions"
    with pytest.raises(error, match=message):
        program([option, str(pairs), "--decode", "free", *words, "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_other_records_and_other_places_are_refused(pairs, tmp_path):
    out = ["--out", str(tmp_path / "run")]
    (tmp_path / "other.jsonl").write_text('{"goal": "no pair"}\n')
    for option, program in (("--pairs", judgement), ("--decisions", next_action)):
        with pytest.raises(RunError, match="a record of another kind"):
            program([option, str(tmp_path / "other.jsonl"), "--decode", "free", *out])
        with pytest.raises(UsageError, match=r"Cannot make .*is a file\. Choose another --out"):
            program([option, str(pairs), "--out", str(pairs / "below")])
    with pytest.raises(UsageError, match="no admissible commands to rank"):
        next_action(["--decisions", str(pairs), *out])
    assert not (tmp_path / "run").exists()


def test_a_folder_shows_its_states_wherever_it_is_read(model, pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["--pairs", "data/pairs.jsonl", "--model", str(model), "--out", "run", "--json"]
    assert judgement([*command, "--limit", "2"]) == 0
    first = list(read_records(tmp_path / "run" / "records.jsonl"))
    assert judgement([*command, "--limit", "3", "--resume"]) == 0
    assert list(read_records(tmp_path / "run" / "records.jsonl"))[:2] == first
    with pytest.raises(RunError, match=r"(?m)^  seed +0 +1$"):
        judgement([*command, "--limit", "3", "--seed", "1", "--resume"])
    monkeypatch.chdir("/")
    pairs.unlink()
    answers, more = load(tmp_path / "run").answers(10)
    assert (len(answers), more) == (3, 0)
    for answer in answers:
        assert answer["state"].endswith(f"Observation:\nCellar {answer['number']}.")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["limit"] == 3


def test_a_folder_without_answers_is_empty(model, pairs, tmp_path):
    command = ["--pairs", str(pairs), "--model", str(model), "--out", str(tmp_path / "run"), "--json"]
    assert judgement([*command, "--limit", "1"]) == 0
    with pytest.raises(RunError, match="--overwrite"):
        judgement([*command, "--seed", "3"])
    (tmp_path / "run" / "records.jsonl").write_text('{"torn')
    assert judgement([*command, "--seed", "3"]) == 0
    assert judgement([*command, "--seed", "4", "--overwrite"]) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 4
