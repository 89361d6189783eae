"""Memory on a CPU: returns freed memory to the operating system.

Passes have ever new lengths, so tensors have ever new sizes, and glibc's `malloc` keeps the freed blocks: training
SmolLM2-135M on whole episodes grew from 4.5 GB after 2 steps to 6.4 GB after 20 and 11 GB after 300. `malloc_trim`
gives the pages back (3.3 GB after 20 steps). It costs 0.1 to 0.2 s, and the pages must be cleared again, so it is
called only when the process has grown.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["MemoryTrimmer", "resident"]

_STATM = Path("/proc/self/statm")


def resident() -> int:
    """Return the process's resident memory in bytes; 0 where the system has no `/proc`."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@cache
def _libc() -> Any:
    """Return glibc; None on other systems."""
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "malloc_trim") else None


class MemoryTrimmer:
    """Trims the heap when the process has grown since the last time; does nothing without glibc.

    Args:
        growth: Bytes of growth that are left alone.
    """

    def __init__(self, growth: int = 1 << 30) -> None:
        self.growth = growth
        self._floor = 0

    def trim(self) -> bool:
        """Trim if the process has grown; return whether it did."""
        if resident() - self._floor < self.growth or (libc := _libc()) is None:
            return False
        libc.malloc_trim(0)
        self._floor = resident()
        return True
