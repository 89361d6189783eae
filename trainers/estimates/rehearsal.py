"""`--dry-run`: says what a training would do and what it would cost, and leaves nothing behind.

The stage is set up as always, in a temporary folder, on its real data. Then three real steps are run and thrown
away: one on the longest questions, whose memory is the peak, and two on questions of all lengths, whose time is a
step's. Where the model is not here, or does not fit, the cost is counted (`counting.py`), and the report says so.
"""

from __future__ import annotations

import contextlib
import gc
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from act_gym.errors import MissingDataError, UsageError
from trainers.estimates.costs import SHAPES, Shape
from trainers.estimates.counting import ASSUMED, Load, adapters, held, operations, seconds
from trainers.estimates.sampled_steps import measured
from trainers.runs import checkpoints, processes

__all__ = ["current", "dry_run", "rehearsed"]

T = TypeVar("T")
_GIB = 2**30
_STAND_IN = "smollm2"


@dataclass(frozen=True)
class Rehearsal:
    """A dry run that is under way.

    Attributes:
        shape: The model's, as far as it is known.
        counted: Why steps are counted and not run; empty if they are run.
    """

    shape: Shape | None
    counted: str = ""


_CURRENT: ContextVar[Rehearsal | None] = ContextVar("rehearsal", default=None)


def current() -> Rehearsal | None:
    """Return the dry run that is under way; None if training is meant."""
    return _CURRENT.get()


def dry_run(train: Callable[[T], dict[str, Any]]) -> Callable[[T], dict[str, Any]]:
    """Let a stage's `train` be a rehearsal where its arguments say `dry_run`."""

    @wraps(train)
    def maybe(arguments: Any) -> dict[str, Any]:
        return _rehearse(train, arguments) if arguments.dry_run else train(arguments)

    return maybe


def _rehearse(train: Callable[[Any], dict[str, Any]], arguments: Any) -> dict[str, Any]:
    with TemporaryDirectory(prefix="act-gym-dry-run-") as folder:
        shape, model, counted = _model(arguments, Path(folder))
        # What is there to stop or forecast a real run would take longer than the steps that are measured.
        off = {"probe": 0, "forecast": 0, "save_every": 0, "report_to": "none", "resume": False, "force": True}
        known = {name: value for name, value in off.items() if hasattr(arguments, name)}
        prepared = replace(arguments, model=model, out=Path(folder) / "run", **known)
        _write_monologues(prepared)
        token = _CURRENT.set(Rehearsal(shape, counted))
        try:
            with _no_reference():
                return train(prepared)
        finally:
            _CURRENT.reset(token)
            gc.collect()


def _model(arguments: Any, folder: Path) -> tuple[Shape | None, str, str]:
    """Return the model's shape, the model that is set up, and why steps are only counted."""
    wanted = Path(arguments.model).expanduser()
    try:
        place = checkpoints.find_model(arguments.model)
    except MissingDataError:
        known = next((shape for name, shape in SHAPES.items() if name in wanted.name.lower()), None)
        shape = _shape(wanted) or known
        if shape is None:
            raise
        return shape, _stand_in(wanted, folder), f"there is no model in {wanted}"
    shape = _shape(place)
    if shape is None:
        return None, arguments.model, ""
    alone = Load(sequences=1, prompt=1, written=0, longest=1, micro_batch=1)
    states, _ = held(shape, arguments, alone, precision=_precision(arguments))
    needed, there = states / (processes.count() if processes.uses_deepspeed() else 1), _available()
    if needed > there:
        reason = f"weights and optimizer need {needed / _GIB:,.0f} GiB of the {there / _GIB:,.0f} there are"
        return shape, _stand_in(place, folder), reason
    return shape, arguments.model, ""


def _shape(folder: Path) -> Shape | None:
    """Return the shape that a folder's config.json tells; None if it is not there or not of a decoder that is known."""
    try:
        return Shape.read(folder)
    except (UsageError, AttributeError):
        return None


def _precision(arguments: Any) -> str:
    return "mixed" if arguments.precision == "auto" else str(arguments.precision)


def _stand_in(wanted: Path, folder: Path) -> str:
    """Return a small model with the wanted model's tokenizer, if that is here: it is only set up, and never run."""
    files = [file for file in wanted.glob("*") if file.suffix in (".json", ".txt", ".model", ".jinja")]
    if not any(file.name.startswith("tokenizer") for file in files):
        return _STAND_IN
    small, place = checkpoints.find_model(_STAND_IN), folder / wanted.name
    place.mkdir()
    for file in [*small.glob("*.safetensors"), small / "config.json"]:
        (place / file.name).symlink_to(file)
    for file in files:
        if file.name not in ("config.json", "generation_config.json") and "safetensors" not in file.name:
            shutil.copy(file, place / file.name)
    return str(place)


def _available() -> float:
    """Return the bytes of memory that are free for a model: the GPU's, or the machine's."""
    import psutil
    import torch

    return float(torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available)


