"""Baseline of the speed benchmarks: measurements, comparison, tables.

Machines differ and are shared, so seconds are never compared with seconds of another day. A speed that was measured
with upstream's in the same run is compared by their ratio; any other by how often a fixed piece of Python, the
yardstick, would have run in its time.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from act_gym.errors import RunError
from act_gym.io.run_dir import versions_of
from act_gym.types import Record

__all__ = ["Report", "Speed", "slower", "speeds", "table", "write_page"]

_OTHERS = ("upstream", "original", "trl", "bare")
_PACKAGES = ("act-gym", "alfworld", "textworld", "scienceworld", "gymnasium", "numpy", "torch", "transformers", "trl")
_BEGIN, _END = "<!-- one run of python -m benchmarks.speed -->", "<!-- end of that run -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed(Record):
    """One benchmark.

    Attributes:
        group: The task; benchmarks of a group do the same.
        name: Who did it.
        median: Seconds of processor time for one round.
        rounds: How often.
        ratio: How many times as long the group's other implementation took; None if there is none, or for itself.
    """

    group: str
    name: str
    median: float
    rounds: int
    ratio: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Group and name."""
        return self.group, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Results of one run.

    Attributes:
        speeds: In the order in which they were measured.
        yardstick: Seconds of processor time that a fixed piece of Python took.
        machine: Processor, cores, Python and versions of the packages.
    """

    speeds: tuple[Speed, ...]
    yardstick: float
    machine: Mapping[str, str]

    @classmethod
    def of(cls, speeds: Iterable[Speed], yardstick: float) -> Report:
        """Make the report of a run on this machine."""
        return cls(speeds=tuple(speeds), yardstick=yardstick, machine=_machine())

    def to_json(self) -> dict[str, Any]:
        """Return it as a dictionary that `json.dumps` takes."""
        return {
            "machine": dict(self.machine),
            "yardstick": self.yardstick,
            "speeds": [speed.to_json() for speed in self.speeds],
        }

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read what `to_json` gave.

        Raises:
            RunError: The file is something else.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                speeds=tuple(Speed.from_json(item) for item in data["speeds"]),
                yardstick=float(data["yardstick"]),
                machine=data["machine"],
            )
        except (OSError, ValueError, KeyError, TypeError) as cause:
            raise RunError(f"{path} is no baseline of speeds ({cause!r}). Make one with --save-baseline.") from cause

    def updated(self, other: Report) -> Report:
        """Return this one with what the other measured in its place, all in units of the other's yardstick."""
        found = {speed.key: speed for speed in other.speeds}
        scale = other.yardstick / self.yardstick
        kept = [replace(speed, median=speed.median * scale) for speed in self.speeds if speed.key not in found]
        return replace(other, speeds=(*kept, *other.speeds))


def speeds(data: Mapping[str, Any]) -> list[Speed]:
    """Read a file of pytest-benchmark and pair each benchmark with the other implementation of its group."""
    found = [
        Speed(
            group=item["group"] or item["name"],
            name=item["name"].removeprefix("bench_"),
            median=float(item["stats"]["median"]),
            rounds=int(item["stats"]["rounds"]),
        )
        for item in data["benchmarks"]
    ]
    others = {speed.group: speed for speed in found if _is_other(speed)}
    return [
        speed
        if _is_other(speed) or speed.group not in others
        else replace(speed, ratio=others[speed.group].median / max(speed.median, 1e-9))
        for speed in found
    ]


def slower(report: Report, known: Report, tolerance: float) -> list[str]:
    """Return a line for each benchmark that is more than `tolerance` times as slow as it was known to be."""
    before = {speed.key: speed for speed in known.speeds}
    lines = []
    for speed in report.speeds:
        old = before.get(speed.key)
        if old is None or _is_other(speed):
            continue
        if speed.ratio is not None and old.ratio is not None:
            times, unit = old.ratio / speed.ratio, "by its ratio to the other implementation"
        else:
            times, unit = (speed.median / report.yardstick) / (old.median / known.yardstick), "by the yardstick"
        if times > tolerance:
            lines.append(f"{speed.group}: {speed.name}, {times:.2f} times as slow {unit}")
    return lines


def table(report: Report) -> str:
    """Return the measurements as a table in Markdown."""
    lines = ["| | | processor time | other / ours |", "|---|---|--:|--:|"]
    group = ""
    for speed in report.speeds:
        ratio = "" if speed.ratio is None else _rounded(speed.ratio)
        shown = "" if speed.group == group else speed.group
        lines.append(f"| {shown} | {speed.name} | {_seconds(speed.median)} | {ratio} |")
        group = speed.group
    return "\n".join(lines) + "\n"


def write_page(path: Path, report: Report) -> None:
    """Put the table, with machine and versions, between the two marks of the page.

    Raises:
        RunError: The page has no such marks.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise RunError(f"{path} has no lines {_BEGIN!r} and {_END!r} for the table to go between.")
    facts = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    path.write_text(f"{before}{begin}\n{facts}.\n\n{table(report)}\n{end}{after}", encoding="utf-8")


def _is_other(speed: Speed) -> bool:
    return any(word in speed.name for word in _OTHERS)


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size or unit == "µs":
            return f"{_rounded(value / size)} {unit}"
    raise AssertionError


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _machine() -> dict[str, str]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
        **versions_of(_PACKAGES),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
