"""Episode store of a run folder: every planned episode exactly once.

`episodes.jsonl` is what counts: every line of it is complete or absent, and it only grows. An episode that ended with
an error may be tried again; its last line counts, and the error stays above it. `records.jsonl` follows from it; it
grows next to it, and when the run is finished it is put into the order of the plan, so that two runs that differ only
in what ended first, or what had to be tried again, have the same file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from act_gym.errors import RunError
from act_gym.io.jsonl import RecordWriter, read_records, write_records
from act_gym.types import Episode
from benchmarks.stats.scores import Key, flat_record, is_error, key_of

__all__ = ["Journal", "read_stops"]

_SYNC_EVERY = 0.5  # seconds; see docs/design/evaluation.md for what waiting for the disk costs


class Journal:
    """Keeps the episodes of one run. Close it, or use it in a `with` statement.

    Two processes that play into one folder would play everything twice: hold `act_gym.io.run_dir.locked` meanwhile.

    Args:
        folder: The run folder.
        keys: Every episode of the run, in the stated order.
        retry: Take episodes that ended with an error for not played.

    A folder in which an episode is missing is an unfinished run: a `summary.json` of fewer episodes is removed.

    Raises:
        RunError: The folder has an episode twice, or one that is not of this run.
    """

    def __init__(self, folder: Path, keys: Sequence[Key], *, retry: bool = False) -> None:
        self._folder = folder
        self._order = {key: place for place, key in enumerate(keys)}
        self._records: dict[Key, dict[str, Any]] = {}
        episodes = folder / "episodes.jsonl"
        for data in read_records(episodes) if episodes.exists() else ():
            record = flat_record(Episode.from_json(data))
            if _is_error(self._records.get(key_of(record))):  # it was tried again
                del self._records[key_of(record)]
            self._count(record)
        self.retried = self.errors if retry else 0
        """How many episodes that ended with an error are to be played again."""
        if self.retried:
            self._records = {key: record for key, record in self._records.items() if not _is_error(record)}
        if len(self._records) < len(self._order):
            (folder / "summary.json").unlink(missing_ok=True)
        self._write_records()  # a kill may have come between an episode and its record
        self._episodes = RecordWriter(episodes, sync_every=_SYNC_EVERY)
        self._flat = RecordWriter(folder / "records.jsonl", sync_every=float("inf"))

    @property
    def finished(self) -> frozenset[Key]:
        """Played episodes, without those that are played again."""
        return frozenset(self._records)

    @property
    def errors(self) -> int:
        """How many of the finished episodes ended with an error."""
        return sum(map(_is_error, self._records.values()))

    @property
    def records(self) -> list[dict[str, Any]]:
        """Flat records of the played episodes, in the stated order."""
        return [self._records[key] for key in sorted(self._records, key=self._order.__getitem__)]

    def add(self, episode: Episode) -> dict[str, Any]:
        """Keep a finished episode and return its flat record.

        Raises:
            RunError: It was played already, or is not of this run.
        """
        record = flat_record(episode)
        self._count(record)
        self._episodes.write(episode.to_json())
        self._flat.write(record)
        return record

    def finish(self) -> list[dict[str, Any]]:
        """Close the run: put the records into the stated order and return them.

        Raises:
            RunError: Some episode was not played.
        """
        missing = [key for key in self._order if key not in self._records]
        if missing:
            raise RunError(
                f"{len(missing)} of {len(self._order)} episodes were not played, e.g. {missing[0][1]} with seed "
                f"{missing[0][2]}. Continue the run in {self._folder} with --resume."
            )
        self._episodes.close()
        self._flat.close()
        self._write_records()
        return self.records

    def close(self) -> None:
        """Close the files; everything is on the disk then."""
        self._episodes.close()
        self._flat.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _count(self, record: dict[str, Any]) -> None:
        key = key_of(record)
        if key not in self._order:
            raise RunError(f"{self._folder} has an episode that is not of this run: {key}.")
        if key in self._records:
            raise RunError(f"{self._folder} has an episode twice: {key}.")
        self._records[key] = record

    def _write_records(self) -> None:
        write_records(self._folder / "records.jsonl", self.records)


def read_stops(folder: Path) -> dict[Key, bool]:
    """Return of every episode in a run folder whether it ended with an error; the last line of one counts."""
    return {
        (episode["env_id"], episode["task"]["id"], episode["seed"]): is_error(episode)
        for episode in read_records(folder / "episodes.jsonl")
    }


def _is_error(record: Mapping[str, Any] | None) -> bool:
    return record is not None and is_error(record)