def _write_monologues(arguments: Any) -> None:
    """Put words in the place of the monologues that the stage reflection would have a model write first."""
    if not hasattr(arguments, "writer"):
        return
    from act_gym.records import RecordWriter
    from trainers.examples.questions import read_experience

    text = " ".join(["because"] * (arguments.max_new_tokens // 2))
    with RecordWriter(arguments.out / "reflections.jsonl") as writer:
        for name in dict.fromkeys(one.decision.id for one in read_experience(arguments.experience, arguments.limit)):
            writer.write({"id": name, "kind": "kept", "monologue": text})


@contextlib.contextmanager
def _no_reference() -> Iterator[None]:
    """Keep DPO from asking the reference about all of the data; a step takes as long whatever it said."""
    from trl import DPOTrainer

    original = DPOTrainer._precompute_ref_logps

    def zeros(_: Any, dataset: Any, *__: Any) -> Any:
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            dataset = dataset.add_column(name, [0.0] * len(dataset))
        return dataset

    DPOTrainer._precompute_ref_logps = zeros
    try:
        yield
    finally:
        DPOTrainer._precompute_ref_logps = original


def rehearsed(trainer: Any, arguments: Any, stage: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a stage would do and cost; its trainer is used up.

    Args:
        trainer: Set up with the whole data.
        arguments: The program's.
        stage: Its name.
        extra: What the stage found out before.
    """
    rehearsal = current()
    assert rehearsal is not None
    lengths = _lengths(trainer)
    group = getattr(arguments, "num_generations", 1)
    sequences = trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps * processes.count()
    questions = max(1, sequences // group)
    steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())[-1]
    written = getattr(arguments, "max_completion_tokens", 0) if group > 1 else 0
    load = Load(
        sequences=sequences,
        prompt=sum(lengths) / len(lengths),
        written=written,
        longest=max(lengths) + written,
        micro_batch=trainer.args.per_device_train_batch_size,
        group=group if getattr(arguments, "shared_prompt", False) else 1,
        most=getattr(arguments, "micro_tokens", 0),
    )
    unit = "pairs" if stage == "dpo" else "sequences"
    found: dict[str, Any] = {
        "stage": stage,
        "dry_run": True,
        **extra,
        "tokens": sum(lengths),
        "longest": max(lengths),
        "epochs": round(steps * questions / len(lengths), 2),
        "steps": steps,
        "a_step": f"{questions} questions x {group} replies" if group > 1 else f"{sequences} {unit}",
        "processes": processes.count(),
    }
    cost = (
        _counted(rehearsal, arguments, load, steps)
        if rehearsal.counted
        else measured(trainer, lengths, questions, steps)
    )
    return {**found, **cost, **_disk(rehearsal, arguments)}


def _lengths(trainer: Any) -> list[int]:
    """Return how many tokens each row of the data has; of a GRPO question its prompt's."""
    rows, tokenizer = trainer.train_dataset, trainer.processing_class
    names = rows.column_names
    if "input_ids" in names:
        return [len(row) for row in rows["input_ids"]]
    if "prompt_ids" in names:
        parts = [rows[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids")]
        return [sum(map(len, row)) + len(row[0]) for row in zip(*parts, strict=True)]
    options = {"tokenize": False, "add_generation_prompt": True, **(trainer.args.chat_template_kwargs or {})}
    texts = [tokenizer.apply_chat_template(prompt, **options) for prompt in rows["prompt"]]
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []


def _counted(rehearsal: Rehearsal, arguments: Any, load: Load, steps: int) -> dict[str, Any]:
    if rehearsal.shape is None:
        raise UsageError(f"Nothing is known of the shape of {arguments.model}.")
    count = processes.count()
    taken = seconds(rehearsal.shape, arguments, load, processes=count)
    shared, own = held(rehearsal.shape, arguments, load, precision=_precision(arguments))
    return {
        "petaflop_a_step": round(operations(rehearsal.shape, arguments, load) / 1e15, 2),
        "seconds_a_step": round(taken, 2),
        "estimated_seconds": round(taken * steps, 1),
        "peak_memory_gib": round((shared / (count if processes.uses_deepspeed() else 1) + own) / _GIB, 1),
        "shareable_memory_gib": round(shared / _GIB, 1),
        "how": f"counted, as {rehearsal.counted}; on {count} x {ASSUMED}, every reply of full length; tokens are "
        f"{Path(arguments.model).name}'s",
    }


def _disk(rehearsal: Rehearsal, arguments: Any) -> dict[str, float]:
    """Return the gigabytes of the checkpoint, and of the states that a run keeps to resume from while it trains."""
    if rehearsal.shape is None:
        return {}
    weights = rehearsal.shape.parameters
    checkpoint = weights * (2 if arguments.precision == "bf16" else 4)
    trained = adapters(rehearsal.shape, arguments.lora_rank) if arguments.lora_rank else weights
    state = trained * 12 * 2  # weights and two moments; the old state goes when the new one is there
    return {"checkpoint_gb": round(checkpoint / 1e9, 2), "state_gb": round(state / 1e9, 2)}
