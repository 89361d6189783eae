"""Life cycle of a stage around its trainer: resume, train, save, summarise.

Shared by the supervised stages (`supervised/`) and the GRPO stages (`grpo/`).
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from act_gym.config import check_bounds
from act_gym.errors import MissingDependencyError, RunError, UsageError
from act_gym.io.jsonl import read_records
from act_gym.io.run_dir import Run
from trainers.dry_run import measured_steps
from trainers.run import checkpoints, distributed, eval_panel, metrics, trackers
from trainers.run.config import FREE_SETTINGS, ModelSettings, OutputSettings, Precision, StageConfig
from trainers.run.logging import note
from trainers.run.provenance import in_words, origin

__all__ = [
    "check_inputs",
    "check_packages",
    "common_config",
    "dataset_of",
    "facts_of",
    "finish",
    "lora",
    "micro_batches",
    "open_run",
    "resolve_precision",
    "show",
    "step_size",
    "table",
]

_SUMMED_UP = (
    "loss",
    "reward",
    "accuracy",
    "format_error_rate",
    "numbered",
    "frac_reward_zero_std",
    "accuracy_expert_first",
    "accuracy_expert_second",
    "preferred",
    "margin",
)
"""Metrics whose mean over the last quarter of the training is in a summary."""
_UNCHANGED = (
    "warning: {stage} ends with the weights it began with; none of its {steps} steps changed them. Every gradient was "
    "zero, or every update was rounded away."
)


S = TypeVar("S", bound=StageConfig)


def open_run(
    program: str,
    config: S,
    inputs: Sequence[Path],
    *,
    models: Sequence[str] = (),
    check: Callable[[S], None] | None = None,
) -> tuple[Run, dict[str, Any] | None]:
    """Open a stage's run folder; also return its summary if the stage is already finished.

    The weights the stage starts from are among the hashed inputs, so a run is never continued from another model.
    Nor is it by another number of processes, or under another sharding, which could not read its states.

    Args:
        program: The stage's module.
        config: The program's settings.
        inputs: Files of records it reads.
        models: Other models than the one that is trained.
        check: Called with the arguments of a stage that is not finished. If it raises, no folder is left.

    Raises:
        MissingDependencyError: A package that trains is not installed.
        MissingDataError: A model is missing.
        RunError: An input cannot be read or is empty, or the folder holds another run.
        UsageError: A setting is outside its bounds.
    """
    check_bounds(config)
    check_packages()
    trackers.check(config.report_to)

    def checked() -> None:
        (check or (lambda _: None))(config)
        check_inputs(inputs)  # before the default model is converted
        eval_panel.check(config, inputs)

    if config.dry_run:
        checked()
        return _Watched(config.out), None

    def opened() -> tuple[Run, dict[str, Any] | None]:
        summary = checkpoints.finished(config.out)
        if summary is None:
            checked()
        # Measured steps are never continued, and weights take long to hash.
        names = () if config.measure_steps else (config.model, *models)
        weights = [path for name in names for path in sorted(checkpoints.find_model(name).glob("*.safetensors"))]
        facts = facts_of(inputs) if summary is None else {}
        _tell(facts.get("alternatives", {}), config.model)
        files = [*inputs, *weights]
        run = Run(config.out, program, config, inputs=files, facts=facts, resume=config.resume, free=FREE_SETTINGS)
        if summary is None and config.resume:
            metrics.rewind(config.out, checkpoints.step_of(checkpoints.last_state(config.out)))
        return run, summary

    run, summary = distributed.by_first(opened)
    if summary is not None:
        note(f"{config.out} is finished already.")
    return run if distributed.is_first() else _Watched(config.out), summary


def check_inputs(inputs: Iterable[Path]) -> None:
    """Check that files hold records; only the first record of each is read.

    Raises:
        RunError: A file cannot be read or is empty.
    """
    for path in inputs:
        if next(iter(read_records(path)), None) is None:
            raise RunError(f"{path} holds no records. It was left empty by the command that made it; run that again.")


def check_packages() -> None:
    """Check the training packages before there is a run folder; they are imported only when the training begins.

    Raises:
        MissingDependencyError: A package is not installed.
    """
    for package in ("torch", "transformers", "trl", "accelerate", "datasets", "peft"):
        if find_spec(package) is None:
            raise MissingDependencyError(f"The package {package}", "train")


def facts_of(inputs: Sequence[Path]) -> dict[str, Any]:
    """Return a manifest's entries other than arguments: the launch, and the proposers of the alternatives it reads."""
    origins = {str(path): found for path in inputs if path.suffix == ".jsonl" and (found := origin(path))}
    return {"launched": distributed.described(), **({"alternatives": origins} if origins else {})}


