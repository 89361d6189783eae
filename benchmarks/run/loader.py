"""Loader of a finished evaluation: reads its run folder and checks it against its manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_gym.errors import RunError
from act_gym.io.jsonl import read_records
from benchmarks.run.schedule import read_shard
from benchmarks.stats.scores import Record, errors_in, key_of
from benchmarks.suites import content_hash

__all__ = ["FinishedRun", "read_manifest"]


@dataclass(frozen=True)
class FinishedRun:
    """The manifest and the records of a run folder.

    Attributes:
        folder: Where it is.
        manifest: Its manifest.
        records: One flat record an episode, in the stated order.
        label: Name of the run in comparisons.
    """

    folder: Path
    manifest: Mapping[str, Any]
    records: Sequence[Record]
    label: str

    @classmethod
    def read(cls, folder: Path) -> FinishedRun:
        """Read a run folder of `act-gym eval` or `act-gym merge`.

        Raises:
            RunError: It holds no finished evaluation, or its records are not those that its manifest names.
        """
        manifest = read_manifest(folder)
        try:
            label = str(json.loads((folder / "summary.json").read_text(encoding="utf-8"))["label"])
        except OSError as cause:
            raise RunError(
                f"{folder} has no summary.json: the run is not finished. Continue it with --resume."
            ) from cause
        except (ValueError, KeyError, TypeError) as cause:
            raise RunError(f"{folder / 'summary.json'} is not the summary of an evaluation ({cause!r}).") from cause
        run = cls(folder, manifest, list(read_records(folder / "records.jsonl")), label)
        run._check()
        return run

    @property
    def suites(self) -> Mapping[str, Mapping[str, Any]]:
        """Suites or environments, by name."""
        suites: Mapping[str, Mapping[str, Any]] = self.manifest["suites"]
        return suites

    def of(self, suite: str) -> list[Record]:
        """Return the records of a suite; an environment belongs to one suite of a run."""
        env_id = self.suites[suite]["env_id"]
        return [record for record in self.records if record["env_id"] == env_id]

    def errors(self, suite: str) -> int:
        """Return how many episodes of a suite ended with an error."""
        return errors_in(self.of(suite))

    def title(self, suite: str) -> str:
        """Return a suite's name, how many of its tasks were played if it was not all, and the protocol if any."""
        entry = self.suites[suite]
        share = [] if entry["tasks"] == entry["of"] else [f"{entry['tasks']:,} of {entry['of']:,}"]
        named = self.manifest.get("protocol", {}).get("name")
        return ", ".join([suite, *share, *([f"protocol {named}"] if named else [])])

    def _check(self) -> None:
        path = self.folder / "records.jsonl"
        if len({key_of(record) for record in self.records}) < len(self.records):
            raise RunError(f"{path} has an episode twice.")
        expected = 0
        first, step = read_shard("" if self.manifest["shard"] == "1/1" else self.manifest["shard"])
        for name, entry in self.suites.items():
            expected += len(range(first - 1, entry["tasks"], step)) * len(self.manifest["seeds"])
            for seed in self.manifest["seeds"] if step == 1 else ():
                played = [record for record in self.of(name) if record["seed"] == seed]
                ids = [record["task_id"] for record in played]
                benchmark = played[0]["benchmark"] if played else ""
                success = self.manifest["success"].get(benchmark, "")
                if entry["tasks"] and (
                    not played or content_hash(benchmark, ids, entry["step_limit"], success) != entry["sha256"]
                ):
                    raise RunError(f"{path} has other tasks than {name} under seed {seed}, or in another order.")
        if len(self.records) != expected:
            raise RunError(f"{path} has {len(self.records)} episodes; expected {expected}.")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of an evaluation.

    Raises:
        RunError: There is none.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise RunError(f"{folder} is no run folder of act-gym eval: {cause}.") from cause
    if not isinstance(manifest, dict) or not {"suites", "seeds", "shard", "agent"} <= set(manifest):
        raise RunError(f"{folder / 'manifest.json'} names no suites. Expected the run folder of act-gym eval.")
    return manifest
