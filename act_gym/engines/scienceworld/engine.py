"""ScienceWorld's rules in the words of the house: what a state, a score and a legal command are.

The semantics are those of the `scienceworld` package's own environment (`scienceworld.py`, `step`
and `reset`); `docs/deviations.md` lists where and why this one differs. The simulator has no step
limit of its own, so an episode ends here only when the task is done or spoilt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from act_gym.core import State, Task
from act_gym.engines.java import find_java
from act_gym.engines.scienceworld.gold import gold_path
from act_gym.engines.scienceworld.jvm import jar_path, shared_jvm
from act_gym.engines.scienceworld.world import World
from act_gym.errors import EngineError, MissingDependencyError, UnknownNameError, UsageError

__all__ = ["SIMPLIFICATIONS", "JvmEngine"]

SIMPLIFICATIONS = (
    "easy",
    "noElectricalAction",
    "openContainers",
    "openDoors",
    "selfWateringFlowerPots",
    "teleportAction",
)
"""What can be made easier. `easy` stands for a choice of the others that depends on the task."""

# How the simulator begins when it did not carry out a command because it did not understand it: no
# pattern fits; several objects fit (it then waits for a number); or an answer to that question which
# is no number. A command that is understood and refused ("The door is not open.") is a valid one.
_NOT_UNDERSTOOD = ("No known action matches", "Ambiguous request:", "Unknown action.")

_LONGEST_COMMAND = 1_000  # characters; the longest the simulator offers itself has about 150
_MEMORY = re.compile(r"[1-9]\d*[kmgKMG]")


class JvmEngine:
    """ScienceWorld in a Java process that all engines of this Python process share.

    Java starts at the first `reset`. If it ends, every episode in it fails with an `EngineError`, and
    the next `reset` starts another.

    Args:
        simplifications: Names out of `SIMPLIFICATIONS`, separated by commas; `easy` stands alone.
        memory: The largest Java heap, e.g. `1g` or `512m`.

    Raises:
        UsageError: An unknown simplification, or a memory Java would not take.
        MissingDependencyError: The package or Java is not installed.
    """

    def __init__(self, *, simplifications: str = "", memory: str = "1g") -> None:
        names = sorted({name.strip() for name in simplifications.split(",")} - {""})
        for name in names:
            if name not in SIMPLIFICATIONS:
                raise UnknownNameError("simplification of ScienceWorld", name, SIMPLIFICATIONS)
        if "easy" in names and len(names) > 1:
            raise UsageError(f"The simplification easy stands alone; got {simplifications!r}.")
        if not _MEMORY.fullmatch(memory):
            raise UsageError(f"memory is a number with k, m or g, e.g. 1g; got {memory!r}.")
        jar_path()
        self._simplifications = ",".join(names)
        self._memory = memory
        self._version = _package_version()
        self._java_version = find_java().version
        self._world: World | None = None
        self._task: Task | None = None
        self._goal = ""

    @property
    def goal(self) -> str:
        """The current task in words; empty before the first `reset`."""
        return self._goal

    @property
    def versions(self) -> Mapping[str, str]:
        """The package's version, the simplifications (empty for none) and Java's version."""
        return {
            "scienceworld": self._version,
            "simplifications": self._simplifications,
            "java": self._java_version,
        }

    def reset(self, task: Task) -> State:
        """Load a task and look around, which takes no time in the simulator.

        Raises:
            EngineError: The simulator failed, or has no such task.
        """
        name, variation = _payload(task)
        world = self._living_world()
        world.load(name, variation, self._simplifications)
        self._task = task
        self._goal = world.goal().strip()
        return _state(*world.step("look around"))

    def step(self, command: str) -> State:
        """Send a command, any string, and return the state after it.

        What cannot be printed becomes a space, runs of space become one, and a command of more than
        1,000 characters is cut: no command that the simulator knows is changed by that.
        """
        return _state(*self._running().step(_legal(command)))

    def admissible_commands(self) -> tuple[str, ...]:
        """Return what the simulator accepts now, sorted; numbers if it has asked which one is meant.

        Takes about 10 ms for the usual thousand commands.
        """
        offered = json.loads(self._running().valid_commands())["validActions"]
        return tuple(sorted({entry["action"] for entry in offered}))

    def expert_commands(self) -> tuple[str, ...]:
        """Return the simulator's own solution. The first time takes 0.1 to 7 s.

        Raises:
            EngineError: No task is loaded, the simulator failed, or it finds no solution.
        """
        if self._task is None:
            raise EngineError("No task is loaded. Reset the environment first.")
        name, variation = _payload(self._task)
        jvm = shared_jvm(self._memory, self._simplifications)
        return gold_path(jvm, name, variation, version=self._version, simplifications=self._simplifications)

    def close(self) -> None:
        """Give the task's memory back. Java stays for other engines until this process ends."""
        world, self._world = self._world, None
        if world is not None:
            world.close()

    def _living_world(self) -> World:
        jvm = shared_jvm(self._memory, self._simplifications)
        if self._world is None or self._world.jvm is not jvm:
            self._world = World(jvm)
        return self._world

    def _running(self) -> World:
        if self._world is None or self._task is None:
            raise EngineError("No task is loaded. Reset the environment first.")
        return self._world


def _payload(task: Task) -> tuple[str, int]:
    return str(task.payload["task"]), int(task.payload["variation"])


def _state(text: str, score: float, completed: bool) -> State:
    raw_score = round(100 * score)
    return State(
        observation=text,
        score=max(raw_score, 0) / 100,
        raw_score=raw_score,
        success=raw_score == 100,
        terminated=completed or raw_score < 0,
        action_valid=not text.startswith(_NOT_UNDERSTOOD),
    )


def _legal(command: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in command[: 4 * _LONGEST_COMMAND])
    return " ".join(printable.split())[:_LONGEST_COMMAND]


def _package_version() -> str:
    try:
        return version("scienceworld")
    except PackageNotFoundError as cause:
        raise MissingDependencyError("The scienceworld package", "scienceworld") from cause