def _tell(origins: Mapping[str, Mapping[str, Any]], model: str) -> None:
    """Print the proposers of the alternatives that a model is trained on; it need not be the model itself."""
    for path, found in origins.items():
        note(f"{path}: alternatives by {in_words(found)}; {model} is trained.")


class _Watched(Run):
    """Run folder that another process writes, or that is not made in a dry run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def log(self, **values: Any) -> None:
        """Do nothing; the first process logs."""


def resolve_precision(precision: Precision) -> Precision:
    """Resolve `auto` on this machine: `mixed` where the hardware multiplies in bf16, else `fp32`."""
    if precision != "auto":
        return precision
    import torch

    from agents.local.model import cpu_has_bf16

    if torch.cuda.is_available():
        return "mixed" if torch.cuda.is_bf16_supported() else "fp32"
    # Transformers allows bf16 with DeepSpeed on GPUs only.
    return "mixed" if cpu_has_bf16() and not distributed.uses_deepspeed() else "fp32"


def lora(config: ModelSettings) -> Any:
    """Return peft's configuration; None if all weights are trained."""
    if not config.lora_rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or 2 * config.lora_rank,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def common_config(config: StageConfig, *, sequences: int) -> dict[str, Any]:
    """Return the arguments of Transformers' trainers that all stages share.

    Args:
        config: The program's config.
        sequences: Sequences in one optimizer step, of all processes together.

    Raises:
        UsageError: The sequences do not divide into processes and micro-batches.
    """
    import torch

    micro_batch, passes = micro_batches(sequences, config.micro_batch)
    mixed = resolve_precision(config.precision) == "mixed"
    on_gpu = torch.cuda.is_available()
    if mixed and distributed.uses_deepspeed() and not on_gpu:
        raise UsageError("DeepSpeed trains with --precision mixed on GPUs only; use fp32.")
    return {
        "output_dir": str(config.out / "state"),
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": passes,
        "num_train_epochs": config.epochs,
        "max_steps": config.steps or -1,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if config.schedule == "constant" else config.schedule,
        "warmup_steps": config.lr_warmup,  # below 1 it is a share of the steps
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "bf16": mixed,
        # Without it, bf16 is refused off the GPU; with it, DeepSpeed is ignored.
        "use_cpu": not on_gpu and not distributed.uses_deepspeed() and (mixed or distributed.count() > 1),
        "ddp_find_unused_parameters": False,
        "ddp_backend": None if on_gpu or distributed.count() == 1 else "gloo",
        "activation_checkpointing": config.gradient_checkpointing,
        "seed": config.seed,
        "logging_steps": config.log_every,
        "save_strategy": "steps" if config.save_every else "no",
        "save_steps": config.save_every or 500,
        # The last one is dropped by one process when others may still be writing theirs.
        "save_total_limit": 1 if distributed.count() == 1 else 2,
        "report_to": "none",  # `trackers` does
        "disable_tqdm": True,  # we have a bar of our own
        "dataloader_pin_memory": on_gpu,
    }


def micro_batches(sequences: int, micro_batch: int) -> tuple[int, int]:
    """Return the sequences of a process's micro-batch, and how many of those it runs in an optimizer step.

    Args:
        sequences: Sequences in one optimizer step, of all processes together.
        micro_batch: Sequences wanted in a micro-batch; a step that has fewer is one micro-batch.

    Raises:
        UsageError: The sequences do not divide into processes and micro-batches.
    """
    sequences = distributed.per_process(sequences)
    micro_batch = min(micro_batch, sequences)
    if sequences % micro_batch:
        raise UsageError(
            f"{sequences} sequences a step do not divide into micro-batches of {micro_batch}. "
            f"Give a --micro-batch that divides {sequences}."
        )
    return micro_batch, sequences // micro_batch


def dataset_of(rows: Sequence[Mapping[str, Any]], config: OutputSettings) -> Any:
    """Return rows as a dataset; of several processes each reads the same files.

    So all processes share a trainer's cache in the dataset's folder: TRL's DPO keeps reference log-probabilities there.
    """
    from datasets import Dataset, load_from_disk

    if distributed.count() == 1:
        return Dataset.from_list(list(rows))
    folder = config.out / "state" / "data"

    def write() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        Dataset.from_list(list(rows)).save_to_disk(str(folder))

    distributed.by_first(write)
    return load_from_disk(str(folder))


