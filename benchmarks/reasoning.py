"""`act-gym reasoning`: MATH-500 and GPQA-Diamond through lm-eval, to see whether reasoning survives the training.

    act-gym reasoning --model runs/x/rl/checkpoint --tasks math500 --data test.jsonl

The paper measures its models with these two (arXiv 2603.08706). lm-eval runs the model, batches, and marks. Its own
tasks are for models that continue a text; these ask a chat model in one message, without examples, and say how to
give the answer. Marking is lm-eval's: Math-Verify for MATH-500, the last letter for GPQA. Replies to MATH-500 are kept
in the run folder; of GPQA only whether each was right, because its authors ask that its questions are never put online
(arXiv 2311.12022). They are fetched into memory and never cached.

"""

from __future__ import annotations

import csv
import io
import json
import logging
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from act_gym.config import parse
from act_gym.errors import MissingDataError, MissingDependencyError, UsageError
from act_gym.io.jsonl import read_records, write_json, write_records
from act_gym.io.run_dir import Run
from benchmarks.probes.answers import share
from benchmarks.reporting.tables import show_summary
from benchmarks.stats.measurement import Measurement, Summary, grouped

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["EXAMS", "Exam", "ExamName", "ReasoningConfig", "ask", "gpqa_questions", "main", "math_questions", "measure"]


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
        title: Name in tables.
        metric: lm-eval's name of the share of right answers.
        config: lm-eval's task settings without the questions; takes whether reasoning is wanted.
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
        seed: With a question's index, decides the position of its right choice.

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


