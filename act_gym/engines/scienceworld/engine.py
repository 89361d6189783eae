"""Engine of ScienceWorld: states, scores, and admissible commands that are computed when they are read.

The semantics are those of the `scienceworld` package's own environment (`scienceworld.py`, `step` and `reset`);
`docs/deviations.md` lists where and why this one differs. The simulator has no step limit of its own, so an episode
ends here only when the task is done or has failed.

Listing the admissible commands costs more than a step, so the list is computed at its first use. If the state is still
current, that is one call to the simulator. Otherwise the episode is replayed up to the state in a separate simulator,
which is kept for the next such call.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from act_gym.engine import LazyTuple
from act_gym.engines.java import find_java
from act_gym.engines.scienceworld.gold import gold_path
from act_gym.engines.scienceworld.jvm import CALL_SECONDS, jar_path, shared_jvm
from act_gym.engines.scienceworld.recovery import RecoverableSession, ReplayLog, StateRef, with_retries
from act_gym.engines.scienceworld.simulator import World
from act_gym.errors import EngineError, MissingDependencyError, UnknownNameError, UsageError
from act_gym.types import StepResult, Task

__all__ = ["SIMPLIFICATIONS", "JvmEngine", "Moments", "Snapshot"]


Question = Callable[[World], tuple[str, ...]]


class Moments:
    """The states of an engine's episode.

    Args:
        world: The simulator of its episodes.
        make: Returns another simulator with the same settings.
    """

    def __init__(self, world: RecoverableSession, make: Callable[[], RecoverableSession]) -> None:
        self._world = world
        self._make = make
        self._apart: RecoverableSession | None = None
        self._closed = False

    def open(self) -> None:
        """Say that an episode begins."""
        self._closed = False
        self._leave()

    def close(self) -> None:
        """Answer nothing until the next episode begins."""
        self._closed = True
        self._leave()

    def later(self, question: Question) -> LazyTuple:
        """Return a lazy answer of the current state, computed at its first access.

        The result does not keep the engine alive.

        Args:
            question: A read-only function, which may be called on another simulator in the same state.

        Raises:
            EngineError: No task is loaded.
        """
        return LazyTuple(_Later(weakref.ref(self), self._world.place(), question))

    def answer(self, place: StateRef, question: Question) -> tuple[str, ...]:
        """Return the answer of a state, now.

        Raises:
            EngineError: The engine has been closed, or the simulator failed.
        """
        if self._closed:
            raise EngineError(_TOO_LATE)
        if self._world.stands_at(place):
            return self._world.ask(question)
        self._apart = self._apart or self._make()
        self._apart.restore(place.trail())
        return self._apart.ask(question)

    def _leave(self) -> None:
        apart, self._apart = self._apart, None
        if apart is not None:
            apart.close()


_TOO_LATE = (
    "These commands were never looked at, and their environment has been closed. Look before it is closed, "
    "e.g. keep tuple(info['admissible_commands'])."
)


@dataclass(frozen=True, slots=True, eq=False)
class _Later:
    moments: weakref.ref[Moments]
    place: StateRef
    question: Question

    def __call__(self) -> tuple[str, ...]:
        moments = self.moments()
        if moments is None:
            raise EngineError(_TOO_LATE)
        return moments.answer(self.place, self.question)


SIMPLIFICATIONS: Mapping[str, str] = {
    "easy": "teleportAction, openDoors and selfWateringFlowerPots, and noElectricalAction where the task allows it; "
    "not openContainers, whatever the paper says",
    "noElectricalAction": "no command connects or disconnects anything, which leaves out most commands of a room with "
    "wires; refused for the tasks that need it",
    "openContainers": "fridge, cupboards, drawers and whatever else can be opened stand open at the start",
    "openDoors": "all doors stand open at the start; they can be closed",
    "selfWateringFlowerPots": "the soil in flower pots stays wet, so that plants do not die for want of water",
    "teleportAction": "the command `teleport to PLACE` leads to any place at once",
}
"""Simplifications of the simulator, each with its effect."""

_ELECTRICAL = ("power-component", "conductivity")  # in the names of the tasks that cannot do without wires

# How the simulator begins when it did not carry out a command because it did not understand it: no
# pattern fits; several objects fit (it then waits for a number); or an answer to that question which
# is no number. A command that is understood and refused ("The door is not open.") is a valid one.
_NOT_UNDERSTOOD = ("No known action matches", "Ambiguous request:", "Unknown action.")

_LONGEST_COMMAND = 1_000  # characters; the longest the simulator offers itself has about 150
_MEMORY = re.compile(r"[1-9]\d*[kmgKMG]")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of an episode: its commands, and the last result without its text."""

    task: Task
    goal: str
    state: StepResult
    trail: ReplayLog


