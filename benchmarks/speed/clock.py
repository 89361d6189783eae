"""Processor time and memory of this process and of those it started, for measuring on a machine that others use too.

    python -m pytest benchmarks/speed/bench_scienceworld.py --benchmark-timer=benchmarks.speed.clock.processor_time

A call that waits for another process's answer takes no time of its own; and what the clock on the wall
says about it depends on who else is running. Linux only.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import time
from pathlib import Path

__all__ = ["children", "own_resident", "processor_time", "resident", "yardstick"]

_SCHEDULER_CLOCK = 2  # of the clocks of a process the exact one (CPUCLOCK_SCHED in Linux)


def processor_time() -> float:
    """Return the seconds that all threads of this process and of its children have been running.

    Children that have ended count with all that they had started themselves.
    """
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for process in children():
        with contextlib.suppress(OSError):  # it has just ended
            total += _of_process(process)
    return total


def yardstick(rounds: int = 15) -> float:
    """Return the seconds of processor time that a fixed piece of Python takes: the least of some rounds."""
    return min(_fixed_work() for _ in range(rounds))


def _fixed_work() -> float:
    started = time.process_time()
    words: dict[str, int] = {}
    for number in range(20_000):
        word = f"word {number % 997}"
        words[word] = words.get(word, 0) + len(word.split())
    json.loads(json.dumps(sorted(words.items())))
    return time.process_time() - started


def _of_process(process: int) -> float:
    """Return the seconds that all threads of another process have been running, to the nanosecond."""
    return time.clock_gettime((~process << 3) | _SCHEDULER_CLOCK)


def children() -> list[int]:
    """Return the numbers of the processes that this one has started and that have not been waited for."""
    found = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(number) for number in (thread / "children").read_text(encoding="ascii").split()]
    return found


def own_resident() -> int:
    """Return how many bytes of this process are in memory; quick enough to be asked a hundred times a second."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def resident(*processes: int) -> float:
    """Return the megabytes that processes have in memory, a page that several share by its share."""
    return sum(_proportional(process) for process in processes) / 1e6


def _proportional(process: int) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
