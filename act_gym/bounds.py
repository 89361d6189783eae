"""Bounds of numeric settings, declared at the field and checked before a program does anything.

A field says what it takes: `batch: Positive = 16`, or `Annotated[float, Bound(above=0)]`. `check_bounds`
refuses everything else, and what is no finite number, by the name that the command line has for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from act_gym.errors import UsageError

__all__ = ["Bound", "Finite", "NotNegative", "Positive", "PositiveFloat", "Seed", "Share", "check_bounds"]


@dataclass(frozen=True)
class Bound:
    """The interval of a number; without a limit it is any finite number.

    Attributes:
        least: The smallest value.
        above: It is larger than this.
        most: The largest value.
        below: It is smaller than this.
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        """Return whether the number is in the interval; nan and infinity never are."""
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """Return what is expected, for a message, e.g. `a number above 0 and at most 1`."""
        limits = ((self.least, "of at least"), (self.above, "above"), (self.most, "at most"), (self.below, "below"))
        given = [f"{text} {limit:.10g}" for limit, text in limits if limit is not None]
        return f"a number {' and '.join(given)}" if given else "a finite number"


Positive = Annotated[int, Bound(least=1)]
NotNegative = Annotated[int, Bound(least=0)]
PositiveFloat = Annotated[float, Bound(above=0)]
Finite = Annotated[float, Bound()]
Share = Annotated[float, Bound(least=0, most=1)]
Seed = Annotated[int, Bound(least=0, most=2**32 - 1)]
"""The seeds that NumPy's global generator takes, which the trainers seed as well."""


def check_bounds(settings: Any) -> None:
    """Refuse numbers outside the bounds that a dataclass declares, in dataclasses inside it as well.

    Raises:
        UsageError: One is; the message names it, its value and its bounds.
    """
    for name, value, bound in _bounded(settings, ""):
        if not bound.holds(value):
            raise UsageError(f"--{name.replace('_', '-')} is {value}; expected {bound}.")


def _bounded(settings: Any, prefix: str) -> Iterator[tuple[str, float, Bound]]:
    """Yield name, value and bound of every number that has one; of a tuple, of each entry."""
    for name, bound in _declared(type(settings)):
        value = getattr(settings, name)
        if is_dataclass(value):
            yield from _bounded(value, f"{prefix}{name}.")
        elif bound is not None:
            values = value if isinstance(value, tuple) else (value,)
            yield from ((prefix + name, each, bound) for each in values if isinstance(each, int | float))


def _declared(settings: type) -> tuple[tuple[str, Bound | None], ...]:
    hints = get_type_hints(settings, include_extras=True)
    return tuple((field.name, _bound(hints[field.name])) for field in fields(settings))


def _bound(hint: Any) -> Bound | None:
    """Return the bound in an annotation, or in that of a tuple's entries."""
    if get_origin(hint) is Annotated:
        return next((extra for extra in get_args(hint)[1:] if isinstance(extra, Bound)), None)
    return next((found for inner in get_args(hint) if (found := _bound(inner)) is not None), None)