@dataclass(frozen=True, kw_only=True)
class ReasoningConfig:
    """Ask a model the questions of MATH-500 and GPQA-Diamond."""

    model: str = "smollm2"
    """`smollm2`, a folder with a checkpoint, or an id of the Hugging Face hub."""
    tasks: tuple[ExamName, ...] = ("math500",)
    """math500, gpqa, or both."""
    data: Path | None = None
    """MATH-500's test.jsonl; fetched from the hub if left out. GPQA is fetched always, and kept in memory."""
    label: str = ""
    """Name of this run in comparisons, e.g. `after ACT`; the model's name if empty."""
    out: Path = Path("runs/reasoning")
    """The run folder."""
    limit: int = 0
    """The first so many questions of each; 0 for all."""
    thinking: bool = False
    """Let the model reason: switched on in chat templates that support it, and requested in the prompt."""
    max_new_tokens: int = 2048
    """Longest reply; with reasoning many thousands may be needed. `no answer` counts the truncated ones."""
    temperature: float = 0.0
    """0 takes the likeliest token."""
    seed: int = 0
    """Of sampled replies, and of the order of GPQA's choices."""
    batch_size: int = 8
    """Questions asked at once."""
    device: str = "auto"
    """`auto`, `cpu` or a torch device such as `cuda:1`."""
    dtype: str = "auto"
    """`float32`, `bfloat16`, `float16` or `auto`."""
    json: bool = False
    """Print the summary as JSON instead of a table."""
    resume: bool = False
    """Continue the run in the folder; an exam that was finished is not asked again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(ReasoningConfig, sys.argv[1:] if argv is None else argv, program="act-gym reasoning")
    if not arguments.tasks or arguments.limit < 0 or arguments.batch_size < 1 or arguments.temperature < 0:
        raise UsageError("Expected at least one of --tasks, --limit and --temperature of 0 or more, --batch-size of 1.")
    inputs = [arguments.data] if arguments.data is not None and "math500" in arguments.tasks else []
    # Missing packages and data are reported before a model is loaded.
    questions = {
        name: math_questions(arguments.data) if name == "math500" else gpqa_questions(arguments.seed)
        for name in dict.fromkeys(arguments.tasks)
    }
    run = Run(arguments.out, "benchmarks.reasoning", arguments, inputs=inputs, resume=arguments.resume)
    policy = None
    for name, (rows, source) in questions.items():
        kept = run.path(f"{name}.jsonl")
        if not kept.exists():
            policy = policy or _policy(arguments)
            records = ask(policy, name, rows[: arguments.limit or None], arguments)
            facts = {"model": policy.name, "questions": len(records), "source": source}
            write_json(run.path(f"{name}.json"), facts)
            write_records(kept, records)
    records = [record for name in questions for record in read_records(run.path(f"{name}.jsonl"))]
    facts = json.loads(run.path(f"{arguments.tasks[0]}.json").read_text(encoding="utf-8"))
    subject = f"{facts['model']}:{'reasoning' if arguments.thinking else 'direct'}"
    summary = Summary(
        kind="reasoning", label=arguments.label or subject, subject=subject, measurements=measure(records)
    )
    summary.write(run.folder)
    show_summary(summary, as_json=arguments.json)
    return 0


def ask(
    policy: Policy, name: ExamName, rows: Sequence[dict[str, Any]], settings: ReasoningConfig
) -> list[dict[str, Any]]:
    """Ask a model one exam's questions.

    Args:
        policy: The model.
        name: Which exam.
        rows: Its questions, from `exams.py`.
        settings: How they are asked.

    Returns:
        One record a question, in their order, without the question; for GPQA without the reply too.

    Raises:
        MissingDependencyError: lm-eval is not installed.
    """
    try:
        from datasets import Dataset
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
    except ImportError as cause:
        raise MissingDependencyError(f"A package that MATH-500 and GPQA need ({cause.name})", "reasoning") from cause

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    exam = EXAMS[name]
    sampling: dict[str, Any] = {"do_sample": False, "temperature": 0.0}
    if settings.temperature:
        sampling = {"do_sample": True, "temperature": settings.temperature}
    task = {
        "task": f"act_gym_{name}",
        # In memory, so that no cache of `datasets` is written either.
        "custom_dataset": lambda **_: {"test": Dataset.from_list(list(rows))},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_target": "",
        "generation_kwargs": {"until": [], "max_gen_toks": settings.max_new_tokens, **sampling},
        "num_fewshot": 0,
        **exam.config(settings.thinking),
    }
    model = HFLM(
        pretrained=policy.model,
        tokenizer=policy.tokenizer,
        batch_size=settings.batch_size,
        max_length=policy.context,
        enable_thinking=settings.thinking,
        think_end_token="</think>",  # noqa: S106 (no password: text before it is no answer)
    )
    found = simple_evaluate(
        model=model,
        tasks=[task],
        apply_chat_template=True,
        log_samples=True,
        bootstrap_iters=0,
        random_seed=settings.seed,
        numpy_random_seed=settings.seed,
        torch_random_seed=settings.seed,
        fewshot_random_seed=settings.seed,
    )
    samples = sorted(found["samples"][task["task"]], key=lambda sample: sample["doc_id"])
    return [_record(name, rows[sample["doc_id"]], sample) for sample in samples]


def measure(records: Iterable[Mapping[str, Any]]) -> tuple[Measurement, ...]:
    """Measure the answers of every exam and subject."""
    found: list[Measurement] = []
    for group, members in grouped(records):
        found += share("accuracy", (record["right"] for record in members), group)
        found += share("no_answer", (record["no_answer"] for record in members), group)
    return tuple(found)


def _record(name: ExamName, question: Mapping[str, Any], sample: Mapping[str, Any]) -> dict[str, Any]:
    exam = EXAMS[name]
    shown = {} if exam.secret else {"name": question["name"], "reply": sample["resps"][0][0]}
    return {
        "number": question["number"],
        "benchmark": exam.title,
        "split": "",
        "task_type": question["type"],
        "right": bool(sample["right"]),
        "no_answer": bool(sample["no_answer"]),
        **shown,
    }


def _policy(arguments: ReasoningConfig) -> Policy:
    from agents.local.model import Policy

    return Policy.load(arguments.model, device=arguments.device, dtype=arguments.dtype)


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
