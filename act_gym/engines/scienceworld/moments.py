"""What can be asked about a state of an episode at the time, or at any time after it.

At the time it is one question to the simulator. Later the way to the state is played once more in a
world apart, which is kept for the next such question: reading a whole episode's lists in order walks
its way once. Nothing is kept for a question that is never asked but the state's place on that way.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass

from act_gym.engines.scienceworld.lazy import LazyTuple
from act_gym.engines.scienceworld.recovery import LastingWorld, Place
from act_gym.engines.scienceworld.simulator import World
from act_gym.errors import EngineError

__all__ = ["Moments"]

Question = Callable[[World], tuple[str, ...]]


class Moments:
    """The states that an engine has been in.

    Args:
        world: Where its episodes are played.
        make: Returns another world with the same settings.
    """

    def __init__(self, world: LastingWorld, make: Callable[[], LastingWorld]) -> None:
        self._world = world
        self._make = make
        self._apart: LastingWorld | None = None
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
        """Return the answer of the current state, asked for when somebody looks.

        What is returned does not keep the engine alive.

        Args:
            question: Changes nothing and may be asked in another world that is in the same state.

        Raises:
            EngineError: No task is loaded.
        """
        return LazyTuple(_Later(weakref.ref(self), self._world.place(), question))

    def answer(self, place: Place, question: Question) -> tuple[str, ...]:
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
    place: Place
    question: Question

    def __call__(self) -> tuple[str, ...]:
        moments = self.moments()
        if moments is None:
            raise EngineError(_TOO_LATE)
        return moments.answer(self.place, self.question)
