"""Memory-mapped JSON Lines file with random access; processes share its pages.

`<name>.index` has the offset of each line of `<name>.jsonl`, and the end of the last one, as little-endian unsigned
64-bit numbers.
"""

from __future__ import annotations

import json
import mmap
import struct
from pathlib import Path
from typing import IO, Any

from act_gym.errors import CorruptDataError

__all__ = ["LineWriter", "Lines", "mapped"]

_PAIR = struct.Struct("<QQ")
_ONE = struct.Struct("<Q")


class Lines:
    """Lines of a file, by number.

    Args:
        folder: The folder of the two files.
        name: Their name without the extension.

    Raises:
        CorruptDataError: The two files do not match.
        OSError: They cannot be read.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.jsonl"
        self._content = mapped(self._path)
        self._index = mapped(folder / f"{name}.index")
        self._count = len(self._index) // _ONE.size - 1
        if self._count < 0 or _ONE.unpack_from(self._index, self._count * _ONE.size)[0] != len(self._content):
            raise CorruptDataError(f"{self._path} is not as long as its index says.")

    def __len__(self) -> int:
        return self._count

    def read(self, number: int) -> Any:
        """Return a line's content.

        Raises:
            IndexError: There is no such line.
            CorruptDataError: It is no JSON.
        """
        if not 0 <= number < self._count:
            raise IndexError(f"{self._path.name} has {self._count:,} lines; there is no line {number}.")
        start, end = _PAIR.unpack_from(self._index, number * _ONE.size)
        try:
            return json.loads(self._content[start:end])
        except ValueError as cause:
            raise CorruptDataError(f"{self._path} is damaged at byte {start:,}: {cause}.") from cause


class LineWriter:
    """Appends lines to such a file, from the saved position of an earlier run.

    Args:
        folder: The folder of the two files.
        name: Their name without the extension.
        lines: The number of present lines to keep.
        size: The size of these lines in bytes.
    """

    def __init__(self, folder: Path, name: str, *, lines: int = 0, size: int = 0) -> None:
        self._content = _from(folder / f"{name}.jsonl", size)
        self._index = _from(folder / f"{name}.index", (lines + 1) * _ONE.size if lines else 0)
        self.lines, self.size = lines, size
        if not lines:
            self._index.write(_ONE.pack(0))

    def write(self, content: Any) -> None:
        """Append a line."""
        line = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._content.write(line)
        self.size += len(line)
        self.lines += 1
        self._index.write(_ONE.pack(self.size))

    def files(self) -> tuple[IO[bytes], IO[bytes]]:
        """Return the two files that it writes."""
        return self._content, self._index


def mapped(path: Path) -> mmap.mmap | bytes:
    """Return a file's bytes without reading them; changes to the file are not to be made."""
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            return b""  # nothing cannot be mapped
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _from(path: Path, size: int) -> IO[bytes]:
    """Open a file for writing behind its first bytes."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    file.seek(size)
    return file
