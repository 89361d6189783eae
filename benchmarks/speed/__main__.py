"""Runs all speed benchmarks, with upstream's in the same run, and reports regressions.

    python -m benchmarks.speed                         everything that takes seconds, compared with the saved baseline
    python -m benchmarks.speed --parts webshop --all   everything of one part, minutes included
    python -m benchmarks.speed --save-baseline         … and what came out is the baseline from now on

Every part runs in a pytest of its own with pytest-benchmark and measures processor time, of child processes too where
there are any, so that other work on the machine counts little. Writes `speed.json` and pytest-benchmark's own files
into the run folder, and with `--page` the table of docs/benchmarks.md. The exit status is 1 if something is slower.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from act_gym.cli import run
from act_gym.config import parse
from act_gym.errors import ActGymError
from act_gym.io.jsonl import write_json
from act_gym.progress import track
from benchmarks.speed import baseline
from benchmarks.speed.clock import yardstick

Part = Literal["alfworld", "scienceworld", "webshop", "evaluate", "shared_prompt"]

# These take seconds. The others build stores, holds dozens of environments, or runs upstream for minutes.
_SHORT: dict[Part, str] = {
    "alfworld": "bench_step or bench_reset or bench_snapshot or bench_store_opening",
    "scienceworld": "(bench_step or bench_reset) and boil",
    "webshop": "not bench_another",
    "evaluate": "",
    "shared_prompt": "bench_pass and 256 and not 512 and not 16",
}
# Work in child processes counts; asking for it takes 50 microseconds, which would be most of a step elsewhere.
_WITH_CHILDREN: tuple[Part, ...] = ("scienceworld", "evaluate")
_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent.parent
_PAGE = _ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class SpeedConfig:
    """Measure the speeds of the environments, the evaluator and the training step."""

    parts: tuple[Part, ...] = ("alfworld", "scienceworld", "webshop", "evaluate")
    """Parts to measure. `shared_prompt` takes a quarter of an hour."""
    all: bool = False
    """Also what takes minutes."""
    out: Path = Path("runs/speed")
    """The folder of results."""
    baseline: Path = _HERE / "baseline.json"
    """The baseline to compare with."""
    tolerance: float = 1.3
    """How many times as slow as the baseline something has to be before it is reported."""
    save_baseline: bool = False
    """Keep what comes out as the baseline."""
    page: bool = False
    """Write the tables into docs/benchmarks.md."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns 1 if something became slower, 2 if something could not be measured."""
    arguments = parse(SpeedConfig, sys.argv[1:] if argv is None else argv, program="python -m benchmarks.speed")
    arguments.out.mkdir(parents=True, exist_ok=True)
    speeds: list[baseline.Speed] = []
    failed = []
    for part in track(iter(arguments.parts), "speeds", total=len(arguments.parts)):
        found = _measure(part, arguments)
        speeds += found
        if not found:
            failed.append(part)
    report = baseline.Report.of(speeds, yardstick())
    write_json(arguments.out / "speed.json", report.to_json())
    known = baseline.Report.read(arguments.baseline) if arguments.baseline.exists() else None
    slower = [] if known is None else baseline.slower(report, known, arguments.tolerance)
    sys.stdout.write(baseline.table(report))
    sys.stdout.write("".join(f"slower than the baseline: {line}\n" for line in slower))
    if arguments.page:
        baseline.write_page(_PAGE, report)
    if arguments.save_baseline:
        write_json(arguments.baseline, (report if known is None else known.updated(report)).to_json())
    for part in failed:
        sys.stderr.write(f"{part} could not be measured; {arguments.out / f'{part}.log'} says why.\n")
    return 2 if failed else int(bool(slower))


def _measure(part: Part, arguments: SpeedConfig) -> list[baseline.Speed]:
    """Run one part's benchmarks and return what they took; nothing if pytest failed."""
    file, results = _HERE / f"bench_{part}.py", arguments.out / f"{part}.json"
    if not file.exists():
        raise ActGymError(f"{file} is missing; the speeds are measured from a checkout of the repository.")
    results.unlink(missing_ok=True)
    chosen = [] if arguments.all or not _SHORT[part] else ["-k", _SHORT[part]]
    timer = "benchmarks.speed.clock.processor_time" if part in _WITH_CHILDREN else "time.process_time"
    command = [
        sys.executable, "-m", "pytest", str(file), "-q", "-s", "-p", "no:cacheprovider", *chosen,
        f"--benchmark-json={results.resolve()}",
        f"--benchmark-timer={timer}",
    ]  # fmt: skip
    with (arguments.out / f"{part}.log").open("w", encoding="utf-8") as log:
        status = subprocess.run(command, cwd=_ROOT, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if status or not results.exists() or not results.stat().st_size:
        return []
    return baseline.speeds(json.loads(results.read_text(encoding="utf-8")))


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
