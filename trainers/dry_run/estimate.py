"""`--dry-run`: counts the steps and costs of a training, or of a pipeline of them; writes nothing.

The data, the model's tokenizer and the shape in its config.json are enough. Seconds are those of an assumed device
(`costs.py`); `--measure-steps` (`measured_steps.py`) runs real steps on this machine. In a pipeline the first model
takes the place of checkpoints that do not exist yet, and a stage without data is counted as far as its recipe allows.

"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from act_gym.errors import MissingDataError, UsageError
from act_gym.sampling import select_from
from trainers.dry_run.costs import ASSUMED, SHAPES, Load, Shape, adapters, held, operations, seconds
from trainers.run import checkpoints, distributed
from trainers.run.config import BatchSettings, GroupSettings, ModelSettings, StageConfig
from trainers.run.logging import note

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = [
    "COLUMNS",
    "count",
    "described",
    "disk",
    "outlook",
    "precision_of",
    "shape_of",
    "shape_or_reason",
    "tokens_of",
    "total",
]


_GIB = 2**30
_STAND_IN = "smollm2"
"""The model whose tokenizer counts where the model itself is not on this machine."""


def tokens_of(name: str) -> Policy:
    """Return a model's tokenizer as a policy without weights: it turns questions into tokens and cannot answer.

    Raises:
        MissingDataError: The model is not here, and nothing is known of its shape.
    """
    from transformers import AutoTokenizer, GenerationConfig

    from agents.local.model import Policy

    class Tokens(Policy):
        def __init__(self, tokenizer: Any, stops: Any) -> None:
            self.tokenizer, self.name, self.tools = tokenizer, name, ()
            self.model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=stops))  # type: ignore[assignment]

    _, folder, _ = _found(name)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    if not tokenizer.chat_template:
        raise UsageError(f"The tokenizer of {folder} has no chat template; use a model made for chat.")
    written = (folder / "generation_config.json").exists()
    return Tokens(tokenizer, GenerationConfig.from_pretrained(folder).eos_token_id if written else None)


def _found(name: str) -> tuple[Shape | None, Path, str]:
    """Return a model's shape, the folder of the tokenizer that counts for it, and why that is not the model's own."""
    wanted = Path(name).expanduser()
    try:
        folder = checkpoints.find_model(name)
    except MissingDataError:
        known = next((shape for key, shape in SHAPES.items() if key in wanted.name.lower()), None)
        shape = shape_of(wanted) or known
        if shape is None:
            raise
        if any(wanted.glob("tokenizer*")):
            return shape, wanted, f"there are no weights in {wanted}"
        return shape, checkpoints.find_model(_STAND_IN), f"there is no model in {wanted}; tokens are {_STAND_IN}'s"
    return shape_of(folder), folder, ""


def shape_or_reason(name: str) -> tuple[Shape | None, str]:
    """Return a model's shape as far as it is known, and why its own tokens are not counted; empty if they are.

    Raises:
        MissingDataError: The model is not here, and nothing is known of its shape.
    """
    shape, _, reason = _found(name)
    return shape, reason


def shape_of(folder: Path) -> Shape | None:
    """Return the shape in a folder's config.json; None if it is not there or not of a decoder that is known."""
    try:
        return Shape.read(folder)
    except (UsageError, AttributeError):
        return None


def precision_of(config: ModelSettings) -> str:
    """Return the precision that is counted with: `auto` is mixed on the devices that estimates assume."""
    return "mixed" if config.precision == "auto" else str(config.precision)