def step_size(batch: int, rows: int, micro_batch: int) -> int:
    """Return the rows of an optimizer step: a batch, or, where there are fewer rows, whole micro-batches of them."""
    return batch if rows >= batch else rows - rows % min(micro_batch, rows)


def finish(
    trainer: Any,
    tokenizer: Any,
    run: Run,
    config: StageConfig,
    stage: str,
    extra: Mapping[str, Any],
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train, or resume training; save the checkpoint; mark the stage done; return its summary.

    `notes` are JSON files that the checkpoint holds in addition to the model, by name.
    """
    if config.measure_steps:
        return measured_steps.measure(trainer, config, stage, extra)
    from transformers import PrinterCallback

    from trainers.run.callbacks import MemoryCallback, MetricsCallback, ProgressCallback, ResumeCallback
    from trainers.run.eval_callback import evaluations
    from trainers.run.schedule import fingerprint
    from trainers.run.stopping import StopCallback

    trainer.remove_callback(PrinterCallback)  # it prints to stdout
    state = distributed.by_first(lambda: checkpoints.last_state(config.out))
    before = fingerprint(trainer.model)
    earlier = metrics.read_lines(config.out) if state else []
    logged, bar = MetricsCallback(run, stage, earlier), ProgressCallback(stage)
    # GRPO's replies are used for several steps, between which no state holds them.
    stop = StopCallback(every=getattr(trainer, "num_iterations", 1))
    played = evaluations(trainer, tokenizer, run, config, stage, notes)
    for callback in (ResumeCallback(), MemoryCallback(), logged, bar, *played, stop):
        trainer.add_callback(callback)
    _log_start(trainer, run, stage, earlier, checkpoints.step_of(state) or 0)
    started = time.perf_counter()
    try:
        with (
            stop.listening() if config.save_every else nullcontext(),
            trackers.reporting(trainer, config.report_to, config.out, checkpoints.step_of(state) or 0),
        ):
            trainer.train(resume_from_checkpoint=None if state is None else str(state))
    finally:
        bar.stop()
    stop.finish(trainer.state)
    seconds = time.perf_counter() - started + metrics.seconds_of(earlier)
    steps = trainer.state.global_step
    summary: dict[str, Any] = {"stage": stage, "steps": steps, "seconds": round(seconds, 1)}
    summary |= {**extra, **metrics.measured_before(earlier)}
    means = {name: logged.mean_of_last(name) for name in _SUMMED_UP}
    summary |= {name: round(mean, 4) for name, mean in means.items() if mean is not None}
    summary |= eval_panel.summary_of(config.out)
    if fingerprint(trainer.model) == before:
        note(_UNCHANGED.format(stage=stage, steps=steps))
    return _leave(trainer, tokenizer, run, config, summary, notes)


def _leave(
    trainer: Any,
    tokenizer: Any,
    run: Run,
    config: StageConfig,
    summary: dict[str, Any],
    notes: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Save the checkpoint and mark the stage done."""
    weights, model = checkpoints.gathered(trainer), trainer.accelerator.unwrap_model(trainer.model)

    def close() -> dict[str, Any]:
        digest = checkpoints.save(
            model, tokenizer, config.out / "checkpoint", weights=weights, base=config.model, notes=notes
        )
        run.log(event="done", **summary)
        checkpoints.mark_done(config.out, digest, summary)
        return summary

    return distributed.by_first(close)


def _log_start(trainer: Any, run: Run, stage: str, earlier: Sequence[dict[str, Any]], step: int) -> None:
    sequences = (
        trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps * distributed.count()
    )
    distributed.by_first(lambda: metrics.check_sequences(earlier, sequences))
    run.log(stage=stage, event="start", after=step, sequences=sequences)


def show(summary: Mapping[str, Any], out: Path) -> None:
    """Write a stage's summary to stdout: the last quarter of its training, and where the model is."""
    if not distributed.is_first():
        return
    width = max(len(name) for name in (*summary, "checkpoint"))
    lines = [f"{name:<{width}}  {value}" for name, value in summary.items()]
    if "dry_run" not in summary:
        lines.append(f"{'checkpoint':<{width}}  {out / 'checkpoint'}")
    sys.stdout.write("\n".join(lines) + "\n")


def table(summaries: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return summaries as lines of aligned columns; a metric that a stage does not measure is a dash."""
    rows = [tuple(columns), *(tuple(str(summary.get(name, "-")) for name in columns) for summary in summaries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"
