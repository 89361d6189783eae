"""Rooms: 120 floor plans, each with its fixed receptacles and the agent's places to use them.

The package lists for every room the object types, the reachable points of its floor, and the receptacles that were
used, with the agent's point and direction. Receptacles that it lists only by type (stove burners, coffee machines,
garbage cans …) get a place at an edge of the floor here, the same in every game of the room.

Semantics: `alfworld/gen/layouts/`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from act_gym.engines.alfworld.generate.alfworld_data import check, folder, read, rules
from act_gym.engines.alfworld.generate.rng import Draw

__all__ = ["NUMBERS", "UNSEEN", "Place", "Receptacle", "Room", "kind_of", "room"]

NUMBERS = tuple(start + number for start in (0, 200, 300, 400) for number in range(1, 31))
"""Kitchens 1–30, living rooms 201–230, bedrooms 301–330, bathrooms 401–430."""

UNSEEN = frozenset((9, 10, 29, 215, 219, 226, 308, 315, 325, 404, 424, 425))
"""The rooms that no training game plays in, ours or ALFWorld's: its unseen ones (10, 219, 308, 424)
and those its release leaves out. So a policy trained on either has seen none of them."""

_KINDS = {0: "kitchen", 2: "living room", 3: "bedroom", 4: "bathroom"}

# Measured: with the eye at this height, the angle to a receptacle, in steps of 15 degrees, is the one
# that ALFWorld's games give in 81 % of the cases.
_EYE = 1.7
_STEP = 15
_HIGHEST, _LOWEST = -30, 60

_ARM = 0.6
"""Metres from the agent's point to a receptacle without a position in the package."""

_COPIES = {"StoveBurner": 4, "HandTowelHolder": 2}
_HEIGHTS = {
    "CoffeeMachine": 0.9,
    "Drawer": 0.5,
    "HandTowelHolder": 1.5,
    "Shelf": 1.0,
    "SinkBasin": 0.8,
    "StoveBurner": 0.92,
    "Toaster": 0.9,
    "ToiletPaperHanger": 0.7,
    "TowelHolder": 1.3,
}
_DIRECTIONS = ((0, 0, 1), (1, 1, 0), (2, 0, -1), (3, -1, 0))
"""Quarter turns, and the step in x and z that each faces."""


@dataclass(frozen=True, order=True)
class Place:
    """Place of the agent: a point of the floor in quarter metres, quarter turns, degrees down."""

    x: int
    z: int
    turns: int
    horizon: int

    @property
    def name(self) -> str:
        """The location's name in a game, e.g. `loc|3|-4|2|45`."""
        return f"loc|{self.x}|{self.z}|{self.turns}|{self.horizon}"


@dataclass(frozen=True)
class Receptacle:
    """Fixed receptacle.

    Attributes:
        name: Type and position, e.g. `Cabinet|+00.68|+00.50|-02.20`.
        type: E.g. `Cabinet`; `SinkBasin` for `Sink|…|SinkBasin`.
        position: Metres in x, y (up) and z.
        place: The agent's place to use it; several receptacles may share one.
        openable: It has a door, and is initially closed.
    """

    name: str
    type: str
    position: tuple[float, float, float]
    place: Place
    openable: bool


@dataclass(frozen=True)
class Room:
    """Room without objects.

    Attributes:
        number: E.g. 301.
        receptacles: Sorted by name.
        types: The types of objects and receptacles in it, sorted.
        floor: The reachable points, in quarter metres.
        edges: Point and quarter turns at an end of the floor, where a fixed object can be.
    """

    number: int
    receptacles: tuple[Receptacle, ...]
    types: tuple[str, ...]
    floor: tuple[tuple[int, int], ...]
    edges: tuple[tuple[int, int, int], ...]


