"""Fault injection: kills ScienceWorld's Java process and checks that its episodes recover.

    python -m benchmarks.checks.faults

Walks (solutions and random commands, see `benchmarks.checks.determinism`) are played undisturbed first. Then
several environments play them again at once, a thread each, all in one Java process, while another thread kills that
process at random moments: `kill -9`, and every so often it is stopped instead, so that it gives no answer any more.
When all kills are done, the running episodes are played to their ends. Each must have shown what it showed undisturbed,
or have ended with an `EngineError`, which a rollout records as `env_error`. Afterwards the Java processes are closed,
and `/proc` must know none of them any more, neither running nor as a zombie; nor may descriptors or folders be left.

stdout gets a Markdown table, stderr each difference. The exit status is 1 where anything of this fails.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from act_gym.config import parse
from act_gym.engines.scienceworld import JvmEngine
from act_gym.engines.scienceworld.jvm import shared_jvm
from act_gym.errors import EngineError, UsageError
from act_gym.progress import track
from act_gym.types import StepResult
from benchmarks.checks.determinism import Trace, Walk, difference, lay_down
from benchmarks.checks.gold import chosen, in_turn
from benchmarks.programs import checking

__all__ = ["FaultsConfig", "Report", "leftovers", "main", "open_files", "table", "under_fire", "undisturbed"]

MEMORY = "1001m"
"""The heap, and so the mark by which the processes of this program are known."""

_counting = threading.Lock()

PATIENCE = 600.0
"""Seconds after the last kill in which every episode must have come to its end."""


@dataclass(frozen=True)
class FaultsConfig:
    """Kill Java while it is being played in; the exit status is 1 where an episode or anything left over is wrong."""

    kills: int = 100
    """How often the process is killed or stopped."""
    environments: int = 4
    """Episodes that run at once in one Java process."""
    walks: int = 12
    """Different walks, half of them solutions, of as many task types as there are."""
    seed: int = 0
    """Seed of the walks, moments and signals."""
    commands: int = 12
    """Commands carried out between two kills, on average, so that a slow machine gives the same picture."""
    again: float = 0.1
    """The share of kills that do not wait for commands, and so meet a process that is being started again."""
    stopped: float = 0.05
    """The share of kills that only stop the process."""
    call_timeout: float = 10.0
    """Seconds until a stopped process is given up."""


@dataclass
class Report:
    """Counts of a run with kills.

    Attributes:
        kills: Signals sent.
        stops: How many of them only stopped the process.
        busy: Kills during a command.
        ended: Episodes by how they ended: `equal`, `env_error`, `different`.
        hit: Episodes that were equal although their process was killed in the middle of them, at least once.
        causes: Error messages.
        under_way: Commands being carried out just now.
        steps: Commands carried out.
        slowest: The longest that one of them took, in seconds.
        hanging: Threads that had not come to an end in time.
        folders: Where the processes that were killed worked.
    """

    kills: int = 0
    stops: int = 0
    busy: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    hit: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    steps: int = 0
    slowest: float = 0.0
    hanging: int = 0
    folders: set[Path] = field(default_factory=set)


def undisturbed(walks: Sequence[Walk]) -> dict[str, Trace]:
    """Return the trace of each walk in an undisturbed run."""
    with closing(JvmEngine()) as engine:
        return {walk.name: _play(engine, walk, Report()) for walk in walks}


def under_fire(
    walks: Sequence[Walk], expected: Mapping[str, Trace], arguments: FaultsConfig, say: Callable[[str], None]
) -> Report:
    """Play walks over and over while their Java process is killed.

    Args:
        walks: With names that differ.
        expected: Traces of the undisturbed run.
        arguments: How often, how many at once, and so on.
        say: Takes a text for each walk that showed something else.
    """
    report, over, lock = Report(), threading.Event(), threading.Lock()

    def play(number: int) -> None:
        random = np.random.default_rng([arguments.seed, number])
        with closing(JvmEngine(memory=MEMORY, call_timeout=arguments.call_timeout)) as engine:
            while not over.is_set():
                walk, before = walks[int(random.integers(len(walks)))], report.kills
                try:
                    text = difference(walk, expected[walk.name], _play(engine, walk, report))
                    end, cause = ("different" if text else "equal"), ""
                except EngineError as error:
                    end, cause, text = "env_error", str(error), ""
                with lock:
                    report.ended[end] += 1
                    report.hit += end == "equal" and report.kills > before
                    report.causes.update([cause] * bool(cause))
                if text:
                    say(text)

    players = [threading.Thread(target=play, args=(number,), daemon=True) for number in range(arguments.environments)]
    for player in players:
        player.start()
    _shoot(arguments, report)
    over.set()
    until = time.monotonic() + PATIENCE
    for player in players:
        player.join(max(0.0, until - time.monotonic()))
    report.hanging = sum(player.is_alive() for player in players)
    return report


def leftovers(report: Report, before: set[int]) -> list[str]:
    """Close the last Java process and describe the processes and files that are left.

    Args:
        report: Names their folders.
        before: The descriptors that were open before the first one.
    """
    shared_jvm(MEMORY, "").close()
    gc.collect()
    found = [f"process {pid} in state {state}" for pid, state in _processes().items()]
    found += [f"descriptor {number}" for number in sorted(open_files() - before)]
    return found + [f"folder {folder}" for folder in sorted(report.folders) if folder.exists()]


def open_files() -> set[int]:
    """Return the numbers of this process's open files."""
    return {int(path.name) for path in Path("/proc/self/fd").iterdir() if path.exists() or path.is_symlink()}


