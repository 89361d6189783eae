"""Walks that are played while their Java process is killed or stopped at random moments."""

import gc
import os
import signal
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from act_gym.engines.scienceworld import JvmEngine
from act_gym.engines.scienceworld.jvm import shared_jvm
from act_gym.errors import EngineError
from tests.act_gym.engines.scienceworld.walks import Walk, playing

MEMORY = "1001m"  # marks this program's Java processes
PATIENCE = 600.0


@dataclass
class Report:
    """What happened: signals, steps, how episodes ended, kills in the middle of an equal one, threads that hang."""

    kills: int = 0
    steps: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    hit: int = 0
    causes: set[str] = field(default_factory=set)
    hanging: int = 0
    folders: set[Path] = field(default_factory=set)


def under_fire(walks: list[Walk], expected: list[list[str]], *, kills: int, stopped: float) -> Report:
    """Play walks in two threads while their Java process is killed, a share of the times only stopped."""
    report, over, lock = Report(), threading.Event(), threading.Lock()

    def play(number: int) -> None:
        random = np.random.default_rng(number)
        with closing(JvmEngine(memory=MEMORY, call_timeout=10)) as engine:
            while not over.is_set():
                which, before, trace, cause = int(random.integers(len(walks))), report.kills, [], ""
                try:
                    for text in playing(engine, walks[which]):
                        trace.append(text)
                        report.steps += 1
                except EngineError as error:
                    cause = str(error)
                end = "env_error" if cause else "equal" if trace == expected[which] else "different"
                with lock:
                    report.ended[end] += 1
                    report.hit += end == "equal" and report.kills > before
                    report.causes |= {cause} - {""}

    players = [threading.Thread(target=play, args=(number,), daemon=True) for number in range(2)]
    for player in players:
        player.start()
    _shoot(report, kills, stopped)
    over.set()
    until = time.monotonic() + PATIENCE
    for player in players:
        player.join(max(0.0, until - time.monotonic()))
    report.hanging = sum(player.is_alive() for player in players)
    return report


def leftovers(report: Report, before: set[int]) -> list[str]:
    """Close the last Java process and describe the processes, descriptors and folders that are left."""
    shared_jvm(MEMORY, "").close()
    gc.collect()
    found = [f"process {pid} in state {state}" for pid, state in _processes().items()]
    found += [f"descriptor {number}" for number in sorted(open_files() - before)]
    return found + [f"folder {folder}" for folder in sorted(report.folders) if folder.exists()]


def open_files() -> set[int]:
    """Return the numbers of this process's open files."""
    return {int(path.name) for path in Path("/proc/self/fd").iterdir() if path.exists() or path.is_symlink()}


def _shoot(report: Report, kills: int, stopped: float) -> None:
    random = np.random.default_rng(12345)
    for _ in range(kills):
        until = report.steps + random.geometric(1 / 4)
        while report.steps < until or not (targets := [pid for pid, state in _processes().items() if state in "RSD"]):
            time.sleep(0.002)
        time.sleep(random.exponential(0.01))  # into the middle of a command
        with suppress(ProcessLookupError, FileNotFoundError):  # it has just ended because of the one before
            report.folders.add(Path(f"/proc/{targets[0]}/cwd").readlink())
            os.kill(targets[0], signal.SIGSTOP if random.random() < stopped else signal.SIGKILL)
            report.kills += 1


def _processes() -> dict[int, str]:
    """Return this program's Java processes and their states; zombies, which have no name any more, of any Java."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
            marked = f"-Xmx{MEMORY}".encode() in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and (marked or fields[0] == "Z"):
            found[int(folder.name)] = fields[0]
    return found
