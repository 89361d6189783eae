"""Global state shared by all tasks in one Java process, saved and restored for each task.

The simulator has two globals: its random generator, from which bees and heredity draw during an episode, and the
counter that numbers new objects. Loading a task sets both. Without this module, two tasks in one process would disturb
each other, and an episode would depend on the order of moves. The values are saved for each task, and restored before
its next move if another task has moved since.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Globals", "state_before"]

_MULTIPLIER = 0x5DEECE66D  # java.util.Random's constants, fixed by its documentation
_INCREMENT = 0xB
_MASK = (1 << 48) - 1
_INVERSE = pow(_MULTIPLIER, -1, 1 << 48)

Values = tuple[int, int]
"""The generator's 48 bits of state, and the number of the newest object."""


class Globals:
    """The random generator and the object counter of one Java process.

    Args:
        classes: py4j's view of the process's classes.
    """

    def __init__(self, classes: Any) -> None:
        # Scala's singletons, under the names that they have in Java.
        self._random = getattr(getattr(classes.scala.util, "Random$"), "MODULE$")
        self._counter = getattr(getattr(classes.util, "UniqueIdentifier$"), "MODULE$")
        self._owner: object = None
        self._save: Callable[[Values], None] | None = None

    def enter(self, owner: object, values: Values | None, save: Callable[[Values], None]) -> None:
        """Switch the globals to `owner`'s values until the next call of `enter`.

        Args:
            owner: The task about to move.
            values: The last values passed to `save`; None for the present ones.
            save: Called with the owner's values at the next switch.
        """
        if self._owner is owner:
            return
        self.leave()
        if values is not None:
            self._set(values)
        self._owner, self._save = owner, save

    def leave(self) -> None:
        """Save the owner's values; the globals then have no owner."""
        save, self._owner, self._save = self._save, None, None
        if save is not None:
            save((state_before(self._random.nextLong()), int(self._counter.count())))

    def borrow(self) -> None:
        """Save the owner's values and seed the generator with a constant."""
        self.leave()
        self._random.setSeed(0)

    def _set(self, values: Values) -> None:
        state, count = values
        self._random.setSeed(state ^ _MULTIPLIER)
        getattr(self._counter, "count_$eq")(count)


def state_before(drawn: int) -> int:
    """Return the state of a `java.util.Random` before `nextLong()` returned this number.

    Java hides the state, but two 32-bit draws determine its 48 bits: the first gives the upper 32, and exactly one
    choice of the lower 16 leads to the second. (Two that did would differ by some d < 2^16 with d * multiplier within
    2^16 of a multiple of 2^48; the nearest is 10^9 away.)

    Args:
        drawn: The result of `nextLong()`, −2^63 to 2^63 − 1.
    """
    low = drawn & 0xFFFFFFFF
    signed_low = low - (1 << 32) if low >> 31 else low
    upper = (((drawn - signed_low) >> 32) & 0xFFFFFFFF) << 16
    # The lower 16 bits times the multiplier are this or up to 2^16 more, give or take a multiple of 2^48, of
    # which there are few below 2^16 times the multiplier; and that is larger than 2^16: one guess for each.
    wanted = ((low << 16) - upper * _MULTIPLIER - _INCREMENT) & _MASK
    for product in range(wanted - (1 << 48), _MULTIPLIER << 16, 1 << 48):
        guess = max(-(-product // _MULTIPLIER), 0)
        if guess < 1 << 16 and guess * _MULTIPLIER - product < 1 << 16:
            return ((upper | guess) - _INCREMENT) * _INVERSE & _MASK
    raise AssertionError("every number that was drawn has a state before it")
