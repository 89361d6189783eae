"""One running task, undisturbed by others in the same Java process.

This is the simulator's own interface, call by call; what its answers mean is `engine`'s business.
Any call may raise `EngineError`.
"""

from __future__ import annotations

import weakref
from typing import Any

from act_gym.engines.scienceworld.jvm import Jvm
from act_gym.engines.scienceworld.shared import Values
from act_gym.errors import EngineError

__all__ = ["World"]


class World:
    """One task being played.

    Args:
        jvm: The process it lives in.
    """

    def __init__(self, jvm: Jvm) -> None:
        self.jvm = jvm
        self._values: Values | None = None
        with jvm.calling("making an interface"):
            jvm.globals.borrow()  # it makes objects, which are numbered, and draws
            jvm.sweep()
            self._interface: Any = jvm.classes.scienceworld.runtime.pythonapi.PythonInterface()
        # For whoever forgets to close: Java would keep the world for ever.
        self._discard = weakref.finalize(self, jvm.discard, self._interface)
        self._discard.atexit = False

    def load(self, task: str, variation: int, simplifications: str, *, gold: bool = False) -> None:
        """Load a task; with `gold` work out its solution first, which takes up to 7 s.

        Raises:
            EngineError: The simulator has no such task, or failed.
        """
        with self.jvm.calling(f"loading {task}/{variation}"):
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
        """Return the observation, the simulator's score (−1 to 1) and whether the task is over."""
        with self.jvm.calling("a step"):
            self._enter()
            text = str(self._interface.step(command))
            score = float(self._interface.getScore())
            if score < 0 and self._interface.agentInterface().get().isInErrorState():
                # An exception inside a step shows in the next one only, as a score of −1.
                raise EngineError(f"ScienceWorld failed in the step before: {text}")
            return text, score, bool(self._interface.getCompleted())

    def goal(self) -> str:
        """Return the task in words."""
        with self.jvm.calling("reading the task"):
            return str(self._interface.getTaskDescription())

    def valid_commands(self) -> str:
        """Return what the simulator accepts now, as its JSON.

        To name objects it draws at random. The draws are always the same ones here, and not the
        episode's: asking twice gives the same answer, and asking changes nothing.
        """
        with self.jvm.calling("listing the commands"):
            self.jvm.globals.borrow()
            return str(self._interface.getValidActionObjectCombinationsJSON())

    def gold_path(self) -> tuple[str, ...]:
        """Return the solution that `load` worked out."""
        with self.jvm.calling("reading the solution"):
            return self._strings(self._interface.getGoldActionSequence())

    def task_names(self) -> tuple[str, ...]:
        """Return the simulator's names of all tasks, sorted."""
        with self.jvm.calling("reading the tasks"):
            return tuple(sorted(self._strings(self._interface.getTaskNames())))

    def variations(self, split: str) -> tuple[int, ...]:
        """Return the loaded task's official variations of `train`, `dev` or `test`."""
        with self.jvm.calling("reading the variations"):
            numbers = getattr(self._interface, f"getVariations{split.capitalize()}")()
            return tuple(int(number) for number in self._strings(numbers))

    def close(self) -> None:
        """Let Java forget this world. Closing twice is harmless."""
        self._discard()
        self.jvm.sweep()

    def _strings(self, java_list: Any) -> tuple[str, ...]:
        strings = tuple(str(item) for item in java_list)
        self.jvm.discard(java_list)
        return strings

    def _enter(self) -> None:
        self.jvm.globals.enter(self, self._values, self._save)

    def _save(self, values: Values) -> None:
        self._values = values
