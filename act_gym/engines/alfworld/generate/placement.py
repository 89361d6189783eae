"""Object placement: numbers and positions of objects in a room, by the package's placement rules.

Semantics: the initial scenes of ALFRED, as in ALFWorld's games (figures in `docs/generated-games.md`): most small
objects have one to three copies, spread over suitable receptacles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from act_gym.engines.alfworld.generate.alfworld_data import rules
from act_gym.engines.alfworld.generate.goals import TOOLS, Goal
from act_gym.engines.alfworld.generate.rng import Draw
from act_gym.engines.alfworld.generate.rooms import Place, Receptacle, Room, in_front, name_at, place_for

__all__ = ["Thing", "furnish"]

_FIXED = frozenset(
    (
        "Bathtub",
        "Blinds",
        "Chair",
        "Curtains",
        "DeskLamp",
        "FloorLamp",
        "HousePlant",
        "LaundryHamperLid",
        "LightSwitch",
        "Mirror",
        "Painting",
        "Poster",
        "ShowerDoor",
        "ShowerGlass",
        "Sink",
        "StoveKnob",
        "Television",
        "Window",
    )
)
"""Types that cannot be picked up; they are at the same place in every game of a room."""

_STANDING = ("DeskLamp", "HousePlant", "Television")
"""Those of them that stand on furniture, if the room has any of `_SURFACES`."""

_SURFACES = ("Desk", "Dresser", "SideTable", "TVStand", "Shelf", "CoffeeTable", "DiningTable", "CounterTop")

_LAMP_SURFACES = {"SideTable": 0.72, "Desk": 0.43, "Dresser": 0.36, "Shelf": 0.13}
"""Share of ALFWorld's training rooms with such a receptacle whose lamp is on it; one room has it on a coffee table."""

_SINGLE = frozenset(
    (
        "BaseballBat",
        "BasketBall",
        "Boots",
        "Footstool",
        "HandTowel",
        "PaperTowelRoll",
        "Plunger",
        "ScrubBrush",
        "TeddyBear",
        "TennisRacket",
        "Towel",
        "WateringCan",
    )
)
"""Types with at most one object in a room."""

_COPIES = {"Box": 2, "Bread": 2, "Laptop": 2, "Pan": 2, "Pillow": 2, "Pot": 2}
_MOST_COPIES = 3
"""How many of a type there are at most; each number from 1 is as likely."""

_FIXED_COPIES = {"Chair": (1, 2), "Painting": (1, 2), "StoveKnob": (4, 4), "Window": (1, 2)}
"""Smallest and largest number of a fixed type; 1 if it is absent here."""

_ROOMINESS = {
    "Bed": 7.0,
    "BathtubBasin": 5.0,
    "Cabinet": 0.8,
    "Cart": 2.5,
    "CoffeeMachine": 5.0,
    "CoffeeTable": 4.0,
    "CounterTop": 4.0,
    "Desk": 4.0,
    "DiningTable": 6.0,
    "Drawer": 0.6,
    "Dresser": 3.5,
    "Fridge": 5.0,
    "GarbageCan": 1.2,
    "HandTowelHolder": 60.0,
    "Microwave": 1.7,
    "SideTable": 2.0,
    "SinkBasin": 1.6,
    "Sofa": 2.5,
    "StoveBurner": 6.0,
    "Toilet": 2.3,
}
"""How likely a receptacle is to get an object that it can hold, next to one with 1, the default."""

_IN_ANOTHER = 0.03
"""Probability that an object is in a bowl, mug or plate at its place, if it fits."""


@dataclass(frozen=True)
class Thing:
    """Object in a room.

    Attributes:
        name: Type and position, e.g. `Mug|+01.84|+00.79|-01.15`.
        type: E.g. `Mug`.
        receptacle: Its receptacle; None on the floor or the wall.
        place: The agent's place to see it.
        movable: It can be picked up.
        inside: Name of the object that contains it, if any.
        cool: It is initially cold.
    """

    name: str
    type: str
    receptacle: Receptacle | None
    place: Place
    movable: bool
    inside: str = ""
    cool: bool = False


