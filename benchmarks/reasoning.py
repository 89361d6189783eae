"""`act-gym reasoning`: MATH-500 and GPQA-Diamond through lm-eval, to see whether reasoning survives the training.

    act-gym reasoning --model runs/x/rl/checkpoint --tasks math500 --math-data test.jsonl

The paper measures its models with these two (arXiv 2603.08706). Questions, prompts and marking are those of lm-eval's
tasks `minerva_math500` (four examples, Math-Verify) and `gpqa_diamond_cot_zeroshot`, so that numbers compare with
others'. Replies to MATH-500 are kept in the run folder; of GPQA only whether each was right, because its authors ask
that its questions are never put online (arXiv 2311.12022).
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

from act_gym.config import Bound, NotNegative, Positive, parse
from act_gym.errors import MissingDataError, MissingDependencyError, UsageError
from act_gym.io.jsonl import read_records, write_json, write_records
from act_gym.io.run_dir import Run
from benchmarks.probes.answers import share
from benchmarks.reporting.tables import show_summary
from benchmarks.stats.measurement import Measurement, Summary, grouped

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["EXAMS", "Exam", "ExamName", "ReasoningConfig", "ask", "main", "measure"]

ExamName = Literal["math500", "gpqa"]

_HOW_TO_GET_GPQA = """GPQA is given only to those who agree not to publish its questions. Once:
  1. Make an account at https://huggingface.co and open https://huggingface.co/datasets/Idavidrein/gpqa
  2. Agree to its terms there.
  3. Make a token that may read gated repositories: https://huggingface.co/settings/tokens
  4. export HF_TOKEN=…   (the environment, and never the command line)
Then run the same command again, or give the file: --gpqa-data gpqa_diamond.csv"""


@dataclass(frozen=True)
class Exam:
    """One of lm-eval's tasks.

    Attributes:
        title: Name in tables.
        task: lm-eval's name.
        file: Its settings in lm-eval's folder of tasks.
        split: The split that is asked.
        metric: lm-eval's metric of a right answer.
        answers: lm-eval's filter that reads the answer.
        subject: Column of a question's subject.
        advice: How to get the questions where the hub does not give them.
        secret: Whether replies must not be written anywhere.
    """

    title: str
    task: str
    file: str
    split: str
    metric: str
    answers: str
    subject: str
    advice: str
    secret: bool = False


EXAMS: Mapping[ExamName, Exam] = {
    "math500": Exam(
        "MATH-500",
        "minerva_math500",
        "minerva_math/minerva_math500.yaml",
        "test",
        "math_verify",
        "none",
        "subject",
        "Give the file of HuggingFaceH4/MATH-500: --math-data test.jsonl",
    ),
    "gpqa": Exam(
        "GPQA-Diamond",
        "gpqa_diamond_cot_zeroshot",
        "gpqa/cot_zeroshot/gpqa_diamond_cot_zeroshot.yaml",
        "train",
        "exact_match",
        "flexible-extract",
        "High-level domain",
        _HOW_TO_GET_GPQA,
        secret=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class ReasoningConfig:
    """Ask a model the questions of MATH-500 and GPQA-Diamond."""

    model: str = "smollm2"
    """`smollm2`, a folder with a checkpoint, or an id of the Hugging Face hub."""
    tasks: tuple[ExamName, ...] = ("math500",)
    """math500, gpqa, or both."""
    math_data: Path | None = None
    """MATH-500's test.jsonl; fetched from the hub if left out."""
    gpqa_data: Path | None = None
    """GPQA's gpqa_diamond.csv; fetched from the hub if left out."""
    label: str = ""
    """Name of this run in comparisons, e.g. `after ACT`; the model's name if empty."""
    out: Path = Path("runs/reasoning")
    """The run folder."""
    limit: NotNegative = 0
    """The first so many questions of each; 0 for all."""
    thinking: bool = False
    """Let the model reason, in chat templates that have a switch for it; text before `</think>` is no answer."""
    max_new_tokens: Positive = 2048
    """Longest reply; with reasoning many thousands may be needed. `no answer` counts the truncated ones."""
    temperature: Annotated[float, Bound(least=0)] = 0.0
    """0 takes the likeliest token."""
    seed: NotNegative = 0
    """Of sampled replies, and of the order of GPQA's choices."""
    batch_size: Positive = 8
    """Questions asked at once."""
    device: str = "auto"
    """`auto`, `cpu` or a torch device such as `cuda:1`."""
    dtype: str = "auto"
    """`float32`, `bfloat16`, `float16` or `auto`."""
    json: bool = False
    """Print the summary as JSON instead of a table."""
    resume: bool = False
    """Continue the run in the folder; an exam that was finished is not asked again."""

    def data(self, name: ExamName) -> Path | None:
        """Return the local file of an exam."""
        return self.math_data if name == "math500" else self.gpqa_data


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(ReasoningConfig, sys.argv[1:] if argv is None else argv, program="act-gym reasoning")
    if not arguments.tasks:
        raise UsageError("Expected at least one of --tasks.")
    names = tuple(dict.fromkeys(arguments.tasks))
    inputs = [file for name in names if (file := arguments.data(name))]
    for file in inputs:
        if not file.is_file():
            raise MissingDataError(f"No file {file}.")
    for package in ("lm_eval", "math_verify"):  # before a model is loaded
        if find_spec(package) is None:
            raise MissingDependencyError(package, "reasoning")
    run = Run(arguments.out, "benchmarks.reasoning", arguments, inputs=inputs, resume=arguments.resume)
    policy = None
    for name in names:
        kept = run.path(f"{name}.jsonl")
        if not kept.exists():
            policy = policy or _policy(arguments)
            records = ask(policy, name, arguments)
            write_json(run.path(f"{name}.json"), {"model": policy.name, "questions": len(records)})
            write_records(kept, records)
    records = [record for name in names for record in read_records(run.path(f"{name}.jsonl"))]
    model = json.loads(run.path(f"{names[0]}.json").read_text(encoding="utf-8"))["model"]
    subject = f"{model}:{'reasoning' if arguments.thinking else 'direct'}"
    summary = Summary(
        kind="reasoning", label=arguments.label or subject, subject=subject, measurements=measure(records)
    )
    summary.write(run.folder)
    show_summary(summary, as_json=arguments.json)
    return 0


