"""Asks a model the questions of MATH-500 and GPQA-Diamond, through lm-eval.

    act-gym reasoning --model runs/x/rl/checkpoint --tasks math500 --data test.jsonl

Does a model that was trained on households and shops still reason, or reason better? The paper asks it
with these two (arXiv 2603.08706). lm-eval runs the model, batches, and marks; `exams.py` has the questions.
Of MATH-500 every reply is kept in the run folder. Of GPQA only whether each was right.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from act_gym.config import parse
from act_gym.errors import MissingDependencyError, UsageError
from act_gym.io.jsonl import read_records, write_json, write_records
from act_gym.io.run_dir import Run
from benchmarks.probes.answers import share
from benchmarks.probes.exams import EXAMS, ExamName, gpqa_questions, math_questions
from benchmarks.reporting.tables import show_summary
from benchmarks.stats.measurement import Measurement, Summary, grouped

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["Arguments", "ask", "main", "measure"]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Ask a model the questions of MATH-500 and GPQA-Diamond."""

    model: str = "smollm2"
    """`smollm2`, a folder with a checkpoint, or an id of the Hugging Face hub."""
    tasks: tuple[ExamName, ...] = ("math500",)
    """math500, gpqa, or both."""
    data: Path | None = None
    """MATH-500's test.jsonl; fetched from the hub if left out. GPQA is fetched always, and kept in memory."""
    label: str = ""
    """What a comparison calls this run, e.g. `after ACT`; the model's name if empty."""
    out: Path = Path("runs/reasoning")
    """The run folder."""
    limit: int = 0
    """The first so many questions of each; 0 for all."""
    thinking: bool = False
    """Let the model reason: switched on in chat templates that know it, and asked for in words."""
    max_new_tokens: int = 2048
    """Longest reply; with reasoning many thousands may be needed. `no answer` shows what was cut off."""
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
    arguments = parse(Arguments, sys.argv[1:] if argv is None else argv, program="act-gym reasoning")
    if not arguments.tasks or arguments.limit < 0 or arguments.batch_size < 1 or arguments.temperature < 0:
        raise UsageError("Expected at least one of --tasks, --limit and --temperature of 0 or more, --batch-size of 1.")
    inputs = [arguments.data] if arguments.data is not None and "math500" in arguments.tasks else []
    # What cannot be had is said before a model is loaded.
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


def ask(policy: Policy, name: ExamName, rows: Sequence[dict[str, Any]], settings: Arguments) -> list[dict[str, Any]]:
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
        think_end_token="</think>",  # noqa: S106 (no password: what stands before it is no answer)
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


def _policy(arguments: Arguments) -> Policy:
    from agents.local.model import Policy

    return Policy.load(arguments.model, device=arguments.device, dtype=arguments.dtype)


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
