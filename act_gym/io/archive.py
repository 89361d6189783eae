"""Reads the files of an archive or a folder, trusting nothing that stands in it.

A caller says where a file shall go by its name in the archive, so no name from an archive ever
becomes a path. An archive that tries anyway (absolute names, `..`, links, devices) or that unpacks
to far more than it should is refused as a whole. Formats are told apart by content, not by name.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from act_gym.decompress import open_stream
from act_gym.errors import CorruptDataError, UsageError

__all__ = ["MAX_BYTES", "MAX_FILES", "Member", "members", "unpack"]

MAX_BYTES = 8 << 30
"""Archives that unpack to more are refused."""

MAX_FILES = 200_000

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Member:
    """One regular file of an archive.

    Attributes:
        name: Its name in the archive, with `/`.
        size: Its size in bytes as the archive says.
        open: Opens it. In a stream it can only be read before the next member is asked for.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(source: Path, place: Callable[[str], Path | None]) -> int:
    """Write the files of an archive or a folder that the caller wants.

    Args:
        source: A zip, tar, tar.gz, tar.bz2, tar.xz or tar.zst file, or a folder.
        place: Given a name with `/`, says where the file goes, or None to leave it out.

    Returns:
        How many files were written.

    Raises:
        CorruptDataError: It is damaged, unsafe or unreasonably large. What was written stays: unpack
            into a folder of your own and delete it.
        UsageError: It is no archive.
        MissingDependencyError: It is compressed with zstd and nothing here can read that.
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
    """Yield the regular files of an archive or a folder, each checked. Raises as `unpack` does."""
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
            if left < 0:  # the archive lied about the size, as bombs do
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
                    tarfile.data_filter(info, "/nowhere")  # Python's own checks as a second opinion
                    yield Member(info.name, info.size, lambda info=info: _extract(archive, info))  # type: ignore[misc]
            if not stream.ends_like_tar():
                raise CorruptDataError(f"{source} is cut off: the end of the archive is missing.")


def _extract(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(info)
    assert content is not None
    return content
