"""Makes one page of any evaluation runs: `act-gym report runs/x --out report.html`.

The page is one file that loads nothing and runs nothing, so it can be mailed, kept and opened
anywhere. Runs are joined by their labels; see `benchmarks.measurement`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tyro.conf import Positional

from act_gym.arguments import parse
from act_gym.core import Episode
from act_gym.errors import RunError, UsageError
from act_gym.records import read_records, replacing
from benchmarks.headline import headlines
from benchmarks.measurement import Summary
from benchmarks.page import KINDS, LoadedRun, page
from benchmarks.scores import failures, flat_record, measure
from benchmarks.tables import print_headline

__all__ = ["Arguments", "main"]


@dataclass(frozen=True)
class Arguments:
    """Make one page of evaluation runs."""

    runs: Positional[tuple[Path, ...]]
    """Run folders, folders that hold some at any depth, or of `act-gym shop`; rows come in this order."""
    out: Path = Path("report.html")
    """The page."""
    title: str = "Evaluation"
    """Its heading."""
    episodes: int = 50
    """Episodes that can be read on the page, of each run; 0 for none."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(Arguments, sys.argv[1:] if argv is None else argv, program="act-gym report")
    if arguments.episodes < 0:
        raise UsageError(f"--episodes is 0 or more; got {arguments.episodes}.")
    folders = _run_folders(arguments.runs)
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    runs = [_load(folder, arguments.episodes) for folder in folders]
    with replacing(arguments.out) as file:
        file.write(page(arguments.title, runs, style))
    for headline in headlines([(run.folder, run.summary) for run in runs]):
        print_headline(headline)
    sys.stdout.write(f"{arguments.out}: {len(runs)} runs, {arguments.out.stat().st_size / 2**20:.1f} MiB\n")
    return 0


def _run_folders(paths: Iterable[Path]) -> list[Path]:
    """Return the run folders that are named or lie below, in the order in which the runs were started.

    Raises:
        UsageError: A path holds none.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if (path / "summary.json").exists() or _is_recorded(path):
            found.setdefault(path)
            continue
        below = [file.parent for file in path.rglob("summary.json") if _kind(file) in KINDS]
        if not below:
            raise UsageError(
                f"{path} holds no evaluation run. Expected a folder made by act-gym eval, "
                "benchmarks.judgement or benchmarks.next_action that has finished."
            )
        for folder in sorted(below, key=lambda folder: (_json(folder / "manifest.json").get("started", ""), folder)):
            found.setdefault(folder)
    if not found:
        raise UsageError("Name at least one run folder, e.g. act-gym report runs/eval.")
    return list(found)


def _load(folder: Path, shown: int) -> LoadedRun:
    summary = _of_episodes(folder) if _is_recorded(folder) else Summary.read(folder)
    if summary.kind not in KINDS:
        raise RunError(f"{folder} holds a run of kind {summary.kind!r}; expected one of: {', '.join(KINDS)}.")
    manifest = _json(folder / "manifest.json")
    settings = {"started": manifest.get("started", ""), "revision": manifest.get("git", "")}
    settings |= {key: _brief(value) for key, value in _json(folder / "config.json").items()}
    settings |= manifest.get("versions", {})
    episodes, left_out = _episodes(folder / "episodes.jsonl", shown) if summary.kind == "episodes" else ([], 0)
    return LoadedRun(
        folder=str(folder),
        summary=summary,
        settings={key: str(value) for key, value in settings.items() if value not in ("", None)},
        episodes=episodes,
        episodes_left_out=left_out,
    )


def _is_recorded(folder: Path) -> bool:
    """Return whether a folder holds episodes and is no run, such as what `act-gym shop` recorded."""
    names = ("summary.json", "manifest.json")
    return (folder / "episodes.jsonl").exists() and not any((folder / name).exists() for name in names)


def _of_episodes(folder: Path) -> Summary:
    """Measure episodes that no program has measured.

    Raises:
        UsageError: There are none.
    """
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


def _episodes(path: Path, shown: int) -> tuple[list[Episode], int]:
    """Return the first episodes by task id, split by split, and how many more there are."""
    if not path.exists():
        return [], 0
    order = [(record["env_id"], record["task"]["id"], record["seed"]) for record in read_records(path)]
    chosen = set(sorted(order)[:shown])
    kept = [Episode.from_json(record) for record, key in zip(read_records(path), order, strict=True) if key in chosen]
    kept.sort(key=lambda episode: (episode.env_id, episode.task.id, episode.seed))
    return kept, len(order) - len(kept)


def _brief(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _kind(path: Path) -> str:
    return str(_json(path).get("kind", ""))


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
