"""One running task, isolated from others in the same Java process.

This is the simulator's own interface, call by call; `engine` interprets the results. Any call may raise `EngineError`
if the simulator fails, and `JavaEndedError` if its process ends.
"""

from __future__ import annotations

import json
import weakref
from typing import Any

from act_gym.engines.scienceworld.jvm import CALL_SECONDS, Jvm
from act_gym.engines.scienceworld.jvm_globals import Values
from act_gym.errors import EngineError

__all__ = ["LOAD_SECONDS", "SOLVE_SECONDS", "World"]

LOAD_SECONDS = 60.0
"""How long loading a task may take at least: in a process that has just started, a second of work."""

SOLVE_SECONDS = 120.0
"""The same for its solution: up to 10 s of work."""


class World:
    """One task being played.

    Args:
        jvm: Its Java process.
        call_seconds: The time limit of one call; at least `LOAD_SECONDS` and `SOLVE_SECONDS` for these calls.
    """

    def __init__(self, jvm: Jvm, call_seconds: float = CALL_SECONDS) -> None:
        self.jvm = jvm
        self._seconds = call_seconds
        self._values: Values | None = None
        with jvm.calling("making an interface", max(call_seconds, LOAD_SECONDS)):
            jvm.globals.borrow()  # it makes objects, which are numbered, and draws
            self._interface: Any = jvm.classes.scienceworld.runtime.pythonapi.PythonInterface()
        # In case `close` is forgotten: Java would keep the world forever.
        self._discard = weakref.finalize(self, jvm.discard, self._interface)
        self._discard.atexit = False

    def load(self, task: str, variation: int, simplifications: str, *, gold: bool = False) -> None:
        """Load a task; with `gold` work out its solution first, which takes up to 7 s.

        Raises:
            EngineError: The simulator has no such task, or failed.
        """
        what, seconds = ("solving", SOLVE_SECONDS) if gold else ("loading", LOAD_SECONDS)
        with self.jvm.calling(f"{what} {task}/{variation}", max(self._seconds, seconds)):
            self._enter()
            if gold:
                # Searches of whole houses, kept by the room they begin in and taken for those of every later task.
                finder = getattr(getattr(self.jvm.classes.scienceworld.goldagent, "PathFinder$"), "MODULE$")
                kept = finder.precomputedExhaustivePaths()
                kept.clear()
                self.jvm.discard(kept)
                self.jvm.discard(finder)
            fault = self._interface.load(task, variation, simplifications, gold)
        if fault:
            raise EngineError(f"ScienceWorld cannot load {task}/{variation}: {fault}")

    def step(self, command: str) -> tuple[str, float, bool]:
        """Return the observation, the simulator's score (−1 to 1) and whether the task is over.

        A task is over when it is completed or spoilt, and the score alone tells: spoilt is −1. With n goals
        in a row, each done adds 1/n, and all optional ones together 1/(n + 1), to 1 at most. So completed,
        which is all n done, gives 1, and n − 1 done at most 1 − 1/(n(n + 1)). (`GoalSequence.score` and
        `isCompleted` in the simulator; n is 1 to 4.)
        """
        with self.jvm.calling("a step", self._seconds):
            self._enter()
            text = str(self._interface.step(command))
            score = float(self._interface.getScore())
            if score < 0 and self._failed():
                raise EngineError(f"ScienceWorld failed in the step before: {text}")
            return text, score, score < 0 or score >= 1

    def goal(self) -> str:
        """Return the task's instruction."""
        with self.jvm.calling("reading the task", self._seconds):
            return str(self._interface.getTaskDescription())

    def valid_commands(self) -> tuple[str, ...]:
        """Return the admissible commands; numbers if the simulator has asked to resolve an ambiguity.

        The simulator draws at random to name objects. Here the draws are fixed and separate from the episode's: two
        calls give the same answer, and a call changes nothing.
        """
        with self.jvm.calling("listing the commands", self._seconds):
            self.jvm.globals.borrow()
            return self._lines(self._interface.getValidActionObjectCombinations())

    def action_templates(self) -> tuple[str, ...]:
        """Return its patterns of commands, e.g. `open OBJ`; the numbers instead if it has asked which one is meant."""
        with self.jvm.calling("listing the patterns", self._seconds):
            offered = json.loads(str(self._interface.getPossibleActionsWithIDs()))
            return tuple(str(entry["action_example"]) for entry in offered)

    def objects(self) -> tuple[str, ...]:
        """Return a name for each object within reach, drawn as those of `valid_commands` are."""
        with self.jvm.calling("listing the objects", self._seconds):
            self.jvm.globals.borrow()
            return self._lines(self._interface.getPossibleObjects())

    def look(self) -> str:
        """Return the description of the room. Takes no simulator time and draws nothing."""
        with self.jvm.calling("looking around", self._seconds):
            self._enter()
            return str(self._interface.freeActionLook())

    def inventory(self) -> str:
        """Return the agent's inventory. Takes no simulator time and draws nothing."""
        with self.jvm.calling("reading the inventory", self._seconds):
            self._enter()
            return str(self._interface.freeActionInventory())

    def gold_path(self) -> tuple[str, ...]:
        """Return the solution that `load` worked out."""
        with self.jvm.calling("reading the solution", self._seconds):
            return self._strings(self._interface.getGoldActionSequence())

    def task_names(self) -> tuple[str, ...]:
        """Return the simulator's names of all tasks, sorted."""
        with self.jvm.calling("reading the tasks", self._seconds):
            return tuple(sorted(self._strings(self._interface.getTaskNames())))

    def variations(self, split: str) -> tuple[int, ...]:
        """Return the loaded task's official variations of `train`, `dev` or `test`."""
        with self.jvm.calling("reading the variations", self._seconds):
            numbers = getattr(self._interface, f"getVariations{split.capitalize()}")()
            return tuple(int(number) for number in self._strings(numbers))

    def close(self) -> None:
        """Have Java forget this world at its next call. Closing twice is harmless."""
        self._discard()

    def _failed(self) -> bool:
        """Whether an exception was thrown in the step before; it shows in the next one only, as a score of −1."""
        found = self._interface.agentInterface()
        inner = found.get()
        failed = bool(inner.isInErrorState())
        for java_object in (found, inner):  # else Java would keep the whole world for their sake
            self.jvm.discard(java_object)
        return failed

    def _lines(self, java_list: Any) -> tuple[str, ...]:
        """Return a long list's strings. They come as one text: item by item, each would be a call."""
        text = str(self.jvm.join("\n", java_list))
        self.jvm.discard(java_list)
        return tuple(text.split("\n")) if text else ()

    def _strings(self, java_list: Any) -> tuple[str, ...]:
        strings = tuple(str(item) for item in java_list)
        self.jvm.discard(java_list)
        return strings

    def _enter(self) -> None:
        self.jvm.globals.enter(self, self._values, self._save)

    def _save(self, values: Values) -> None:
        self._values = values