def ask(policy: Policy, name: ExamName, settings: ReasoningConfig) -> list[dict[str, Any]]:
    """Ask a model one exam's questions.

    Args:
        policy: The model.
        name: Which exam.
        settings: How they are asked.

    Returns:
        One record a question, in their order, without the question; for GPQA without the reply too.

    Raises:
        MissingDataError: The questions cannot be read or fetched.
    """
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import OfflineModeIsEnabled
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    exam = EXAMS[name]
    sampling = {"do_sample": bool(settings.temperature), "temperature": settings.temperature}
    model = HFLM(
        pretrained=policy.model,
        tokenizer=policy.tokenizer,
        batch_size=settings.batch_size,
        max_length=policy.context,
        enable_thinking=settings.thinking,
        think_end_token="</think>",  # noqa: S106 (no password: text before it is no answer)
    )
    with TemporaryDirectory() as folder:
        try:
            found = simple_evaluate(
                model=model,
                tasks=[_task(exam, settings.data(name), Path(folder))],
                limit=settings.limit or None,
                apply_chat_template=True,
                gen_kwargs={"max_gen_toks": settings.max_new_tokens, **sampling},
                log_samples=True,
                bootstrap_iters=0,
                random_seed=settings.seed,
                numpy_random_seed=settings.seed,
                torch_random_seed=settings.seed,
                fewshot_random_seed=settings.seed,
            )
        except (DatasetNotFoundError, OfflineModeIsEnabled, OSError) as cause:
            raise MissingDataError(f"Cannot fetch {exam.title} from the hub: {cause}\n{exam.advice}") from cause
        except KeyError as cause:
            raise MissingDataError(f"{settings.data(name)} is not {exam.title}: it has no column {cause}.") from cause
    (samples,) = found["samples"].values()
    read = [sample for sample in samples if sample["filter"] == exam.answers]
    return [_record(exam, sample) for sample in sorted(read, key=lambda sample: int(sample["doc_id"]))]


def _task(exam: Exam, data: Path | None, folder: Path) -> str:
    """Return the name of lm-eval's task, or a file of settings that lays a local file of questions over it."""
    if data is None:
        return exam.task
    import lm_eval
    import yaml

    settings = {
        "include": str(Path(lm_eval.__file__).parent / "tasks" / exam.file),
        "task": f"{exam.task}_local",
        "dataset_path": "csv" if data.suffix == ".csv" else "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {exam.split: str(data.resolve())}},
    }
    file = folder / "task.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return str(file)


def _record(exam: Exam, sample: Mapping[str, Any]) -> dict[str, Any]:
    from math_verify import parse as answer_in

    (answer,) = sample["filtered_resps"]
    missing = not answer_in(answer) if exam.answers == "none" else answer == "[invalid]"
    return {
        "number": sample["doc_id"],
        "benchmark": exam.title,
        "split": "",
        "task_type": sample["doc"].get(exam.subject) or "all",
        "right": bool(sample[exam.metric]),
        "no_answer": missing,
        **({} if exam.secret else {"reply": sample["resps"][0][0]}),
    }


def measure(records: Iterable[Mapping[str, Any]]) -> tuple[Measurement, ...]:
    """Measure the answers of every exam and subject."""
    found: list[Measurement] = []
    for group, members in grouped(records):
        found += share("accuracy", (record["right"] for record in members), group)
        found += share("no_answer", (record["no_answer"] for record in members), group)
    return tuple(found)


def _policy(arguments: ReasoningConfig) -> Policy:
    from agents.local.model import Policy

    return Policy.load(arguments.model, device=arguments.device, dtype=arguments.dtype)


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