def kind_of(number: int) -> str:
    """Return `kitchen`, `living room`, `bedroom` or `bathroom`."""
    return _KINDS[number // 100]


def name_at(kind: str, position: Sequence[float]) -> str:
    """Return the name of a thing at a position in metres, e.g. `Mug|+01.84|+00.79|-01.15`."""
    return "|".join((kind, *(f"{round(metres, 2) + 0.0:+06.2f}" for metres in position)))


def in_front(edge: tuple[int, int, int], height: float, aside: float = 0.0) -> tuple[float, float, float]:
    """Return the position in metres in front of an edge, moved `aside` metres along it."""
    x, z, turns = edge
    _, step_x, step_z = _DIRECTIONS[turns]
    return (x / 4 + step_x * _ARM + step_z * aside, height, z / 4 + step_z * _ARM + step_x * aside)


def place_for(edge: tuple[int, int, int], position: tuple[float, float, float]) -> Place:
    """Return how to stand at a point to see a position: the nearest angle in steps of 15 degrees."""
    x, z, turns = edge
    distance = math.hypot(position[0] - x / 4, position[2] - z / 4)
    angle = math.degrees(math.atan2(_EYE - position[1], distance))
    return Place(x, z, turns, max(_HIGHEST, min(_LOWEST, round(angle / _STEP) * _STEP)))


@cache
def room(number: int) -> Room:
    """Return a room, one of `NUMBERS`.

    Raises:
        MissingDependencyError: The alfworld package is not installed.
        CorruptDataError: The package's data is not the expected one.
    """
    check()  # so nothing in the files needs to be doubted
    stem = f"gen/layouts/FloorPlan{number}"
    types = tuple(sorted(json.loads(read(f"{stem}-objects.json"))))
    listed = json.loads(read(f"{stem}-openable.json"))
    points = np.load(folder() / f"{stem}-layout.npy", allow_pickle=False)
    floor = tuple(sorted({(round(x * 4), round(z * 4)) for x, z in points.tolist()}))
    receptacles = [_listed(name, stand) for name, stand in sorted(listed.items())]
    points_taken = set(floor)
    edges = tuple(
        (x, z, turns)
        for x, z in floor
        for turns, step_x, step_z in _DIRECTIONS
        if (x + step_x, z + step_z) not in points_taken
    )
    receptacles += _unlisted(number, types, receptacles, edges)
    return Room(number, tuple(sorted(receptacles, key=lambda one: one.name)), types, floor, edges)


def _listed(name: str, stand: Sequence[float]) -> Receptacle:
    kind, *numbers = name.split("|")
    if numbers[-1].endswith("Basin"):
        kind = numbers.pop()
    x, y, z = (float(number) for number in numbers)
    edge = (round(stand[0] * 4), round(stand[1] * 4), round(stand[2] / 90))
    return Receptacle(name, kind, (x, y, z), place_for(edge, (x, y, z)), kind in rules().openable)


def _unlisted(
    number: int, types: Sequence[str], listed: Sequence[Receptacle], edges: Sequence[tuple[int, int, int]]
) -> list[Receptacle]:
    """Return the receptacles that the package names only by type; none has a door, as in real games."""
    placed = {receptacle.type for receptacle in listed}
    taken = {(one.place.x, one.place.z, one.place.turns) for one in listed}
    added: list[Receptacle] = []
    for kind in types:
        if kind not in rules().receptacles or kind in placed:
            continue
        draw = Draw(f"room {number}/{kind}")
        for copy in range(_COPIES.get(kind, 1)):
            if copy % 2 == 0:
                edge = draw.one([edge for edge in edges if edge not in taken] or edges)
                taken.add(edge)
            # Two at each point, a little apart, as burners are.
            position = in_front(edge, _HEIGHTS.get(kind, 0.0), 0.12 * (-1) ** copy)
            base = kind.removesuffix("Basin")
            name = name_at(base, position) + (f"|{kind}" if base != kind else "")
            added.append(Receptacle(name, kind, position, place_for(edge, position), openable=False))
    return added
