"""Files of a search index, with checks of their integrity.

An index is a folder of memory-mapped numpy arrays, and a header, which is written last: without it, there is no index.
The header has the size and checksum of each file. Opening compares the sizes, and the checksums of files up to a few
megabytes; `verify` reads everything.

```
search.json      version, counts, sizes and checksums
names.npy        the bytes of all terms, one after the other, grouped by bucket
name_ends.npy    where each term's bytes begin, and the last one's end
buckets.npy      for each value of the term's checksum, modulo the buckets, its first term; and the number of terms
starts.npy       where each term's postings begin, and the last one's end
peaks.npy        the highest code among each term's postings
documents.npy    the postings: which document, rising for each term
codes.npy        the postings: which pair of frequency and length, in the order of what it is worth
frequencies.npy  the pairs: the frequency; pair 0 is "not there"
lengths.npy      the pairs: the byte of the document's length
ranks.npy        which of two documents of equal score comes first: the one with the lower rank
```
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from act_gym.errors import CorruptDataError, MissingDataError

__all__ = ["ARRAYS", "CURE", "FORMAT", "HEADER", "bucket_of", "open_array", "read_header", "verify", "write_header"]

FORMAT = 1
"""Grows whenever older indexes can no longer be read, or would find something else."""

HEADER = "search.json"

ARRAYS = (
    "names", "name_ends", "buckets", "starts", "peaks", "documents", "codes", "frequencies", "lengths", "ranks",
)  # fmt: skip

_CHECKED_AT_OPEN = 4 << 20  # bytes; larger files are only measured
CURE = "Delete the folder and build the index again."


def bucket_of(term: bytes, buckets: int) -> int:
    """Return in which of the buckets a term is; their number is a power of two."""
    return zlib.crc32(term) & (buckets - 1)


def _digest(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_header(folder: Path, counts: Mapping[str, int]) -> None:
    """Write the header of the arrays, which completes the index.

    Args:
        folder: Their folder.
        counts: Further values for a reader: `documents`, `filled`, `terms` (with repetitions).
    """
    files = {}
    for name in ARRAYS:
        path = folder / f"{name}.npy"
        files[path.name] = {"bytes": path.stat().st_size, "sha256": _digest(path)}
    content = {"format": FORMAT, **counts, "files": files}
    unfinished = folder / f"{HEADER}.part"
    unfinished.write_text(json.dumps({**content, "sha256": _seal(content)}, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(folder / HEADER)


def read_header(folder: Path) -> Mapping[str, Any]:
    """Check sizes, and checksums of small files, and return the header of an index.

    Raises:
        MissingDataError: The index does not exist.
        CorruptDataError: The version is different, or a file has changed.
    """
    path = folder / HEADER
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        seal = header.pop("sha256", None)
    except FileNotFoundError as cause:
        raise MissingDataError(f"No search index in {folder}: there is no {HEADER}. {CURE}") from cause
    except (OSError, ValueError, AttributeError, TypeError) as cause:
        raise CorruptDataError(f"{path} cannot be read: {cause}. {CURE}") from cause
    if header.get("format") != FORMAT:
        raise CorruptDataError(
            f"The search index in {folder} is of version {header.get('format')}; expected {FORMAT}. {CURE}"
        )
    if seal != _seal(header):
        raise CorruptDataError(f"{path} is not what was written: its checksum is another. {CURE}")
    for name, expected in header["files"].items():
        _compare(folder / name, expected, whole=expected["bytes"] <= _CHECKED_AT_OPEN)
    return header  # type: ignore[no-any-return]


def verify(folder: Path) -> None:
    """Verify all checksums of an index; a second or two for each gigabyte.

    Raises:
        MissingDataError: The index does not exist.
        CorruptDataError: The version is different, or a file has changed.
    """
    for name, expected in read_header(folder)["files"].items():
        _compare(folder / name, expected, whole=True)


def open_array(folder: Path, name: str) -> NDArray[Any]:
    """Return one of the arrays, mapped into memory and not to be written to.

    Raises:
        CorruptDataError: The file is no such array.
    """
    path = folder / f"{name}.npy"
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as cause:
        raise CorruptDataError(f"{path} cannot be read: {cause}. {CURE}") from cause


def _compare(path: Path, expected: Mapping[str, Any], *, whole: bool) -> None:
    try:
        size = path.stat().st_size
        found = _digest(path) if whole and size == expected["bytes"] else expected["sha256"]
    except OSError as cause:
        raise CorruptDataError(f"{path}, a part of the search index, cannot be read: {cause}. {CURE}") from cause
    if size != expected["bytes"]:
        raise CorruptDataError(f"{path} has {size:,} bytes and should have {expected['bytes']:,}. {CURE}")
    if found != expected["sha256"]:
        raise CorruptDataError(f"{path} is not what was written: its checksum is another. {CURE}")


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
