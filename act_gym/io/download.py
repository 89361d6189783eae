"""Download of one file over HTTP or from Google Drive with gdown: resumable, with size and sha256 checks.

The target appears only when it is complete and correct; until then gdown's part is in the same folder.
"""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from act_gym.errors import CorruptDataError, DownloadError, MissingDependencyError

__all__ = ["FULL_DISK", "Report", "fetch", "file_sha256", "full_disk"]

Report = Callable[[int, int | None], None]
"""Progress callback: bytes received and the total, if known."""

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_RETRIES = 8
_TIMEOUT = 60.0  # seconds without a byte before a connection is considered lost
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


def fetch(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    report: Report | None = None,
    pause: float = 1.0,
) -> Path:
    """Download a file; return at once if the target is already complete and correct.

    Args:
        url: `http://` or `https://`, a file on Google Drive included.
        target: The destination; its folder must exist.
        size: Its size in bytes, if known.
        sha256: Its hexadecimal sha256, if known.
        report: Called with the progress.
        pause: Seconds before a server that answered with an error is asked again; doubled for each further try.

    Raises:
        DownloadError: The download failed. With a sha256, received bytes are kept and the next call resumes there.
        CorruptDataError: The received file is not the expected one; it has been deleted.
        MissingDependencyError: gdown is not installed.
    """
    if target.exists():
        if sha256 is None or file_sha256(target) == sha256:
            return target
        target.unlink()
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"Cannot fetch {url}: expected an address with http:// or https://.")
    unchecked = target.with_name(f".{target.name}.")
    if sha256 is None:
        _forget(unchecked)  # old bytes may belong to another file

    def check_size(done: int, total: int | None) -> None:
        if total is not None and size is not None and total != size:
            raise CorruptDataError(f"{url} has {total:,} bytes; expected {size:,}: it is another file.")
        if report:
            report(done, total or size)

    try:
        _receive(url, unchecked, check_size, pause)
        found, there = file_sha256(unchecked), unchecked.stat().st_size
        if size not in (None, there) or sha256 not in (None, found):
            wrong = f"has {there:,} bytes and sha256 {found}; expected {size or there:,} and {sha256 or found}"
            raise CorruptDataError(
                f"The file from {url} {wrong}. It has been deleted. Run the command again; if it happens again, the "
                "file at that address is another one."
            )
    except CorruptDataError:
        _forget(unchecked)
        raise
    except OSError as cause:
        if cause.errno in FULL_DISK:
            raise full_disk(target.parent, (size or 0) - _kept(unchecked)) from cause
        raise DownloadError(f"Cannot write to {target.parent}: {cause.strerror or cause}.") from cause
    return unchecked.replace(target)


def _receive(url: str, output: Path, progress: Report, pause: float) -> None:
    try:
        import gdown
        import requests
    except ImportError as cause:
        raise MissingDependencyError("gdown", command="pip install gdown") from cause
    for tries in range(_RETRIES + 1):
        try:
            gdown.download(
                url,
                str(output),
                quiet=True,
                use_cookies=False,
                resume=True,
                progress=progress,
                timeout=_TIMEOUT,
                retries=_RETRIES,
                user_agent="act-gym",
            )
            return
        except requests.HTTPError as error:
            answer = error.response
            if answer is None or answer.status_code not in _RETRIED:
                raise DownloadError(
                    f"{url}: the server answered {error}. Check the address, or fetch the file by other means and "
                    "give it with --source FILE."
                ) from error
            lost: Exception = error
        except gdown.exceptions.DownloadError as error:
            if "byte range" not in str(error):
                lost = error
                break
            _forget(output)  # a server without ranges, or a part of another file
            lost = error
        except (gdown.exceptions.FileURLRetrievalError, requests.RequestException) as error:
            lost = error
            break
        time.sleep(pause * 2**tries)
    raise DownloadError(
        f"{url} could not be fetched: {lost}. {_kept(output):,} bytes are kept; run the command again to continue."
    ) from lost


def file_sha256(path: Path) -> str:
    """Return a file's sha256 as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def full_disk(folder: Path, needed: int = 0) -> DownloadError:
    """Return the error for a full disk."""
    more = f" About {needed / 1e6:,.0f} MB more are needed." if needed > 0 else ""
    return DownloadError(
        f"The disk of {folder} is full, or a limit on file sizes was reached.{more} Make room, or choose another "
        "folder with the environment variable ACT_GYM_DATA, and run the command again."
    )


def _kept(output: Path) -> int:
    return sum(part.stat().st_size for part in output.parent.glob(f"{output.name}????????.part"))


def _forget(output: Path) -> None:
    for part in (output, *output.parent.glob(f"{output.name}????????.part")):
        part.unlink(missing_ok=True)
