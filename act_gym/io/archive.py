"""Safe reading of archives and folders.

The caller maps each name in the archive to a destination, so no name from an archive becomes a path. An archive with
unsafe members (absolute names, `..`, links, devices) or an excessive unpacked size is refused as a whole. Formats are
recognised by content, not by name.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import IO, Any

from act_gym.errors import CorruptDataError, MissingDependencyError, UsageError

__all__ = ["MAX_BYTES", "MAX_FILES", "unpack"]

MAX_BYTES = 8 << 30
"""Archives that unpack to more are refused."""

MAX_FILES = 200_000

_ZSTD = b"\x28\xb5\x2f\xfd"
_COMPRESSED = (_ZSTD, b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
_ZSTD_MODULE = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, NotImplementedError)
_Member = tuple[str, int, Callable[[], Any]]  # name with `/`, bytes by the header, opens it


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
    with ExitStack() as stack:
        try:
            for number, (name, size, open_) in enumerate(_members(source, stack), start=1):
                total += size
                if number > MAX_FILES or total > MAX_BYTES:
                    raise CorruptDataError(
                        f"{source} holds more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes; not unpacked."
                    )
                target = place(name)
                if target is not None:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with open_() as content, target.open("wb") as file:
                        shutil.copyfileobj(content, file, 1 << 20)
                    written += 1
        except _damage() as cause:
            if isinstance(cause, OSError) and cause.errno is not None:  # of the disk, not of a decompressor
                raise
            raise CorruptDataError(f"{source} is a damaged archive: {cause}.") from cause
    return written


def _members(source: Path, stack: ExitStack) -> Iterator[_Member]:
    """Yield the checked regular files of an archive or a folder."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.is_file():  # a user's own folder may use links
                yield path.relative_to(source).as_posix(), path.stat().st_size, partial(path.open, "rb")
    elif zipfile.is_zipfile(source):
        archive = stack.enter_context(zipfile.ZipFile(source))
        for info in archive.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise CorruptDataError(f"{source} holds {info.filename!r}, a link or a device; not unpacked.")
            if info.flag_bits & 1:
                raise CorruptDataError(f"{source} holds {info.filename!r}, which is encrypted; not unpacked.")
            if not info.is_dir():
                yield _safe(info.filename, source), info.file_size, partial(archive.open, info)
    else:
        tar = _open_tar(source, stack)
        for member in tar:
            if not (member.isfile() or member.isdir()):
                raise CorruptDataError(f"{source} holds {member.name!r}, a link or a device; not unpacked.")
            if member.isfile():
                name = _safe(member.name, source)
                tarfile.data_filter(member, "/nowhere")  # in addition, Python's own checks
                yield name, member.size, partial(tar.extractfile, member)
        while tar.fileobj and tar.fileobj.read(1 << 20):  # a compressed file's checksum is compared at its end
            pass


def _open_tar(source: Path, stack: ExitStack) -> tarfile.TarFile:
    with source.open("rb") as file:
        start = file.read(6)
    try:
        if not start.startswith(_ZSTD):
            return stack.enter_context(tarfile.open(source))
        return stack.enter_context(tarfile.open(fileobj=stack.enter_context(_open_zstd(source)), mode="r:"))
    except (tarfile.ReadError, EOFError) as cause:
        if start.startswith(_COMPRESSED):
            raise
        raise UsageError(
            f"{source} is neither a zip nor a tar archive (tar, tar.gz, tar.xz, tar.zst) that can be read: {cause}."
        ) from cause


def _open_zstd(source: Path) -> IO[bytes]:
    try:
        zstd = import_module(_ZSTD_MODULE)
    except ImportError as cause:
        raise MissingDependencyError(_ZSTD_MODULE, command=f"pip install {_ZSTD_MODULE}") from cause
    # Archives with a long window need more than the default limit of 128 MB.
    opened: IO[bytes] = zstd.open(source, options={zstd.DecompressionParameter.window_log_max: 31})
    return opened


def _damage() -> tuple[type[Exception], ...]:
    zstd = sys.modules.get(_ZSTD_MODULE)
    return (*_DAMAGE, zstd.ZstdError) if zstd else _DAMAGE


def _safe(name: str, source: Path) -> str:
    path = PurePosixPath(name)
    inside = path.parts and not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]
    if not inside or "\\" in name or "\0" in name:
        raise CorruptDataError(
            f"{source} holds the name {name!r}, which is no name of a file in its folder; not unpacked."
        )
    return name
