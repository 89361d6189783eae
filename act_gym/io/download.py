"""HTTP download of one file: streaming, resumable, with size and sha256 checks.

Received bytes are in `<target>.part`, with the server's validators in `<target>.part.json`. The target appears only
when it is complete and correct.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_gym.errors import CorruptDataError, DownloadError
from act_gym.io.jsonl import write_json

__all__ = ["FULL_DISK", "Report", "fetch", "file_sha256", "full_disk"]

Report = Callable[[int, int | None], None]
"""Progress callback: bytes received and the total, if known."""

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_BLOCK = 1 << 18
_TRIES = 6  # tries in a row without a byte of progress
_TIMEOUT = 60.0  # seconds without a byte before a connection is considered lost
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOST = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


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
        url: `http://` or `https://`.
        target: The destination; its folder must exist.
        size: Its size in bytes, if known.
        sha256: Its hexadecimal sha256, if known.
        report: Called with the progress.
        pause: Seconds before the second try; doubled for each further one.

    Raises:
        DownloadError: The download failed. Received bytes are kept, and the next call resumes there.
        CorruptDataError: The received file is not the expected one; it has been deleted.
    """
    if target.exists():
        if sha256 is None or file_sha256(target) == sha256:
            return target
        target.unlink()
    job = _Job(url, target.with_name(target.name + ".part"), size, sha256, report or _silent)
    fruitless = 0
    while True:
        before = job.there()
        try:
            job.receive()
            break
        except _Interrupted as lost:
            fruitless = 1 if job.there() > before else fruitless + 1
            if fruitless >= _TRIES:
                raise DownloadError(
                    f"{url} could not be fetched: {lost}. {job.there():,} bytes are kept; run the command again "
                    "to continue."
                ) from lost.__cause__
            time.sleep(pause * 2 ** (fruitless - 1))
        except OSError as cause:
            if cause.errno in FULL_DISK:
                raise full_disk(target.parent, (size or 0) - job.there()) from cause
            raise DownloadError(f"Cannot write {job.part}: {cause.strerror or cause}.") from cause
    job.check()
    job.part.replace(target)
    job.notes.unlink(missing_ok=True)
    return target


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


class _Interrupted(Exception):  # noqa: N818  (not an error yet: the download is retried)
    """Failure of the connection or the server; worth another try."""


@dataclass
class _Job:
    url: str
    part: Path
    size: int | None
    sha256: str | None
    report: Report

    @property
    def notes(self) -> Path:
        return self.part.with_name(self.part.name + ".json")

    def there(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def receive(self) -> None:
        """Request the missing bytes and append them; raise `_Interrupted` if the connection breaks."""
        if self.size is not None and self.there() == self.size:
            return
        try:
            with urllib.request.urlopen(self._request(), timeout=_TIMEOUT) as answer:  # noqa: S310  (checked there)
                self._append(answer)
        except urllib.error.HTTPError as error:
            with error:
                self._refused(error)
        except _LOST as cause:
            raise _Interrupted(f"{getattr(cause, 'reason', None) or cause or type(cause).__name__}") from cause

    def check(self) -> None:
        """Check size and sha256; delete a wrong file."""
        wrong = ""
        if self.size is not None and self.there() != self.size:
            wrong = f"has {self.there():,} bytes; expected {self.size:,}"
        elif self.sha256 is not None and (found := file_sha256(self.part)) != self.sha256:
            wrong = f"has sha256 {found}; expected {self.sha256}"
        if wrong:
            self._forget()
            raise CorruptDataError(
                f"The file from {self.url} {wrong}. It has been deleted. Run the command again; if it happens again, "
                "the file at that address is another one."
            )

    def _request(self) -> urllib.request.Request:
        if not self.url.startswith(("http://", "https://")):
            raise DownloadError(f"Cannot fetch {self.url}: expected an address with http:// or https://.")
        headers = {"User-Agent": "act-gym", "Accept-Encoding": "identity"}
        there, known = self.there(), self._known()
        validator = known.get("etag") or known.get("modified")
        if there and known.get("url") == self.url and (validator or self.sha256):
            headers["Range"] = f"bytes={there}-"
            if validator:
                headers["If-Range"] = validator
        elif there:
            self._forget()  # without a validator, old and new bytes may belong to different files
        return urllib.request.Request(self.url, headers=headers)  # noqa: S310  (checked above)

    def _append(self, answer: Any) -> None:
        start = self.there() if answer.status == 206 else 0
        if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            self._forget()
            raise _Interrupted("the server sent another range than the one asked for")
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        if total is not None and self.size is not None and total != self.size:
            self._forget()
            raise CorruptDataError(f"{self.url} has {total:,} bytes; expected {self.size:,}: it is another file.")
        etag = answer.headers.get("ETag", "")
        write_json(
            self.notes,
            {
                "url": self.url,
                "etag": "" if etag.startswith("W/") else etag,  # a weak one does not guarantee the same bytes
                "modified": answer.headers.get("Last-Modified", ""),
            },
        )
        done = start
        with self.part.open("ab" if start else "wb") as file:
            self.report(done, total or self.size)
            while block := answer.read(_BLOCK):
                file.write(block)
                done += len(block)
                self.report(done, total or self.size)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and done < total:
            raise _Interrupted(f"the connection ended after {done:,} of {total:,} bytes")
        if total is None and self.size is not None and done < self.size:
            raise _Interrupted(f"the connection ended after {done:,} of {self.size:,} bytes")

    def _refused(self, error: urllib.error.HTTPError) -> None:
        """Raise the error for an HTTP error status; returning means that all bytes are present."""
        if error.code == 416 and self.there():
            if error.headers.get("Content-Range") == f"bytes */{self.there()}":
                return
            self._forget()
            raise _Interrupted("the part on disk is longer than the file") from error
        if error.code in _RETRIED:
            raise _Interrupted(f"the server answered {error.code} {error.reason}") from error
        raise DownloadError(
            f"{self.url}: the server answered {error.code} {error.reason}. Check the address, or fetch the file by "
            "other means and give it with --source FILE."
        ) from error

    def _known(self) -> Mapping[str, str]:
        try:
            known = json.loads(self.notes.read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


def _silent(done: int, total: int | None) -> None:
    """Ignore the progress."""
