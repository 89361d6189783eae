"""Measurements: one record type for every result, so that any run folders can be joined.

Each program here leaves a `summary.json` in its run folder: what kind of run it was, whom it measured,
what to call that in a comparison (`label`), and a flat list of measurements.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from act_gym.errors import RunError
from act_gym.io.jsonl import write_json
from act_gym.types import Record
from benchmarks.stats.intervals import Interval

__all__ = ["Measurement", "Summary", "grouped", "named"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement(Record):
    """One number of one group of observations.

    Attributes:
        name: Name of the metric, e.g. `success`.
        value: The number; shares are 0–1.
        n: Observations behind it.
        low: Lower end of its 95 % interval; None if it has none.
        high: Upper end of its 95 % interval; None if it has none.
        benchmark: Whose tasks; empty for all together.
        split: Which split; empty for all together, `seen - unseen` for a gap.
        task_type: Which type of task; empty for all together.
        suite: The suite, or how many of a split's tasks were chosen, as `alfworld-seen-140, 24 of 140`; empty for all
            tasks of the split.
    """

    name: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    benchmark: str = ""
    split: str = ""
    task_type: str = ""
    suite: str = ""

    @classmethod
    def of(cls, name: str, interval: Interval, group: Sequence[str] = ()) -> Measurement:
        """Make a measurement of an interval; `group` is benchmark, split and task type as far as known."""
        benchmark, split, task_type = (*group, "", "", "")[:3]
        return cls(
            name=name,
            value=interval.value,
            n=interval.n,
            low=interval.low,
            high=interval.high,
            benchmark=benchmark,
            split=split,
            task_type=task_type,
        )

    @classmethod
    def plain(cls, name: str, value: float, n: int, group: Sequence[str] = ()) -> Measurement:
        """Make a measurement without an interval; `group` is as in `of`."""
        benchmark, split, task_type = (*group, "", "", "")[:3]
        return cls(name=name, value=value, n=n, benchmark=benchmark, split=split, task_type=task_type)

    @property
    def title(self) -> str:
        """The suite, or benchmark and split."""
        return (self.suite or " ".join(filter(None, (self.benchmark, self.split))) or "all").replace(" - ", " − ")

    @property
    def group(self) -> tuple[str, str, str]:
        """Benchmark, split and task type."""
        return self.benchmark, self.split, self.task_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Summary of one run.

    Attributes:
        kind: `episodes`, `judge`, `next_action` or `reasoning`.
        label: Name of the run in comparisons, e.g. `base` or `after ACT`.
        subject: The agent or model that was measured, with whatever changes its behaviour.
        measurements: The numbers.
        failures: How often each cause of a failure occurred.
        protocol: The protocol that fixed the settings; empty for none.
    """

    kind: str
    label: str
    subject: str
    measurements: tuple[Measurement, ...]
    failures: Mapping[str, int] = field(default_factory=dict)
    protocol: str = ""

    @property
    def errors(self) -> int:
        """How many episodes ended with an error."""
        counts = (one.value for one in self.measurements if one.name == "errors" and not one.task_type)
        return round(sum(counts))

    @property
    def observations(self) -> int:
        """How many episodes stand behind the numbers; 0 for a run of another kind."""
        return sum(one.n for one in self.measurements if one.name == "errors" and not one.task_type)

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a dictionary that `json.dumps` takes."""
        return {
            "kind": self.kind,
            "label": self.label,
            "subject": self.subject,
            "measurements": [measurement.to_json() for measurement in self.measurements],
            "failures": dict(self.failures),
            **({"protocol": self.protocol} if self.protocol else {}),
        }

    def write(self, folder: Path) -> None:
        """Write `summary.json` into a run folder."""
        write_json(folder / "summary.json", self.to_json())

    @classmethod
    def read(cls, folder: Path) -> Summary:
        """Read a run folder's `summary.json`.

        Raises:
            RunError: It is missing or not a summary.
        """
        path = folder / "summary.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                kind=data["kind"],
                label=data["label"],
                subject=data["subject"],
                measurements=tuple(Measurement.from_json(item) for item in data["measurements"]),
                failures=data.get("failures", {}),
                protocol=data.get("protocol", ""),
            )
        except OSError as cause:
            raise RunError(f"Cannot read {path}: {cause.strerror or cause}. Has the run finished?") from cause
        except (ValueError, KeyError, TypeError, AttributeError) as cause:
            raise RunError(
                f"{path} is not the summary of an evaluation ({cause!r}). Expected the run folder of "
                "act-gym eval, benchmarks.judge or benchmarks.next_action."
            ) from cause


def named(measurements: Iterable[Measurement], names: Mapping[tuple[str, str], str]) -> tuple[Measurement, ...]:
    """Give measurements the names of their suites.

    Args:
        measurements: Without such names.
        names: Suites, by benchmark and split; see `Measurement.suite`.
    """

    def name(one: Measurement) -> str:
        sides = [names.get((one.benchmark, split), "") for split in one.split.split(" - ")]
        return " - ".join(sides) if all(sides) else ""

    return tuple(replace(one, suite=name(one)) for one in measurements)


def grouped(records: Iterable[Mapping[str, Any]]) -> list[tuple[tuple[str, str, str], list[Mapping[str, Any]]]]:
    """Group flat records by benchmark and split, and then once more by task type as well.

    Args:
        records: Mappings with `benchmark`, `split` and `task_type`.

    Returns:
        Groups in a fixed order, whole splits first; their task type is empty.
    """
    splits: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    types: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        split = (record["benchmark"], record["split"])
        splits.setdefault((*split, ""), []).append(record)
        types.setdefault((*split, record["task_type"]), []).append(record)
    return sorted(splits.items()) + sorted(types.items())
