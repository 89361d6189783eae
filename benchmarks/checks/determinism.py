"""Determinism check: the same ScienceWorld task and commands give the same bytes under seven conditions.

    python -m benchmarks.checks.determinism

For one or more variations of every task type two walks are laid down once: the simulator's solution, and random
drawn admissible commands. Its trace (every observation, score, end and the goal) is recorded,
and then played again under each of the conditions in `CONDITIONS`; a condition marked so starts with a Java process
of its own, in a Python process of its own. stdout gets a Markdown table: how many walks were equal byte for byte.
The first difference of each walk goes to stderr.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from tempfile import TemporaryDirectory

import numpy as np

from act_gym.config import parse
from act_gym.engines.scienceworld import JvmEngine
from act_gym.errors import UsageError
from act_gym.progress import track
from act_gym.types import StepResult, Task
from benchmarks.checks.gold import chosen, in_turn
from benchmarks.programs import checking, end_with_parent

__all__ = ["CONDITIONS", "DeterminismConfig", "Trace", "Walk", "check", "difference", "lay_down", "main", "table"]

TOGETHER = 8
"""So many walks are played at once where they are interleaved or in threads."""

Trace = tuple[str, ...]
"""Trace of a walk: the goal, then a text for every state."""


@dataclass(frozen=True)
class DeterminismConfig:
    """Play the same commands under several conditions; the exit status is 1 where any walk showed something else."""

    tasks: tuple[str, ...] = ()
    """Task types, e.g. boil; all 30 if none is given."""
    per_type: int = 1
    """Variations of each task type."""
    steps: int = 30
    """Random commands for each variation."""
    seed: int = 0
    """Seed of the variations and commands."""
    conditions: tuple[str, ...] = ()
    """Only these conditions; all if none is given."""


@dataclass(frozen=True)
class Walk:
    """A task and what to say to it.

    Attributes:
        task: Which.
        kind: `solution` or `random`.
        commands: From the task's start.
    """

    task: Task
    kind: str
    commands: tuple[str, ...]

    @property
    def name(self) -> str:
        """The task's id and the kind."""
        return f"{self.task.id} ({self.kind})"


@dataclass(frozen=True)
class _Condition:
    says: str
    play: Callable[[Sequence[Walk]], dict[str, Trace]]
    apart: bool = True


def lay_down(tasks: Sequence[Task], *, steps: int, seed: int) -> list[Walk]:
    """Make up two walks for each task.

    Args:
        tasks: Which.
        steps: Length of the random one, fewer where the task ends.
        seed: The random one of each task is drawn from this and the task's id.
    """
    walks = []
    with closing(JvmEngine()) as engine:
        for task in track(tasks, "laying walks down"):
            random = np.random.default_rng([seed, *task.id.encode()])
            state = engine.reset(task)
            commands: list[str] = []
            while len(commands) < steps and not state.terminated:
                admissible = engine.admissible_commands()
                commands.append(admissible[int(random.integers(len(admissible)))])
                state = engine.step(commands[-1])
            walks += [Walk(task, "solution", engine.expert_commands()), Walk(task, "random", tuple(commands))]
    return walks


def check(
    walks: Sequence[Walk], conditions: Sequence[str], report: Callable[[str], None]
) -> dict[str, tuple[int, int]]:
    """Play the walks under each condition and compare with what they show plainly, one after another.

    Args:
        walks: With names that differ.
        conditions: Names out of `CONDITIONS`.
        report: Takes a text for each walk that showed something else.

    Returns:
        For each condition how many walks were equal and how many there were.
    """
    expected = _plainly(walks)
    counts = {}
    for name in track(conditions, "conditions"):
        condition = CONDITIONS[name]
        if condition.apart:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=end_with_parent) as pool:
                found = pool.submit(_under, name, walks).result()
        else:
            found = condition.play(walks)
        equal = 0
        for walk in walks:
            text = difference(walk, expected[walk.name], found[walk.name])
            if text:
                report(f"{name}: {text}")
            equal += not text
        counts[name] = (equal, len(walks))
    return counts


def difference(walk: Walk, expected: Trace, found: Trace) -> str:
    """Describe the first difference of two traces of a walk; empty if they are equal."""
    if expected == found:
        return ""
    pairs = enumerate(zip(expected, found, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(expected), len(found)))
    shown = "".join(f"\n  {list(trace[at : at + 1])}" for trace in (expected, found))
    return f"{walk.name} differs after {list(walk.commands[: max(at - 1, 0)])}{shown}"