def count(stage: str, config: StageConfig, lengths: Sequence[int], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the steps and the costs of a stage.

    Args:
        stage: Its name.
        config: The program's.
        lengths: Tokens of each row of its data; of a GRPO question its prompt's.
        extra: Further values of the stage on its data.
    """
    sequences, micro_batch, steps = _steps(config, len(lengths))
    found, load = described(stage, config, lengths, sequences, micro_batch, steps, extra)
    shape, reason = shape_or_reason(config.model)
    if shape is None:
        how = f"counted: tokens and steps; the shape of {config.model} is not known, so no time and no memory"
        return {**found, "how": how}
    devices = distributed.count()
    taken = seconds(shape, config, load, processes=devices)
    shared, own = held(shape, config, load, precision=precision_of(config))
    return {
        **found,
        "petaflop_a_step": round(operations(shape, config, load) / 1e15, 2),
        "seconds_a_step": round(taken, 3),
        "estimated_seconds": round(taken * steps, 1),
        "peak_memory_gib": round((shared / (devices if distributed.uses_deepspeed() else 1) + own) / _GIB, 1),
        "shareable_memory_gib": round(shared / _GIB, 1),
        **disk(shape, config),
        "how": f"counted{f', {reason}' if reason else ''}; on {devices} x {ASSUMED}, every reply of full length; "
        "--measure-steps runs steps on this machine",
    }


def _steps(config: StageConfig, rows: int) -> tuple[int, int, int]:
    """Return the sequences of a step, those of a pass of one process, and the steps of the whole training."""
    from trainers.run.stage import common_config, step_size

    if isinstance(config, GroupSettings):
        questions = min(config.groups, rows)
        sequences = questions * config.num_generations
        made = common_config(config, sequences=sequences)
        per_epoch = rows // questions * config.iterations
    else:
        assert isinstance(config, BatchSettings)
        config = replace(config, micro_batch=max(1, config.micro_batch // config.sequences_per_row))
        sequences = step_size(config.batch, rows, config.micro_batch)
        made = common_config(config, sequences=sequences)
        passes = math.ceil(math.ceil(rows / made["per_device_train_batch_size"]) / distributed.count())
        per_epoch = math.ceil(passes / made["gradient_accumulation_steps"])
    steps = config.steps or math.ceil(config.epochs * per_epoch)
    return sequences, made["per_device_train_batch_size"], steps


def described(
    stage: str,
    config: StageConfig,
    lengths: Sequence[int],
    sequences: int,
    micro_batch: int,
    steps: int,
    extra: Mapping[str, Any],
) -> tuple[dict[str, Any], Load]:
    """Return the steps of a training, and the load of one step.

    Args:
        stage: Its name.
        config: The program's.
        lengths: Tokens of each row.
        sequences: Of one step, of all processes.
        micro_batch: Sequences of one pass of one process.
        steps: Of the whole training.
        extra: Further values on the data.
    """
    grouped = config if isinstance(config, GroupSettings) else None
    group = grouped.num_generations if grouped else 1
    questions = max(1, sequences // group)
    written = grouped.max_completion_tokens if grouped else 0
    unit = "pairs" if stage == "dpo" else "sequences"
    found = {
        "stage": stage,
        "dry_run": True,
        **extra,
        "tokens": sum(lengths),
        "longest": max(lengths),
        "epochs": round(steps * questions / len(lengths), 2),
        "steps": steps,
        "a_step": f"{questions} questions x {group} replies" if group > 1 else f"{sequences} {unit}",
        "processes": distributed.count(),
    }
    load = Load(
        sequences=sequences,
        prompt=sum(lengths) / len(lengths),
        written=written,
        longest=max(lengths) + written,
        micro_batch=micro_batch,
        group=group if grouped and grouped.shared_prompt else 1,
        most=grouped.max_tokens_per_pass if grouped else 0,
    )
    return found, load


def disk(shape: Shape | None, config: ModelSettings) -> dict[str, float]:
    """Return the gigabytes of the checkpoint, and of the states that a run keeps to resume from while it trains."""
    if shape is None:
        return {}
    weights = shape.parameters
    checkpoint = weights * (2 if config.precision == "bf16" else 4)
    trained = adapters(shape, config.lora_rank) if config.lora_rank else weights
    state = trained * 12 * 2  # weights and two moments; the old state goes when the new one is there
    return {"checkpoint_gb": round(checkpoint / 1e9, 2), "state_gb": round(state / 1e9, 2)}


COLUMNS = (
    "stage",
    "questions",
    "tokens",
    "longest",
    "steps",
    "seconds_a_step",
    "estimated_seconds",
    "peak_memory_gib",
    "checkpoint_gb",
    "state_gb",
)
"""The columns of the table of a pipeline's dry run."""


def outlook(
    stages: Iterable[tuple[str, str, Any]],
    programs: Mapping[str, Callable[[Any], dict[str, Any]]],
    model: str,
    count: int,
    *,
    measure: bool = False,
) -> list[dict[str, Any]]:
    """Return the steps and the costs of each stage.

    Args:
        stages: Name, kind and arguments of each; see `trainers.pipeline.plan`.
        programs: The training program of each kind of stage.
        model: The model before the first stage.
        count: Pairs that are made, where they are not there yet; 0 if that is not known.
        measure: Run a few steps of each stage whose data is there, instead of counting.
    """
    found = []
    for name, stage, settings in stages:
        note(f"{name}: {settings.out}")
        if stage == "collect":
            summary: dict[str, Any] = {"questions": _tasks(settings), "how": "expert episodes; not run"}
        elif stage in ("dagger", "rft"):
            played = settings.rounds * settings.episodes_a_round()
            summary = {"questions": played, "how": "games that the model plays; not run"}
        elif stage == "rollout":
            summary = programs[stage](replace(settings, model=model, dry_run=True, measure_steps=False))
        elif stage not in programs:
            summary = {"how": "makes data; not run"}
        else:
            missing = [path for path in settings.data_files() if not path.exists()]
            prepared = replace(settings, model=model, dry_run=not measure, measure_steps=measure)
            summary = _without_data(settings, missing[0], count) if missing else programs[stage](prepared)
        found.append({**summary, "stage": name})
        note(f"  {summary['how']}")
    return found


def total(summaries: Iterable[Mapping[str, Any]]) -> str:
    """Return the total as text: hours of training, and the disk that all checkpoints and the largest state take."""
    all_ = list(summaries)
    seconds = sum(summary.get("estimated_seconds", 0) for summary in all_)
    disk = sum(summary.get("checkpoint_gb", 0) for summary in all_) + max(
        (summary.get("state_gb", 0) for summary in all_), default=0
    )
    unknown = sum("steps" in summary and "estimated_seconds" not in summary for summary in all_)
    also = f", and {unknown} stages whose data is not there yet" if unknown else ""
    return f"training: {seconds / 3600:.2f} h{also}; disk: {disk:.1f} GB\n"


def _tasks(settings: Any) -> int:
    chosen = select_from(
        settings.env,
        task_types=settings.task_types,
        per_type=settings.per_type,
        limit=settings.limit,
        seed=settings.seed,
    )
    return len({task.id for tasks in chosen.values() for task in tasks})


def _without_data(settings: StageConfig, missing: Path, count: int) -> dict[str, Any]:
    questions = min(filter(None, (count, settings.limit)), default=0)
    batch = settings.groups if isinstance(settings, GroupSettings) else 1
    batch = settings.batch if isinstance(settings, BatchSettings) else batch
    steps = settings.steps or math.ceil(settings.epochs * math.ceil(questions / batch))
    return {
        "questions": questions or "?",
        "steps": steps or "?",
        "how": f"counted from the recipe: {missing} is not there yet, so tokens, time and memory are unknown",
    }
