"""MATH-500 and GPQA-Diamond as tasks of lm-eval: where their questions are, how they are posed and marked.

lm-eval's own tasks are written for models that continue a text: four worked examples, or "Let's think
step by step" as the last words. Ours ask a chat model in one message, without examples, and say how the
answer is to be given; the marking is lm-eval's: Math-Verify for MATH-500, the last letter for GPQA.

GPQA's authors ask that its questions are never put online in plain text (arXiv 2311.12022). Here they are
fetched into memory and stay there: no cache of the hub's or of `datasets` is written.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from act_gym.errors import MissingDataError, MissingDependencyError
from act_gym.io.jsonl import read_records

__all__ = ["EXAMS", "Exam", "ExamName", "gpqa_questions", "math_questions"]

ExamName = Literal["math500", "gpqa"]

_GPQA = "Idavidrein/gpqa"
_GPQA_FILE = "gpqa_diamond.csv"
_MATH = "HuggingFaceH4/MATH-500"
_STEPS = "Reason step by step"
_HOW_TO_GET_GPQA = f"""GPQA is given only to those who agree not to publish its questions. Once:
  1. Make an account at https://huggingface.co and open https://huggingface.co/datasets/{_GPQA}
  2. Agree to its terms there.
  3. Make a token that may read gated repositories: https://huggingface.co/settings/tokens
  4. export HF_TOKEN=…   (the environment, and never the command line)
Then run the same command again."""


@dataclass(frozen=True)
class Exam:
    """One exam.

    Attributes:
        title: What tables call it.
        metric: lm-eval's name of the share of right answers.
        config: What lm-eval is told of it besides the questions; takes whether reasoning is wanted.
        secret: Whether questions and replies must not be written anywhere.
    """

    title: str
    metric: str
    config: Callable[[bool], dict[str, Any]]
    secret: bool


def math_questions(source: Path | None) -> tuple[list[dict[str, Any]], str]:
    """Return MATH-500's questions, and where they are from.

    Args:
        source: `test.jsonl` of openai/prm800k or of the hub; None fetches it from the hub.

    Raises:
        MissingDataError: They cannot be read or fetched.
    """
    if source is None:
        text = _fetched(_MATH, "test.jsonl", "Or give the file: --data test.jsonl").decode()
        rows = [json.loads(line) for line in text.splitlines()]
        return _math(rows), f"{_MATH}, sha256 {sha256(text.encode()).hexdigest()}"
    if not source.is_file():
        raise MissingDataError(f"No file {source}. MATH-500 is test.jsonl of the dataset {_MATH}.")
    return _math(list(read_records(source))), f"{source}, sha256 {sha256(source.read_bytes()).hexdigest()}"


def gpqa_questions(seed: int) -> tuple[list[dict[str, Any]], str]:
    """Fetch GPQA-Diamond into memory and return its questions with the choices shuffled, and where they are from.

    Args:
        seed: Decides with a question's place where its right choice stands.

    Raises:
        MissingDataError: It cannot be fetched; the message says how to be admitted.
    """
    data = _fetched(_GPQA, _GPQA_FILE, _HOW_TO_GET_GPQA)
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8"))))
    questions = []
    for number, row in enumerate(rows):
        choices = [row["Correct Answer"], *(row[f"Incorrect Answer {place}"] for place in (1, 2, 3))]
        order = random.Random(f"{seed} {number}").sample(range(4), 4)
        questions.append(
            {
                "number": number,
                "type": row.get("High-level domain") or "all",
                "question": row["Question"].strip(),
                "choices": [choices[place].strip() for place in order],
                "answer": "ABCD"[order.index(0)],
            }
        )
    return questions, f"{_GPQA}, sha256 {sha256(data).hexdigest()}"


def _math(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    lacking = [number for number, row in enumerate(rows, start=1) if not {"problem", "solution"} <= set(row)]
    if lacking or not rows:
        where = f"line {lacking[0]}" if lacking else "an empty file"
        raise MissingDataError(f"This is not MATH-500: {where} has no problem and solution.")
    return [
        {
            "number": number,
            "type": row.get("subject") or "all",
            "problem": row["problem"],
            "solution": row["solution"],
            "name": row.get("unique_id", str(number)),
        }
        for number, row in enumerate(rows)
    ]


def _ask_math(thinking: bool) -> Callable[[Mapping[str, Any]], str]:
    wanted = f"{_STEPS}, and put" if thinking else "Put"
    return lambda question: f"{question['problem']}\n\n{wanted} your final answer within \\boxed{{}}."


def _mark_math(question: Mapping[str, Any], replies: Sequence[str]) -> dict[str, float]:
    from math_verify import parse, verify

    found = parse(replies[0])
    right = bool(found) and bool(verify(gold=parse(question["solution"]), target=found))
    return {"right": float(right), "no_answer": float("\\boxed" not in replies[0])}


def _ask_gpqa(thinking: bool) -> Callable[[Mapping[str, Any]], str]:
    wanted = f"{_STEPS}, and end with" if thinking else "Reply with"

    def ask(question: Mapping[str, Any]) -> str:
        choices = "\n".join(f"({letter}) {choice}" for letter, choice in zip("ABCD", question["choices"], strict=True))
        return f"{question['question']}\n\n{choices}\n\n{wanted} a line of the form: The answer is (X)."

    return ask


def _mark_gpqa(question: Mapping[str, Any], replies: Sequence[str]) -> dict[str, float]:
    letter = str(replies[0])
    return {"right": float(letter == question["answer"]), "no_answer": float(letter not in tuple("ABCD"))}


_METRICS = [
    {"metric": "right", "aggregation": "mean", "higher_is_better": True},
    {"metric": "no_answer", "aggregation": "mean", "higher_is_better": False},
]
_LETTER = {
    "name": "letter",
    "filter": [
        {"function": "regex", "regex_pattern": r"answer is\W*([ABCD])\b", "group_select": -1},
        {"function": "take_first"},
    ],
}

EXAMS: Mapping[ExamName, Exam] = {
    "math500": Exam(
        "MATH-500",
        "right,none",
        lambda thinking: {"doc_to_text": _ask_math(thinking), "process_results": _mark_math, "metric_list": _METRICS},
        secret=False,
    ),
    "gpqa": Exam(
        "GPQA-Diamond",
        "right,letter",
        lambda thinking: {
            "doc_to_text": _ask_gpqa(thinking),
            "process_results": _mark_gpqa,
            "metric_list": _METRICS,
            "filter_list": [_LETTER],
        },
        secret=True,
    ),
}


def _fetched(repository: str, name: str, advice: str) -> bytes:
    """Return a file of a dataset on the hub; nothing is written."""
    try:
        from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
    except ImportError as cause:
        raise MissingDependencyError("huggingface_hub", "reasoning") from cause

    url = hf_hub_url(repository, name, repo_type="dataset")
    try:
        response = get_session().get(url, headers=build_hf_headers(), timeout=60)
        hf_raise_for_status(response)
    except (GatedRepoError, RepositoryNotFoundError) as cause:
        raise MissingDataError(f"The hub does not hand out {repository} to you.\n{advice}") from cause
    except HfHubHTTPError as cause:
        raise MissingDataError(f"The hub answered {cause.response.status_code} to {url}.\n{advice}") from cause
    except Exception as cause:  # whatever HTTP library the hub's client uses has errors of its own
        raise MissingDataError(f"Cannot fetch {url}: {type(cause).__name__}.\n{advice}") from cause
    return bytes(response.content)