def table(counts: Mapping[str, tuple[int, int]]) -> str:
    """Return a Markdown table of `check`'s result."""
    lines = ["| condition | walks | equal |", "|---|--:|--:|"]
    return "\n".join([*lines, *(f"| {CONDITIONS[name].says} | {n} | {equal} |" for name, (equal, n) in counts.items())])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status: 0, 1 for a difference, 2 for a mistake."""
    return checking(_check, sys.argv[1:] if argv is None else argv)


def _check(argv: Sequence[str]) -> int:
    arguments = parse(DeterminismConfig, argv, program="python -m benchmarks.checks.determinism")
    unknown = [name for name in arguments.conditions if name not in CONDITIONS]
    if unknown or arguments.per_type < 1 or arguments.steps < 0:
        raise UsageError(
            f"--conditions are out of {', '.join(CONDITIONS)}; --per-type is at least 1 and --steps 0 or more."
        )
    taken: dict[str, list[Task]] = {}
    for task in in_turn(chosen(arguments.tasks), arguments.seed):
        taken.setdefault(task.task_type, []).append(task)
    tasks = [task for of_type in taken.values() for task in of_type[: arguments.per_type]]
    walks = lay_down(tasks, steps=arguments.steps, seed=arguments.seed)
    counts = check(walks, arguments.conditions or tuple(CONDITIONS), lambda text: print(text, file=sys.stderr))  # noqa: T201
    states = sum(len(walk.commands) + 1 for walk in walks)
    print(f"{table(counts)}\n\n{len(walks)} walks, {states:,} states, {len(taken)} task types.")  # noqa: T201
    return int(any(equal < every for equal, every in counts.values()))


def _under(name: str, walks: Sequence[Walk]) -> dict[str, Trace]:
    return CONDITIONS[name].play(walks)


def _seen(state: StepResult) -> str:
    return repr(asdict(state))


def _playing(engine: JvmEngine, walk: Walk) -> Iterator[str]:
    """Yield the trace, one text before each move."""
    state = engine.reset(walk.task)
    yield engine.goal
    yield _seen(state)
    for command in walk.commands:
        yield _seen(engine.step(command))


def _plainly(walks: Sequence[Walk]) -> dict[str, Trace]:
    with closing(JvmEngine()) as engine:
        return {walk.name: tuple(_playing(engine, walk)) for walk in walks}


def _backwards(walks: Sequence[Walk]) -> dict[str, Trace]:
    return _plainly(walks[::-1])


def _after_solving(walks: Sequence[Walk]) -> dict[str, Trace]:
    """In the middle of each walk, compute the solution again, which plays the task in another world, last task first.

    A solution that is not the one laid down makes the trace longer.
    """
    found = {}
    for walk in walks[::-1]:
        with closing(JvmEngine()) as engine:
            trace = []
            for at, text in enumerate(_playing(engine, walk)):
                trace.append(text)
                if at == 1 + len(walk.commands) // 2:
                    solution = _worked_out(engine)
                    if walk.kind == "solution" and solution != walk.commands:
                        trace.append(f"another solution: {solution}")
            found[walk.name] = tuple(trace)
    return found


def _worked_out(engine: JvmEngine) -> tuple[str, ...]:
    """Return the solution without a look into the cache; only for a process of one's own."""
    before = os.environ.get("ACT_GYM_DATA")
    with TemporaryDirectory() as folder:
        os.environ["ACT_GYM_DATA"] = folder
        try:
            return engine.expert_commands()
        finally:
            del os.environ["ACT_GYM_DATA"]
            if before is not None:
                os.environ["ACT_GYM_DATA"] = before


def _asking(walks: Sequence[Walk]) -> dict[str, Trace]:
    found = {}
    with closing(JvmEngine()) as engine:
        for walk in walks:
            trace = []
            for text in _playing(engine, walk):
                trace.append(text)
                tuple(engine.admissible_commands())
            found[walk.name] = tuple(trace)
    return found


def _interleaved(walks: Sequence[Walk]) -> dict[str, Trace]:
    """Play several walks in one Java process, a step of each in turn; every third lists the admissible commands."""
    found = {}
    for start in range(0, len(walks), TOGETHER):
        group = walks[start : start + TOGETHER]
        with ExitStack() as stack:
            engines = [stack.enter_context(closing(JvmEngine())) for _ in group]
            players = [_playing(engine, walk) for engine, walk in zip(engines, group, strict=True)]
            traces: list[list[str]] = [[] for _ in group]
            alive = set(range(len(group)))
            while alive:
                for index in sorted(alive):
                    text = next(players[index], None)
                    if text is None:
                        alive.remove(index)
                        continue
                    traces[index].append(text)
                    if index % 3 == 0:
                        tuple(engines[index].admissible_commands())
        found.update({walk.name: tuple(trace) for walk, trace in zip(group, traces, strict=True)})
    return found


def _threaded(walks: Sequence[Walk]) -> dict[str, Trace]:
    def play(walk: Walk) -> Trace:
        with closing(JvmEngine()) as engine:
            return tuple(_playing(engine, walk))

    with ThreadPoolExecutor(TOGETHER) as pool:
        return dict(zip((walk.name for walk in walks), pool.map(play, walks), strict=True))


CONDITIONS: Mapping[str, _Condition] = {
    "repeat": _Condition("again in the same Java process", _plainly, apart=False),
    "process": _Condition("in another Java process", _plainly),
    "order": _Condition("in another Java process, last task first", _backwards),
    "asking": _Condition("admissible commands asked for in every state", _asking),
    "interleaved": _Condition(f"{TOGETHER} walks interleaved step by step, every third asking", _interleaved),
    "threads": _Condition(f"{TOGETHER} walks at once, a thread each", _threaded),
    "solving": _Condition("last task first, its solution computed again in the middle", _after_solving),
}
"""The conditions by name."""


if __name__ == "__main__":
    sys.exit(main())
