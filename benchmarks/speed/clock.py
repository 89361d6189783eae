"""Timer for `--benchmark-timer`: processor time of this process and of those it started."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil

__all__ = ["processor_time"]


def processor_time() -> float:
    """Return the seconds that this process and its children have been running; children in ticks of 10 ms.

    A call that waits for another process's answer takes no time of its own, and the clock on the wall depends on other
    work on the machine. Children that have ended count with all that they had started.
    """
    process = psutil.Process()
    ended = process.cpu_times()
    total = time.process_time() + ended.children_user + ended.children_system
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            spent = child.cpu_times()
            total += spent.user + spent.system
    return float(total)
