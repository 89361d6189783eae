"""Safe reading of archives, compressed files and folders.

The caller maps each name in the archive to a destination, so no name from an archive becomes a path. An archive with
unsafe members (absolute names, `..`, links, devices) or an excessive unpacked size is refused as a whole. Formats are
recognised by content, not by name.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import stat
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from act_gym.errors import CorruptDataError, MissingDependencyError, UsageError

__all__ = ["MAX_BYTES", "MAX_FILES", "Member", "Stream", "members", "open_stream", "unpack"]


_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_ZSTD = b"\x28\xb5\x2f\xfd"
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)
_ZEROS = bytes(512)


class Stream:
    """Reads from `inner`; any failure is a `CorruptDataError` with the file's name."""

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
        """Return whether the stream ends like a complete tar archive, with a block of zeros.

        A tar archive cut off between two files looks complete to Python's `tarfile`.
        """
        while self.read(1 << 20):
            pass
        return self._tail == _ZEROS


@contextmanager
def open_stream(source: Path) -> Iterator[Stream]:
    """Open a file, decompressed if it is compressed with gzip, bzip2, xz or zstd.

    Raises:
        MissingDependencyError: The file needs zstd, which is not installed.
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
        # Archives with a long window need more than the default limit of 128 MB.
        zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file) as inner,
    ):
        yield Stream(cast(IO[bytes], inner), source, (*_DAMAGE, zstandard.ZstdError))


MAX_BYTES = 8 << 30
"""Archives that unpack to more are refused."""

MAX_FILES = 200_000

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Member:
    """One regular file of an archive.

    Attributes:
        name: Its name in the archive, with `/`.
        size: Its size in bytes, by the archive's header.
        open: Opens it. In a stream, read it before the next member.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(source: Path, place: Callable[[str], Path | None]) -> int:
    """Extract selected files of an archive or a folder.

    Args:
        source: A zip, tar, tar.gz, tar.bz2, tar.xz or tar.zst file, or a folder.
        place: Maps a name with `/` to a destination, or to None to skip the file.

    Returns:
        The number of files written.

    Raises:
        CorruptDataError: The archive is damaged, unsafe or too large. Files already written stay: unpack into a
            temporary folder and delete it.
        UsageError: The file is not an archive.
        MissingDependencyError: The file needs zstd, which is not installed.
        OSError: A file could not be written.
    """
    written = total = 0
    for number, member in enumerate(members(source), start=1):
        total += member.size
        if number > MAX_FILES or total > MAX_BYTES:
            raise CorruptDataError(
                f"{source} holds more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes; not unpacked."
            )
        target = place(member.name)
        if target is not None:
            _write(member, target, source)
            written += 1
    return written


def members(source: Path) -> Iterator[Member]:
    """Yield the checked regular files of an archive or a folder; raises the same errors as `unpack`."""
    if source.is_dir():
        yield from _folder(source)
        return
    try:
        yield from _zip(source) if zipfile.is_zipfile(source) else _tar(source)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, NotImplementedError) as cause:
        raise CorruptDataError(f"{source} is a damaged archive or none: {cause}.") from cause


def _write(member: Member, target: Path, source: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    with member.open() as content, target.open("wb") as file:
        while block := _read(content, source):
            left -= len(block)
            if left < 0:  # the header's size is wrong, as in archive bombs
                break
            file.write(block)
    if left:
        raise CorruptDataError(f"{source}: {member.name} has another length than the archive says.")


def _read(content: IO[bytes], source: Path) -> bytes:
    try:
        return content.read(_BLOCK)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as cause:
        raise CorruptDataError(f"{source} is damaged: {cause}.") from cause


def _check_name(name: str, source: Path) -> str:
    path = PurePosixPath(name)
    if (
        not path.parts
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or "\0" in name
        or ":" in path.parts[0]
    ):
        raise CorruptDataError(
            f"{source} holds the name {name!r}, which is no name of a file in its folder; not unpacked."
        )
    return name


def _folder(source: Path) -> Iterator[Member]:
    for path in sorted(source.rglob("*")):
        if path.is_file():  # a user's own folder may use links
            yield Member(path.relative_to(source).as_posix(), path.stat().st_size, lambda path=path: path.open("rb"))  # type: ignore[misc]


def _zip(source: Path) -> Iterator[Member]:
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise CorruptDataError(f"{source} holds {info.filename!r}, a link or a device; not unpacked.")
            if info.flag_bits & 1:
                raise CorruptDataError(f"{source} holds {info.filename!r}, which is encrypted; not unpacked.")
            if not info.is_dir() and info.filename:
                _check_name(info.filename, source)
                yield Member(info.filename, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]


def _tar(source: Path) -> Iterator[Member]:
    with open_stream(source) as stream:
        try:
            archive = tarfile.open(fileobj=stream, mode="r|")  # type: ignore[call-overload]  # noqa: SIM115
        except tarfile.ReadError as cause:
            raise UsageError(
                f"{source} is neither a zip nor a tar archive (tar, tar.gz, tar.xz, tar.zst) that can be read: {cause}."
            ) from cause
        with archive:
            for info in archive:
                if not (info.isfile() or info.isdir()):
                    raise CorruptDataError(f"{source} holds {info.name!r}, a link or a device; not unpacked.")
                if info.isfile():
                    _check_name(info.name, source)
                    tarfile.data_filter(info, "/nowhere")  # in addition, Python's own checks
                    yield Member(info.name, info.size, lambda info=info: _extract(archive, info))  # type: ignore[misc]
            if not stream.ends_like_tar():
                raise CorruptDataError(f"{source} is cut off: the end of the archive is missing.")


def _extract(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(info)
    assert content is not None
    return content
