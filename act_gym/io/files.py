"""File locks: one run at a time, across processes."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["only_one"]


@contextmanager
def only_one(lock: Path, doing: str) -> Iterator[None]:
    """Hold a lock that admits one run at a time; it is released when its process ends, however it ends.

    Args:
        lock: The lock file, created if absent.
        doing: The lock holder's activity, shown to waiting runs, e.g. `filling FOLDER`.
    """
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"Another run is {doing}; waiting for it.\n")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
