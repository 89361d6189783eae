"""Run folders as a page needs them: found, read, and their episodes and answers one by one."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import read_records
from act_gym.types import Episode, ExpertStep
from agents.prompt_config import Question
from agents.prompt_replay import question_of
from agents.prompts import state_text
from benchmarks.probes.answers import QUESTIONS
from benchmarks.stats.measurement import Summary
from benchmarks.stats.scores import failures, flat_record, measure

__all__ = ["KINDS", "LoadedRun", "load", "run_folders"]

KINDS = {"episodes": "episodes", "judge": "judgement", "next_action": "next action", "reasoning": "reasoning"}
"""Kinds of runs that a page shows, with what it calls them."""


@dataclass(frozen=True)
class LoadedRun:
    """One run folder.

    Attributes:
        folder: Its path, as the reader gave it.
        summary: Its numbers.
        settings: Names and values worth showing: arguments, versions, revision.
        inputs: Files it was made from, with their sha256.
        question: How a model was asked in its episodes; None without a model.
        env_options: Options of its environments.
        checkpoint: The model with the beginning of its weights' sha256; empty without a model.
    """

    folder: Path
    summary: Summary
    settings: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    question: Question | None = None
    env_options: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str = ""

    def episodes(self, shown: int) -> tuple[Iterator[Episode], int]:
        """Return the first episodes by environment, task and seed, and how many more there are.

        Args:
            shown: How many at most.
        """
        path = self.folder / "episodes.jsonl"
        if self.summary.kind != "episodes" or not path.exists():
            return iter(()), 0
        visits = _is_recorded(self.folder)  # several of one task; in a run the last line of an episode counts
        order = {
            (record["env_id"], record["task"]["id"], record["seed"], visits and place): place
            for place, record in enumerate(read_records(path))
        }
        chosen = [order[key] for key in sorted(order)[:shown]]
        return _at(path, set(chosen)), len(order) - len(chosen)

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield a flat record of each episode; nothing for a run of another kind."""
        if self.summary.kind != "episodes":
            return
        flat, full = self.folder / "records.jsonl", self.folder / "episodes.jsonl"
        if flat.exists():
            yield from read_records(flat)
        elif full.exists():
            yield from (flat_record(Episode.from_json(record)) for record in read_records(full))

    def answers(self, shown: int) -> tuple[list[dict[str, Any]], int]:
        """Return the first answers of a run that asked questions, and how many more there are.

        A record gets its question's `state` and `admissible_commands` where the folder has the questions.
        """
        path = self.folder / "records.jsonl"
        if self.summary.kind not in ("judge", "next_action") or not path.exists():
            return [], 0
        records = sorted(read_records(path), key=lambda record: record["number"])
        asked = self._asked({record["number"] for record in records[:shown]})
        kept = [{**record, **asked.get(record["number"], {})} for record in records[:shown]]
        return kept, len(records) - len(kept)

    def _asked(self, numbers: set[int]) -> dict[int, dict[str, Any]]:
        path = self.folder / QUESTIONS
        asked = {
            record["number"]: ExpertStep.from_json(record.get("step", record))
            for record in (read_records(path) if path.is_file() else ())
            if record["number"] in numbers
        }
        return {
            number: {"state": _transcript(one), "admissible_commands": one.admissible_commands}
            for number, one in asked.items()
        }


def run_folders(paths: Iterable[Path], trained: Collection[Path] = ()) -> list[Path]:
    """Return the run folders of evaluations that are named or below, in the order in which the runs were started.

    Args:
        paths: Where to look.
        trained: Those of them that hold a training, and so need not hold an evaluation.

    Raises:
        UsageError: Another path holds none.
    """
    found: dict[Path, None] = {}
    for path in paths:
        is_run = (path / "summary.json").exists() and not (path in trained and not _json(path / "summary.json"))
        if is_run or _is_recorded(path):
            found.setdefault(path)
            continue
        below = [file.parent for file in path.rglob("summary.json") if _json(file).get("kind") in KINDS]
        if not below and path not in trained:
            raise UsageError(
                f"{path} holds neither an evaluation that has finished nor a training. Expected a folder made by "
                "act-gym eval, judge, next-action or train."
            )
        for folder in sorted(below, key=lambda folder: (_json(folder / "manifest.json").get("started", ""), folder)):
            found.setdefault(folder)
    if not found and not trained:
        raise UsageError("Name at least one run folder, e.g. act-gym report runs/eval.")
    return list(found)


def load(folder: Path) -> LoadedRun:
    """Read a run folder, or one of episodes without a summary, such as recordings of `act-gym shop`.

    Raises:
        RunError: It holds a run of a kind that no page shows.
        UsageError: It holds no episode.
    """
    summary = _of_episodes(folder) if _is_recorded(folder) else Summary.read(folder)
    if summary.kind not in KINDS:
        raise RunError(f"{folder} holds a run of kind {summary.kind!r}; expected one of: {', '.join(KINDS)}.")
    manifest = _json(folder / "manifest.json")
    settings = {"started": manifest.get("started", ""), "revision": manifest.get("git", "")}
    settings |= {key: _brief(value) for key, value in _json(folder / "config.json").items()}
    settings |= manifest.get("versions", {})
    return LoadedRun(
        folder=folder,
        summary=summary,
        settings={key: str(value) for key, value in settings.items() if value not in ("", None)},
        inputs=manifest.get("inputs", {}),
        question=_question(manifest.get("agent")),
        env_options=manifest.get("env_options", {}),
        checkpoint=_checkpoint(manifest.get("agent")),
    )


def _checkpoint(agent: Any) -> str:
    if not isinstance(agent, dict) or not agent.get("model"):
        return ""
    revision, weights = (str(agent.get(name) or "")[:12] for name in ("revision", "weights_sha256"))
    found = (str(agent["model"]), revision and f"revision {revision}", weights and f"sha256 {weights}")
    return ", ".join(filter(None, found))


def _question(agent: Any) -> Question | None:
    try:
        return question_of(agent) if isinstance(agent, dict) else None
    except UsageError:  # the prompt set is not here, and a report is no reason to have it
        return None


def _at(path: Path, places: set[int]) -> Iterator[Episode]:
    for place, record in enumerate(read_records(path)):
        if place in places:
            yield Episode.from_json(record)


def _is_recorded(folder: Path) -> bool:
    """Return whether a folder holds episodes and is no run."""
    names = ("summary.json", "manifest.json")
    return (folder / "episodes.jsonl").exists() and not any((folder / name).exists() for name in names)


def _of_episodes(folder: Path) -> Summary:
    records = [flat_record(Episode.from_json(record)) for record in read_records(folder / "episodes.jsonl")]
    if not records:
        raise UsageError(f"{folder / 'episodes.jsonl'} holds no episode yet.")
    subject = ", ".join(sorted({record["agent"] for record in records}))
    return Summary(
        kind="episodes",
        label=subject,
        subject=subject,
        measurements=measure(records, np.random.default_rng(0)),
        failures=failures(records),
    )


def _brief(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _transcript(step: ExpertStep) -> str:
    """Return a state with its whole history as text."""
    window = len(step.history)
    return state_text(step.goal, step.observation, step.history, window=window, max_characters=sys.maxsize)