def furnish(room: Room, goal: Goal, draw: Draw) -> tuple[Thing, ...]:
    """Return the objects of a game, sorted by name: enough of the goal's, none of them done yet."""
    things = {thing.name: thing for thing in _fixtures(room)}
    for kind in room.types:
        if kind not in rules().objects or kind in _FIXED:
            continue
        most = 1 if kind in _SINGLE else _COPIES.get(kind, _MOST_COPIES)
        for copy in range(max(draw.between(1, most), goal.count if kind == goal.object else 1)):
            thing = _put(kind, _holders(kind, room.receptacles, goal, copy), room, draw, things, movable=True)
            things[thing.name] = thing
    placed = tuple(sorted(things.values(), key=lambda thing: thing.name))
    return tuple(_settled(thing, placed, goal, draw) for thing in placed)


@cache
def _fixtures(room: Room) -> tuple[Thing, ...]:
    """Return the fixed objects of a room."""
    draw = Draw(f"room {room.number}/fixtures")
    things: dict[str, Thing] = {}
    for kind in room.types:
        if kind not in rules().objects or kind not in _FIXED:
            continue
        # The basin of a sink is a receptacle, the sink around it an object, with the same position.
        around = [one for one in room.receptacles if one.type == f"{kind}Basin"]
        for basin in around:
            things[basin.name] = Thing(basin.name.removesuffix(f"|{basin.type}"), kind, None, basin.place, False)
        on = [one for one in room.receptacles if one.type in _SURFACES] if kind in _STANDING else []
        if kind == "DeskLamp":
            on = [one for one in on if one.type in _LAMP_SURFACES] or on
        for _ in range(0 if around else draw.between(*_FIXED_COPIES.get(kind, (1, 1)))):
            thing = _put(kind, on, room, draw, things, movable=False)
            things[thing.name] = thing
    return tuple(things.values())


def _holders(kind: str, receptacles: Sequence[Receptacle], goal: Goal, copy: int) -> list[Receptacle]:
    """Return the possible initial receptacles of an object.

    As in ALFWorld's games, the goal's objects never start where they are to be heated, cooled or cleaned, nor at the
    target; but if one must be changed first, other copies may be there.
    """
    able = [one for one in receptacles if kind in rules().holds.get(one.type, ())]
    if kind == goal.object:
        _, tool = TOOLS.get(goal.task_type, ("", ""))
        barred = {tool} if tool and copy else {tool, goal.receptacle}
        able = [one for one in able if one.type not in barred]
    return able


def _put(
    kind: str, able: Sequence[Receptacle], room: Room, draw: Draw, things: dict[str, Thing], *, movable: bool
) -> Thing:
    types = [one.type for one in able]
    if kind == "DeskLamp":
        weights = [_LAMP_SURFACES.get(one, 1) / types.count(one) for one in types]
    else:
        weights = [_ROOMINESS.get(one, 1.0) for one in types]
    while True:
        receptacle = None
        if able:
            receptacle = draw.weighted(able, weights)
            x, y, z = receptacle.position
            position = (x + draw.between(-30, 30) / 100, y + 0.05, z + draw.between(-30, 30) / 100)
            place = receptacle.place
        else:
            edge = draw.one(room.edges)
            position = in_front(edge, 0.0 if movable else 1.2, draw.between(-20, 20) / 100)
            place = place_for(edge, position)
        name = name_at(kind, position)
        if name not in things:
            return Thing(name, kind, receptacle, place, movable)


def _settled(thing: Thing, placed: Sequence[Thing], goal: Goal, draw: Draw) -> Thing:
    """Return an object with the properties that depend on others: its container, and whether it is cold."""
    if not thing.movable or thing.receptacle is None:
        return thing
    inside = ""
    if draw.chance(_IN_ANOTHER):
        around = [
            other.name
            for other in placed
            if other.receptacle == thing.receptacle and thing.type in rules().holds.get(other.type, ())
        ]
        inside = draw.one(around) if around else ""
    # As in ALFWorld's games, only these objects start cold.
    from_fridge = thing.type == goal.object and thing.receptacle.type == "Fridge"
    cool = from_fridge and thing.type in rules().allows["Coolable"]
    return Thing(thing.name, thing.type, thing.receptacle, thing.place, True, inside, cool)