def _play(engine: JvmEngine, walk: Walk, report: Report) -> Trace:
    def timed(do: Callable[[], StepResult]) -> str:
        started = time.monotonic()
        with _counting:
            report.under_way += 1
        try:
            state = do()
        finally:
            with _counting:
                report.under_way -= 1
        report.slowest = max(report.slowest, time.monotonic() - started)
        report.steps += 1
        return repr(asdict(state))

    first = timed(lambda: engine.reset(walk.task))
    return (engine.goal, first, *(timed(partial(engine.step, command)) for command in walk.commands))


def _shoot(arguments: FaultsConfig, report: Report) -> None:
    random = np.random.default_rng([arguments.seed, 12345])
    for _ in track(range(arguments.kills), "kills"):
        again = random.random() < arguments.again
        until = report.steps if again else report.steps + random.geometric(1 / arguments.commands)
        while report.steps < until or not (targets := [pid for pid, state in _processes().items() if state in "RSD"]):
            time.sleep(0.002)
        time.sleep(random.exponential(1.0 if again else 0.01))  # into the middle of a command
        stop = random.random() < arguments.stopped
        try:
            report.folders.add(Path(f"/proc/{targets[0]}/cwd").readlink())
            report.busy += report.under_way > 0
            os.kill(targets[0], signal.SIGSTOP if stop else signal.SIGKILL)
        except (ProcessLookupError, FileNotFoundError):
            continue  # it has just ended because of the one before
        report.kills += 1
        report.stops += stop


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


def table(report: Report, left: Sequence[str]) -> str:
    """Return the results as a Markdown table."""
    episodes = sum(report.ended.values())
    rows = {
        "kills (of them only stopped)": f"{report.kills} ({report.stops})",
        "while a command was being carried out": report.busy,
        "episodes": episodes,
        "equal to the undisturbed run, byte for byte": report.ended["equal"],
        "of them with a kill in their middle": report.hit,
        'ended with an `EngineError` (`stop="env_error"`)': report.ended["env_error"],
        "different": report.ended["different"],
        "commands": f"{report.steps:,}",
        "the slowest command, with all that it had to wait for": f"{report.slowest:.1f} s",
        "threads that hang": report.hanging,
        "processes, zombies, descriptors and folders left": len(left),
    }
    return "\n".join(["| | |", "|---|--:|", *(f"| {name} | {value} |" for name, value in rows.items())])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status: 0, 1 where something fails, 2 for a mistake."""
    return checking(_check, sys.argv[1:] if argv is None else argv)


def _check(argv: Sequence[str]) -> int:
    arguments = parse(FaultsConfig, argv, program="python -m benchmarks.checks.faults")
    if min(arguments.kills, arguments.environments, arguments.walks, arguments.commands) < 1:
        raise UsageError("--kills, --environments, --walks and --commands are at least 1.")
    tasks = in_turn(chosen(()), arguments.seed)[: (arguments.walks + 1) // 2]
    walks = lay_down(tasks, steps=30, seed=arguments.seed)[: arguments.walks]
    expected = undisturbed(walks)
    before = open_files()
    report = under_fire(walks, expected, arguments, lambda text: print(text, file=sys.stderr))  # noqa: T201
    left = leftovers(report, before)
    for line in (*left, *(f"{count} times: {cause}" for cause, count in report.causes.items())):
        print(line, file=sys.stderr)  # noqa: T201
    print(table(report, left))  # noqa: T201
    return int(bool(left or report.hanging or report.ended["different"]))


if __name__ == "__main__":
    sys.exit(main())
