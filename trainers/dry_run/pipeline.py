"""`--dry-run` and `--measure-steps` of a pipeline, with the first model in the place of checkpoints not there yet.

Stages that make data are described and not run. A stage whose data is not there yet is counted as far as its
recipe tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from act_gym.sampling import select_from
from trainers.run.notes import note

__all__ = ["COLUMNS", "outlook", "total"]

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
"""What the table of a pipeline's dry run shows."""

_DATA = ("pairs", "decisions", "experience")


def outlook(
    stages: Iterable[tuple[str, str, Any]],
    programs: Mapping[str, Callable[[Any], dict[str, Any]]],
    model: str,
    count: int,
    *,
    measure: bool = False,
) -> list[dict[str, Any]]:
    """Return what each stage would do and cost.

    Args:
        stages: Name, kind and arguments of each; see `trainers.pipeline.plan`.
        programs: What trains, by the kind of stage.
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
            played = settings.rounds * settings.games * getattr(settings, "episodes_per_task", 1)
            summary = {"questions": played, "how": "games that the model plays; not run"}
        elif stage == "rollout":
            summary = programs[stage](replace(settings, model=model, dry_run=True, measure_steps=False))
        elif stage not in programs:
            summary = {"how": "makes data; not run"}
        else:
            episodes = getattr(settings, "episodes", ())
            files = episodes or [path for key in _DATA if isinstance(path := getattr(settings, key, None), Path)]
            missing = [path for path in files if not path.exists()]
            prepared = replace(settings, model=model, dry_run=not measure, measure_steps=measure)
            summary = _without_data(settings, missing[0], count) if missing else programs[stage](prepared)
        found.append({**summary, "stage": name})
        note(f"  {summary['how']}")
    return found


def total(summaries: Iterable[Mapping[str, Any]]) -> str:
    """Return the sum in words: hours of training, and the disk that all checkpoints and the largest state take."""
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


def _without_data(settings: Any, missing: Path, count: int) -> dict[str, Any]:
    questions = min(filter(None, (count, settings.limit)), default=0)
    batch = getattr(settings, "groups", 0) or getattr(settings, "batch", 1)
    steps = settings.steps or math.ceil(settings.epochs * math.ceil(questions / batch))
    return {
        "questions": questions or "?",
        "steps": steps or "?",
        "how": f"counted from the recipe: {missing} is not there yet, so tokens, time and memory are unknown",
    }
