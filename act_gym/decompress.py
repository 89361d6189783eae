"""Opens a file that may be compressed, and notices damage and a missing end.

The format is told by its first bytes. zstd is not in Python before 3.14, so it takes the `zstandard`
package or the `zstd` program, whichever is there.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from act_gym.errors import CorruptDataError, MissingDependencyError

__all__ = ["Stream", "open_stream"]

_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_ZSTD = b"\x28\xb5\x2f\xfd"
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)
_ZEROS = bytes(512)


class Stream:
    """Reads from `inner`; whatever goes wrong there is a `CorruptDataError` that names the file."""

    def __init__(self, inner: IO[bytes], source: Path, damage: tuple[type[Exception], ...] = _DAMAGE) -> None:
        self._inner = inner
        self._source = source
        self._damage = damage
        self._tail = b""

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; nothing at the end.

        Raises:
            CorruptDataError: The file is damaged or ends too early.
        """
        try:
            block = self._inner.read(size)
        except self._damage as cause:
            raise CorruptDataError(f"{self._source} is damaged: {cause}.") from cause
        self._tail = (self._tail + block)[-len(_ZEROS) :]
        return block

    def ends_like_tar(self) -> bool:
        """Return whether the last bytes are those of a whole tar archive, a block of zeros.

        A tar archive cut off between two files looks complete to Python's `tarfile`.
        """
        while self.read(1 << 20):
            pass
        return self._tail == _ZEROS


@contextmanager
def open_stream(source: Path) -> Iterator[Stream]:
    """Open a file, decompressed if it is compressed with gzip, bzip2, xz or zstd.

    Raises:
        MissingDependencyError: It is compressed with zstd and nothing here can read that.
    """
    with source.open("rb") as file:
        start = file.read(6)
    if start.startswith(_ZSTD):
        with _zstd(source) as stream:
            yield stream
        return
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), open)
    with opener(source, "rb") as file:
        yield Stream(file, source)


@contextmanager
def _zstd(source: Path) -> Iterator[Stream]:
    try:
        import zstandard
    except ImportError:
        program = shutil.which("zstd")
        if program is None:
            raise MissingDependencyError(
                f"{source.name} needs the zstandard package or the zstd program; neither",
                command="pip install zstandard",
            ) from None
        with subprocess.Popen([program, "-dcq", "--long=31", str(source)], stdout=subprocess.PIPE) as process:
            yield Stream(cast(IO[bytes], process.stdout), source)
        return
    with (
        source.open("rb") as file,
        # Archives made with a long window need more than the 128 MB that are allowed by default.
        zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file) as inner,
    ):
        yield Stream(cast(IO[bytes], inner), source, (*_DAMAGE, zstandard.ZstdError))
