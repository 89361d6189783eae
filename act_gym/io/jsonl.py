"""JSON Lines files: one JSON object per line, each line complete or absent.

A program killed while writing leaves at most one torn last line, which the next append removes. So a run resumes where
it stopped, and no finished record is lost.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TextIO, TypeVar

from act_gym.errors import RunError, UsageError
from act_gym.types import Record

__all__ = [
    "RecordWriter",
    "as_record",
    "check_writable",
    "make_folder",
    "read_records",
    "record_at",
    "records_with_places",
    "replacing",
    "unreadable",
    "write_json",
    "write_records",
]

R = TypeVar("R", bound=Record)


class RecordWriter:
    """Appends records to a file; `write` flushes to the operating system, so a killed process loses none.

    Use one writer per file: a second one would remove the first one's unfinished line as torn.

    Args:
        path: The file, created if absent.
        sync_every: Minimum seconds between two fsyncs. With 0, every record is on disk when `write` returns, safe
            against a failure of the machine. Otherwise a record within this time after the last fsync is on disk with
            the next fsync, or when the file is closed.
    """

    def __init__(self, path: Path, *, sync_every: float = 0.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        self._sync_every = sync_every
        self._synced = float("-inf")  # time of the last fsync, on the monotonic clock
        self._waiting = False  # whether some records may not be on disk yet
        self._cut_torn_line()

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record.

        Raises:
            ValueError: The record has a number that JSON cannot represent.
            OSError: The line could not be written; the file is unchanged.
        """
        rest = memoryview(_line(record).encode("utf-8", "backslashreplace"))
        end = self._file.seek(0, os.SEEK_END)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            self._waiting = True
            if time.monotonic() - self._synced >= self._sync_every:
                self.sync()
        except OSError:
            self._file.truncate(end)
            raise

    def sync(self) -> None:
        """Wait until all records are on disk."""
        os.fsync(self._file.fileno())
        self._synced, self._waiting = time.monotonic(), False

    def close(self) -> None:
        """Close the file; all records are on disk then."""
        if self._file.closed:
            return
        try:
            if self._waiting:
                self.sync()
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cut_torn_line(self) -> None:
        end = self._file.seek(0, os.SEEK_END)
        keep = end
        while keep:
            start = max(0, keep - 65_536)
            self._file.seek(start)
            newline = self._file.read(keep - start).rfind(b"\n")
            if newline >= 0:
                keep = start + newline + 1
                break
            keep = start
        if keep < end:
            self._file.truncate(keep)


def check_writable(folder: Path, *, file: str = "") -> None:
    """Check that a folder can be created and written to; creates nothing.

    Args:
        folder: The folder; it may be absent.
        file: A file to be written into it.

    Raises:
        UsageError: A part of the path is a file, the folder is not writable, or `file` is a folder.
    """
    try:
        place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not place.is_dir():
            raise UsageError(f"Cannot make {folder}: {place} is a file. Choose another --out.")
        if not os.access(place, os.W_OK | os.X_OK):
            raise UsageError(f"Cannot write to {place}: no permission. Choose another --out.")
        if file and (folder / file).is_dir():
            raise UsageError(f"Cannot write {folder / file}: it is a folder. Choose another --out.")
    except OSError as cause:  # e.g. a name that is too long
        raise UsageError(f"Cannot write to {folder}: {cause.strerror or cause}. Choose another --out.") from cause


def make_folder(folder: Path) -> None:
    """Create a folder with its parents.

    Raises:
        UsageError: It cannot be created or written to.
    """
    check_writable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise UsageError(f"Cannot make {folder}: {cause.strerror or cause}. Choose another --out.") from cause


def unreadable(path: Path, cause: OSError) -> RunError:
    """Return the error for a file that cannot be opened; for missing records, it names the program that writes them."""
    told = f"Cannot read {path}: {cause.strerror or cause}."
    if not isinstance(cause, FileNotFoundError) or path.suffix != ".jsonl":
        return RunError(told)
    return RunError(
        f"{told} Run folders hold such files: episodes.jsonl is written by act-gym train collect, decisions.jsonl and "
        "pairs.jsonl by act-gym train pairs, experience.jsonl by act-gym train early-experience."
    )


def as_record(kind: type[R], data: Mapping[str, Any], place: str) -> R:
    """Return a record built from JSON.

    Args:
        kind: Its class.
        data: The output of `to_json`.
        place: Start of an error message, e.g. `pairs.jsonl, line 3,`.

    Raises:
        RunError: A key is missing, or a value is of another type.
    """
    try:
        return kind.from_json(data)
    except KeyError as cause:
        raise RunError(f"{place} is no {kind.__name__}: the key {cause} is missing.") from cause
    except TypeError as cause:
        names = re.findall(r"'(\w+)'", str(cause)) if "required keyword-only" in str(cause) else []
        missing = f"the key {', '.join(map(repr, names))} is missing" if names else str(cause)
        raise RunError(f"{place} is no {kind.__name__}: {missing}.") from cause


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a file in order; skip a torn last line.

    Raises:
        RunError: The file does not exist, or a line before the last is not a JSON object.
    """
    return (record for _, record in records_with_places(path))


def records_with_places(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the records of a file, each after the byte offset of its line; see `read_records`."""
    try:
        file = path.open("rb")
    except OSError as cause:
        raise unreadable(path, cause) from cause
    with file:
        offset = 0
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            yield offset, _parsed(line, f"{path}, line {number},")
            offset += len(line)


def record_at(path: Path, offset: int) -> dict[str, Any]:
    """Return the record whose line begins at a byte offset.

    Raises:
        RunError: The file cannot be read, or has changed.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            line = file.readline()
    except OSError as cause:
        raise unreadable(path, cause) from cause
    return _parsed(line, f"{path}, byte {offset},")


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as cause:
        raise RunError(f"{where} is not JSON: {cause}.") from cause
    if not isinstance(record, dict):
        raise RunError(f"{where} is not a JSON object.")
    return record


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a temporary text file that replaces the path atomically when the block succeeds.

    The file is always complete or absent. Characters that UTF-8 cannot encode are written as escapes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    with replacing(path) as file:
        json.dump(value, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of records atomically."""
    with replacing(path) as file:
        file.writelines(map(_line, records))


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
