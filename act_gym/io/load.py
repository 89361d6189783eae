"""Loads a finished or running run folder into Python: records, episodes, metrics, data frames, CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from act_gym.errors import RunError
from act_gym.io.jsonl import read_records, replacing
from act_gym.types import Episode

__all__ = ["LoadedRun", "load_run", "write_csv"]


@dataclass(frozen=True)
class LoadedRun:
    """The files of a run folder; what a program did not write is empty.

    Attributes:
        folder: The run folder.
        manifest: Settings, versions and the hashes of all inputs.
        summary: The numbers of an evaluation with their intervals.
        records: One flat record for each episode or question: task, success, score, turns, tokens, …
        metrics: One record for each logged step of a training.
    """

    folder: Path
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    records: tuple[Mapping[str, Any], ...]
    metrics: tuple[Mapping[str, Any], ...]

    def episodes(self) -> Iterator[Episode]:
        """Yield the episodes with all their turns, one at a time.

        Raises:
            RunError: The run has no episodes.
        """
        path = self.folder / "episodes.jsonl"
        if not path.exists():
            raise RunError(f"{self.folder} has no episodes.jsonl. act-gym eval and act-gym train collect write one.")
        yield from map(Episode.from_json, read_records(path))

    def frame(self, name: str = "records") -> Any:
        """Return `records` or `metrics` as a pandas DataFrame, one row a line; needs pandas."""
        pandas: Any = import_module("pandas")
        return pandas.DataFrame.from_records([dict(line) for line in getattr(self, name)])

    def write_csv(self, path: Path | str, name: str = "records") -> None:
        """Write `records` or `metrics` as CSV; lists and mappings become JSON."""
        write_csv(Path(path), getattr(self, name))


def write_csv(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write one row a line and a column for every name in any of them; lists and mappings become JSON."""
    lines = list(lines)
    columns = list(dict.fromkeys(column for line in lines for column in line))
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(line.get(column)) for column in columns] for line in lines)


def load_run(folder: Path | str) -> LoadedRun:
    """Load a run folder of `act-gym eval`, `judge`, `next-action` or `train …`.

    Raises:
        RunError: It is no run folder, or a file in it cannot be read.
    """
    place = Path(folder)
    manifest = _json(place / "manifest.json")
    if not manifest:
        raise RunError(f"{place} has no manifest.json, so it is no run folder. act-gym eval --out {place} makes one.")
    records, metrics = (tuple(_lines(place / f"{name}.jsonl")) for name in ("records", "metrics"))
    return LoadedRun(place, manifest, _json(place / "summary.json"), records, metrics)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from read_records(path)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as cause:
        raise RunError(f"Cannot read {path}: {cause}.") from cause
    return found if isinstance(found, dict) else {}


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