class JvmEngine:
    """ScienceWorld in a Java process that all engines of this Python process share.

    Java starts at the first `reset`. If it is killed, times out or runs out of memory, another one is started and the
    episode is replayed (`recovery`). The episode ends with an `EngineError` after two more failures.

    Args:
        simplifications: Names from `SIMPLIFICATIONS`: a sequence, or one text separated by commas; `easy` cannot be
            combined.
        memory: The largest Java heap, e.g. `1g` or `512m`.
        call_timeout: Seconds until an unresponsive Java is replaced; at least 60 s for loading a task and 120 s for
            solving it.

    Raises:
        UsageError: An unknown simplification, an invalid memory size, or a time that is not positive.
        MissingDependencyError: The package or Java is not installed.
    """

    observable = ("look", "inventory")

    def __init__(
        self, *, simplifications: str | Sequence[str] = "", memory: str = "1g", call_timeout: float = CALL_SECONDS
    ) -> None:
        given = simplifications.split(",") if isinstance(simplifications, str) else simplifications
        names = sorted({name.strip() for name in given} - {""})
        for name in names:
            if name not in SIMPLIFICATIONS:
                raise UnknownNameError("simplification of ScienceWorld", name, SIMPLIFICATIONS)
        if "easy" in names and len(names) > 1:
            raise UsageError(f"The simplification easy stands alone; got {simplifications!r}.")
        if not _MEMORY.fullmatch(memory):
            raise UsageError(f"memory is a number with k, m or g, e.g. 1g; got {memory!r}.")
        if isinstance(call_timeout, bool) or not isinstance(call_timeout, int | float) or not 0 < call_timeout < 1e6:
            raise UsageError(f"call_timeout is a number of seconds, more than 0; got {call_timeout!r}.")
        jar_path()
        self._simplifications = ",".join(names)
        self._memory = memory
        self._version = _package_version()
        self._java_version = find_java().version
        make_world = partial(RecoverableSession, memory, self._simplifications, call_timeout)
        self._world = make_world()
        self._moments = Moments(self._world, make_world)
        self._task: Task | None = None
        self._state = _state("", 0.0, False)
        self._goal = ""

    @property
    def goal(self) -> str:
        """The instruction of the current task; empty before the first `reset`."""
        return self._goal

    @property
    def versions(self) -> Mapping[str, str]:
        """The package's version, the simplifications (empty for none) and Java's version."""
        return {
            "scienceworld": self._version,
            "simplifications": self._simplifications,
            "java": self._java_version,
        }

    def reset(self, task: Task) -> StepResult:
        """Load a task and look around, which takes no time in the simulator.

        Raises:
            UsageError: The task needs what `noElectricalAction` takes away.
            EngineError: The simulator failed, or has no such task.
        """
        name, variation = _payload(task)
        if "noElectricalAction" in self._simplifications and any(word in name for word in _ELECTRICAL):
            raise UsageError(f"{name} needs wires to be connected; noElectricalAction forbids it. Try easy.")
        self._task = None
        self._moments.open()
        goal = self._world.load(name, variation)
        self._state = _state(*self._world.step("look around"))
        self._task, self._goal = task, goal.strip()
        return self._state

    def step(self, command: str) -> StepResult:
        """Execute a command, any string, and return the result.

        Unprintable characters become spaces, runs of spaces become one, and a command is cut at 1,000 characters. This
        changes no valid command.
        """
        self._state = _state(*self._world.step(_legal(command)))
        return self._state

    def admissible_commands(self) -> LazyTuple:
        """Return what the simulator accepts now, sorted; numbers if it has asked which one is meant.

        It is asked at the first look, which takes about 10 ms for the usual thousand commands. A look after the
        state has passed plays the way to it again, in a world apart; one after `close` is an `EngineError`.

        Raises:
            EngineError: No task is loaded.
        """
        return self._moments.later(_sorted_commands)

    def action_templates(self) -> LazyTuple:
        """Return the patterns of commands, e.g. `open OBJ`, sorted; see `admissible_commands` for when it is asked.

        Where the simulator has asked which of several things is meant, they are the numbers it expects.

        Raises:
            EngineError: No task is loaded.
        """
        return self._moments.later(_sorted_templates)

    def objects(self) -> LazyTuple:
        """Return a name of each thing within reach, sorted; see `admissible_commands` for when it is asked.

        Raises:
            EngineError: No task is loaded.
        """
        return self._moments.later(_sorted_objects)

    def observe(self, name: str) -> str:
        """Return what `look around` or `inventory` would show, without a move. Takes about 0.3 ms.

        Args:
            name: Out of `observable`.

        Raises:
            EngineError: No task is loaded, or the simulator failed.
        """
        return self._world.ask({"look": World.look, "inventory": World.inventory}[name])

    def expert_commands(self) -> tuple[str, ...]:
        """Return the simulator's own solution. The first time takes 0.1 to 7 s.

        Raises:
            EngineError: No task is loaded, the simulator failed, or it finds no solution.
        """
        name, variation = _payload(self._current())
        pool = (self._memory, self._simplifications)

        def solving() -> tuple[str, ...]:
            jvm = shared_jvm(*pool)
            return gold_path(jvm, name, variation, version=self._version, simplifications=self._simplifications)

        return with_retries(pool, solving)

    def fingerprint(self) -> tuple[float, str, str]:
        """Return the raw score, the room and the inventory.

        The simulator does not expose its state, so two states with the same fingerprint may differ elsewhere.
        """
        return self._state.raw_score, self.observe("look"), self.observe("inventory")

    def snapshot(self) -> Snapshot:
        """Return the way to the current state: its commands, and a digest of what each showed. Takes microseconds."""
        return Snapshot(self._current(), self._goal, replace(self._state, observation=""), self._world.snapshot())

    def restore(self, snapshot: Snapshot) -> StepResult:
        """Go back to a state of this engine or of another one, by replay.

        This takes a load (about 0.1 s) and a step (1 to 10 ms) per command; only the missing commands if the current
        state is on the way. Every observation is compared with the original.

        Raises:
            UsageError: The snapshot was taken under other simplifications.
            EngineError: The simulator failed, or an observation differs.
        """
        self._task = None  # no episode if this fails
        self._moments.open()
        self._world.restore(snapshot.trail)
        self._task, self._goal, self._state = snapshot.task, snapshot.goal, snapshot.state
        return snapshot.state

    def close(self) -> None:
        """Give the task's memory back. Java stays for other engines until this process ends."""
        self._moments.close()
        self._world.close()
        self._task = None

    def _current(self) -> Task:
        if self._task is None:
            raise EngineError("No task is loaded. Reset the environment first.")
        return self._task


def _sorted_commands(world: World) -> tuple[str, ...]:
    return tuple(sorted(set(world.valid_commands())))


def _sorted_templates(world: World) -> tuple[str, ...]:
    return tuple(sorted(set(world.action_templates())))


def _sorted_objects(world: World) -> tuple[str, ...]:
    return tuple(sorted(set(world.objects())))


def _payload(task: Task) -> tuple[str, int]:
    return str(task.payload["task"]), int(task.payload["variation"])


def _state(text: str, score: float, completed: bool) -> StepResult:
    raw_score = round(100 * score)
    return StepResult(
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
