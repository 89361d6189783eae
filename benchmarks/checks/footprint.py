"""Footprint: memory and open files of many ScienceWorld environments and many resets.

    python -m benchmarks.checks.footprint

First so many environments are played in one Java process, in a Python process of their own: each loads another task, a
list of admissible commands is drawn from, and the commands are carried out in turn. The memory of Java and Python in
memory, and held at most, comes from the kernel. Then one environment is reset over and over, task type after task type,
with a step that spoils the task after each; now and then the Java heap is measured after a collection. stdout gets a
Markdown table of each. Nothing here is judged: read whether the second table is flat.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from act_gym.config import parse
from act_gym.engines.scienceworld import JvmEngine
from act_gym.engines.scienceworld.jvm import Jvm, shared_jvm
from act_gym.errors import UsageError
from act_gym.progress import track
from benchmarks.checks.gold import chosen, in_turn
from benchmarks.programs import checking

__all__ = ["Footprint", "FootprintConfig", "main", "many"]


@dataclass(frozen=True)
class FootprintConfig:
    """Measure memory and open files of ScienceWorld."""

    environments: tuple[int, ...] = (16, 64)
    """Environments in one Java process; a row each."""
    steps: int = 20
    """Commands of each."""
    resets: int = 5000
    """Resets of one environment; 0 to leave that out."""
    every: int = 500
    """A row after so many resets."""
    memory: str = "1g"
    """The largest Java heap."""
    seed: int = 0
    """Seed of the tasks and commands."""


@dataclass(frozen=True)
class Footprint:
    """Memory and open files of Java and Python.

    Attributes:
        heap: Bytes of Java objects that live after a collection.
        java: Java's bytes in memory now, and at most so far.
        python: The same of this process.
        files: Descriptors of Java and of this process.
    """

    heap: int
    java: tuple[int, int]
    python: tuple[int, int]
    files: tuple[int, int]

    @classmethod
    def of(cls, jvm: Jvm) -> Footprint:
        """Measure; Java's memory is read before the garbage collection, which returns some of it."""
        java, python = _resident(jvm.pid), _resident(os.getpid())
        with jvm.calling("measuring", 120):
            runtime = jvm.classes.java.lang.Runtime.getRuntime()
            runtime.gc()
            heap = runtime.totalMemory() - runtime.freeMemory()
            jvm.discard(runtime)
        return cls(heap, java, python, (_files(jvm.pid), _files(os.getpid())))


def many(environments: int, steps: int, memory: str, seed: int) -> Footprint:
    """Play environments side by side and measure while all are in the middle of their episodes."""
    random = np.random.default_rng(seed)
    tasks = in_turn(chosen(()), seed)[:environments]
    with ExitStack() as stack:
        engines = [stack.enter_context(closing(JvmEngine(memory=memory))) for _ in tasks]
        for engine, task in zip(engines, tasks, strict=True):
            engine.reset(task)
        offered = [tuple(engine.admissible_commands()) for engine in engines]
        for _ in track(range(steps), f"{environments} environments"):
            for engine, commands in zip(engines, offered, strict=True):
                engine.step(commands[int(random.integers(len(commands)))])
        return Footprint.of(shared_jvm(memory, ""))


def _over_and_over(resets: int, every: int, memory: str, seed: int) -> Iterator[tuple[int, Footprint]]:
    """Reset one environment; yield the number of resets and the memory at intervals."""
    tasks = in_turn(chosen(()), seed)
    with closing(JvmEngine(memory=memory)) as engine:
        for number in track(range(1, resets + 1), "resets"):
            engine.reset(tasks[(number - 1) % len(tasks)])
            engine.step("focus on agent")
            if number % every == 0 or number == 1:
                yield number, Footprint.of(shared_jvm(memory, ""))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status: 0, or 2 for a mistake."""
    return checking(_measure, sys.argv[1:] if argv is None else argv)


def _measure(argv: Sequence[str]) -> int:
    arguments = parse(FootprintConfig, argv, program="python -m benchmarks.checks.footprint")
    if min((1, *arguments.environments)) < 1 or arguments.steps < 0 or arguments.resets < 0 or arguments.every < 1:
        raise UsageError("--environments and --every are at least 1, --steps and --resets 0 or more.")
    _say(*_head("environments"))
    for count in arguments.environments:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found = pool.submit(many, count, arguments.steps, arguments.memory, arguments.seed).result()
        _say(_row(count, found))
    if arguments.resets:
        _say("", *_head("resets"))
        for number, found in _over_and_over(arguments.resets, arguments.every, arguments.memory, arguments.seed):
            _say(_row(number, found))
    return 0


def _say(*lines: str) -> None:
    print("\n".join(lines), flush=True)  # noqa: T201


def _head(first: str) -> tuple[str, str]:
    heads = (first, "Java heap in use, MB", "Java, MB (at most)", "Python, MB (at most)", "both at most, MB", "files")
    return f"| {' | '.join(heads)} |", "|" + "--:|" * len(heads)


def _row(count: int, found: Footprint) -> str:
    def shown(now: int, most: int) -> str:
        return f"{now / 1e6:.0f} ({most / 1e6:.0f})"

    both = (found.java[1] + found.python[1]) / 1e6
    cells = (f"{count:,}", f"{found.heap / 1e6:.1f}", shown(*found.java), shown(*found.python), f"{both:.0f}")
    return f"| {' | '.join(cells)} | {found.files[0]} + {found.files[1]} |"


def _resident(pid: int) -> tuple[int, int]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmRSS"].split()[0]) * 1024, int(fields["VmHWM"].split()[0]) * 1024


def _files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


if __name__ == "__main__":
    sys.exit(main())
