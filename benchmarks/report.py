"""Makes one page of evaluations and trainings: `act-gym report runs/x --out report.html`.

The page is one file that loads nothing, so it can be mailed, kept and opened anywhere. Runs are joined by
their labels; see `benchmarks.stats.measurement`. Its numbers need no script; its episodes do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from act_gym.config import parse
from act_gym.errors import UsageError
from act_gym.io.jsonl import check_writable, make_folder, replacing
from act_gym.io.load import write_csv
from benchmarks.html_report.archive import Archive
from benchmarks.html_report.learning_curves import trainings
from benchmarks.html_report.markup import plain
from benchmarks.html_report.page import report
from benchmarks.html_report.runs import LoadedRun, load, run_folders
from benchmarks.reporting.tables import headlines, print_headline

__all__ = ["ReportConfig", "main"]

_STAGES = {"auto": None, "yes": True, "no": False}


@dataclass(frozen=True)
class ReportConfig:
    """Make one page of evaluations and trainings."""

    runs: Positional[tuple[Path, ...]]
    """Run folders of evaluations or trainings, folders that hold some at any depth (a pipeline's, DAgger's), or of
    `act-gym shop`; rows come in this order."""
    out: Path = Path("report.html")
    """The page."""
    title: str = "Evaluation"
    """Its heading."""
    episodes: int = 2000
    """Episodes, or questions with their answers, that can be looked at on the page, of each run; 0 for none."""
    stages: Literal["auto", "yes", "no"] = "auto"
    """Whether the runs are stages of one training, in this order, so that lines join their numbers; auto: if one
    is called `base` or `after …`."""
    csv: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also write the tables into this folder: `episodes.csv`, a row an episode, and `measurements.csv`, a row a
    measurement with its interval."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(ReportConfig, sys.argv[1:] if argv is None else argv, program="act-gym report")
    if arguments.episodes < 0:
        raise UsageError(f"--episodes is 0 or more; got {arguments.episodes}.")
    check_writable(arguments.out.parent, file=arguments.out.name)
    if arguments.csv is not None:
        check_writable(arguments.csv)
    trained = {path: trainings(path) for path in arguments.runs}
    folders = run_folders(arguments.runs, {path for path, found in trained.items() if found})
    runs = [load(folder) for folder in folders]
    curves = [training for found in trained.values() for training in found]
    archive, shown = Archive(), {}
    for place, run in enumerate(runs):
        episodes, more_episodes = run.episodes(arguments.episodes)
        answers, more_answers = run.answers(arguments.episodes)
        number = archive.add_run(run.summary.label, run.summary.subject, str(run.folder), more_episodes + more_answers)
        for episode in episodes:
            archive.add_episode(number, episode, run.question, run.env_options)
            shown[place] = number
        add = archive.add_pair if run.summary.kind == "judge" else archive.add_next_action
        for record in answers:
            add(number, record)
            shown[place] = number
    make_folder(arguments.out.parent)
    with replacing(arguments.out) as file:
        file.writelines(report(arguments.title, runs, archive, shown, curves, stages=_STAGES[arguments.stages]))
    if arguments.csv is not None:
        make_folder(arguments.csv)
        write_csv(arguments.csv / "episodes.csv", _episodes(runs))
        write_csv(arguments.csv / "measurements.csv", _measurements(runs))
    for headline in headlines([(str(run.folder), run.summary) for run in runs]):
        print_headline(headline)
    trains = f", {_count(len(curves), 'training')}" if curves else ""
    size = arguments.out.stat().st_size / 2**20
    sys.stdout.write(f"{arguments.out}: {_count(len(runs), 'run')}{trains}, {size:.1f} MiB\n")
    return 0


def _episodes(runs: Sequence[LoadedRun]) -> Iterable[Mapping[str, Any]]:
    for run in runs:
        yield from (_row({"run": str(run.folder), "label": run.summary.label, **record}) for record in run.records())


def _measurements(runs: Sequence[LoadedRun]) -> Iterable[Mapping[str, Any]]:
    for run in runs:
        one = run.summary
        about = {"run": str(run.folder), "label": one.label, "kind": one.kind, "subject": one.subject}
        about["protocol"] = one.protocol
        yield from (_row({**about, **number.to_json()}) for number in one.measurements)


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record whose texts hold no control characters; errors and names come from anywhere."""
    return {name: plain(value) if isinstance(value, str) else value for name, value in record.items()}


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
