"""Compares our ScienceWorld engine with the package's own environment, state by state.

    python -m benchmarks.parity scienceworld --tasks boil mendelian-genetics-known-plant --steps 20

Plays the simulator's solution on both and then random commands, and compares observation, admissible commands, score,
success, end and goal. Both run the same JAR in a Java process each, started with the same options. The solution is a
way through the task and not compared: the package works out another one, depending on what it worked out before.
Three deliberate differences of ours (`docs/deviations.md`) are taken out of the comparison: the package's step limit
is raised, what cannot be printed is replaced before the package sees it, and while the package lists commands its
random generator and object counter are put aside, unless `--no-shield` is given: then it is left as it is, and
what bees, seeds and names draw after the first list differs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from act_gym import sampling
from act_gym.config import parse
from act_gym.engines.scienceworld import JvmEngine
from act_gym.engines.scienceworld.jvm_globals import Globals, Values
from act_gym.errors import EngineError, UnknownNameError, UsageError
from act_gym.splits.scienceworld import tasks
from act_gym.types import StepResult, Task
from benchmarks.parity.comparison import Pair
from benchmarks.parity.sweep import Sweep, run, summary

__all__ = ["ParityConfig", "ReferenceEngine", "main", "make_pair"]

# The options that our process is started with; Java reads them from this variable.
_OPTIONS = {"JAVA_TOOL_OPTIONS": "-XX:+UseSerialGC -XX:+UnlockExperimentalVMOptions -XX:hashCode=2"}

_NO_LIMIT = 10**9  # moves


@dataclass(frozen=True)
class ParityConfig:
    """Compare our engine with the package's environment; the exit status is 1 where any variation differs."""

    tasks: tuple[str, ...] = ()
    """Task types, e.g. boil; all 30 if none is given."""
    steps: int = 20
    """Random commands for each variation, after its solution."""
    seed: int = 0
    """Seed of the commands and of the order of the variations."""
    limit: int = 30
    """Only this many variations, taken from the task types in turn; 0 for all."""
    shield: bool = True
    """Whether the package, too, lists commands without drawing from the episode's random generator."""
    workers: int = 1
    """Processes."""
    out: Path | None = None
    """A file of records, one for each variation; a second run plays those that are missing or differed."""


class ReferenceEngine:
    """The package's own environment.

    Args:
        shield: Whether listing commands leaves the random generator and the object counter as they were.

    Raises:
        EngineError: There is no `java` on the path, which is where the package looks for it.
    """

    def __init__(self, *, shield: bool = True) -> None:
        from scienceworld import ScienceWorldEnv

        with _environment(_OPTIONS):
            try:
                self._env = ScienceWorldEnv("", envStepLimit=_NO_LIMIT)
            except FileNotFoundError as cause:
                raise EngineError(
                    "The scienceworld package starts java from the path, and there is none. Put one there, e.g. "
                    "PATH=$JAVA_HOME/bin:$PATH."
                ) from cause
        self.versions: Mapping[str, str] = {"scienceworld": version("scienceworld")}
        self.goal = ""
        self._globals = Globals(self._env._gateway.jvm) if shield else None
        self._values: Values | None = None
        self._guide = JvmEngine()

    def reset(self, task: Task) -> StepResult:
        """Load a task and look around, as the package's own reset does."""
        self._guide.reset(task)
        self._values = None
        self._env.load(task.payload["task"], task.payload["variation"], "", False)
        self._env.server.reset()
        self.goal = self._env.get_task_description().strip()
        return self.step("look around")

    def step(self, command: str) -> StepResult:
        """Send a command; what cannot be printed becomes a space."""
        if self._globals:
            self._globals.enter(self, self._values, self._save)
        server = self._env.server
        # The package's step() does this and then lists thousands of commands, which are asked for apart here.
        text = server.step("".join(letter if letter.isprintable() else " " for letter in command))
        raw_score = round(100 * server.getScore())
        return StepResult(
            observation=text,
            score=max(raw_score, 0) / 100,
            raw_score=raw_score,
            success=raw_score == 100,
            terminated=bool(server.getCompleted()) or raw_score < 0,
            action_valid=not text.startswith(("No known action", "Ambiguous request:", "Unknown action.")),
        )

    def admissible_commands(self) -> tuple[str, ...]:
        """Return what the package's `info["valid"]` would hold, sorted, each once."""
        if self._globals:
            self._globals.borrow()
        return tuple(sorted(set(self._env.get_valid_action_object_combinations())))

    def expert_commands(self) -> tuple[str, ...]:
        """Return the solution that our engine would show, for want of a single one of the package's own."""
        return self._guide.expert_commands()

    def close(self) -> None:
        """End the Java process, and close what the package leaves to the garbage collector, which warns."""
        self._guide.close()
        self._env.close()
        process = self._env._gateway.java_process
        process.wait(timeout=30)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        self._env._obj_tree_tempdir.cleanup()

    def _save(self, values: Values) -> None:
        self._values = values


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before: dict[str, Any] = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def chosen(task_types: Sequence[str], seed: int) -> list[Task]:
    """Return one variation of every task type, or of these, then a second one of each, and so on, drawn with a seed.

    Raises:
        UnknownNameError: There is no such task type.
    """
    by_type: dict[str, list[Task]] = {}
    for task in tasks():
        by_type.setdefault(task.task_type, []).append(task)
    for name in task_types:
        if name not in by_type:
            raise UnknownNameError("task type of ScienceWorld", name, sorted(by_type))
    drawn = []
    for name in sorted(task_types or by_type):
        order = np.random.default_rng([seed, *name.encode()]).permutation(len(by_type[name]))
        drawn.append([by_type[name][index] for index in order])
    return list(sampling.in_turn(drawn))


def make_pair(*, shield: bool = True) -> Pair:
    """Make both engines."""
    return Pair(ReferenceEngine(shield=shield), JvmEngine())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    program = "python -m benchmarks.parity scienceworld"
    arguments = parse(ParityConfig, sys.argv[1:] if argv is None else argv, program=program)
    if arguments.steps < 0 or arguments.limit < 0 or arguments.workers < 1:
        raise UsageError("--steps and --limit are 0 or more, and --workers is at least 1.")
    wanted = chosen(arguments.tasks, arguments.seed)[: arguments.limit or None]
    sweep = Sweep(partial(make_pair, shield=arguments.shield), arguments.steps, arguments.seed)
    records = run(sweep, wanted, workers=arguments.workers, out=arguments.out, report=print)
    print(summary(records))  # noqa: T201
    return int(any(record["difference"] for record in records))
