"""Goals of generated games, drawn from split and number alone, before any object is placed.

Training and seen games share rooms and goals; unseen games have separate rooms and goals. A goal is a task type with an
object and a receptacle (or lamp): one in five is reserved for the unseen games, by a hash of its name, so the choice
needs no list and never changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from act_gym.engines.alfworld.generate.alfworld_data import goals, rules
from act_gym.engines.alfworld.generate.rng import Draw
from act_gym.engines.alfworld.generate.rooms import NUMBERS, UNSEEN, Room, kind_of, room
from act_gym.errors import UnknownNameError, UsageError

__all__ = ["SPLITS", "TOOLS", "Goal", "goal", "held_out"]

SPLITS = ("train", "seen", "unseen")

_SHARES: Mapping[tuple[str, str], int] = {
    ("look_at_obj_in_light", "bedroom"): 257,
    ("look_at_obj_in_light", "living room"): 51,
    ("pick_and_place_simple", "bathroom"): 264,
    ("pick_and_place_simple", "bedroom"): 237,
    ("pick_and_place_simple", "kitchen"): 79,
    ("pick_and_place_simple", "living room"): 210,
    ("pick_clean_then_place_in_recep", "bathroom"): 149,
    ("pick_clean_then_place_in_recep", "kitchen"): 501,
    ("pick_cool_then_place_in_recep", "kitchen"): 533,
    ("pick_heat_then_place_in_recep", "kitchen"): 459,
    ("pick_two_obj_and_place", "bathroom"): 233,
    ("pick_two_obj_and_place", "bedroom"): 240,
    ("pick_two_obj_and_place", "kitchen"): 124,
    ("pick_two_obj_and_place", "living room"): 216,
}
"""How many of ALFWorld's training games have a task type in a kind of room; drawn in these shares."""

TOOLS: Mapping[str, tuple[str, str]] = {
    "pick_clean_then_place_in_recep": ("Cleanable", "SinkBasin"),
    "pick_cool_then_place_in_recep": ("Coolable", "Fridge"),
    "pick_heat_then_place_in_recep": ("Heatable", "Microwave"),
}
"""Change that a task requires of its object, and the type of receptacle that makes it."""

_LAMP = "DeskLamp"
"""The only lamp of ALFWorld's games: a floor lamp is on no receptacle, and only objects on one can be used."""

_NOT_ASKED = frozenset(
    ("BathtubBasin", "HandTowelHolder", "LaundryHamper", "SinkBasin", "TVStand", "Toaster", "TowelHolder")
)
"""Receptacles that no game of ALFWorld asks to put something into."""

_HOLD_ONE = frozenset(("CoffeeMachine", "Microwave", "StoveBurner", "ToiletPaperHanger"))
"""Receptacles that no game of ALFWorld asks to put two things into."""


@dataclass(frozen=True)
class Goal:
    """Goal of a game, with its room.

    Attributes:
        task_type: One of ALFWorld's six.
        object: The object's type, e.g. `Mug`.
        receptacle: The type of receptacle to put it into; the lamp's type for `look_at_obj_in_light`.
        room: The room's number.
    """

    task_type: str
    object: str
    receptacle: str
    room: int

    @property
    def name(self) -> str:
        """The game's name as ALFWorld forms it, e.g. `pick_and_place_simple-Mug-None-Shelf-308`."""
        return f"{self.task_type}-{self.object}-None-{self.receptacle}-{self.room}"

    @property
    def is_light(self) -> bool:
        """Whether the object is to be examined under a lamp, and not moved."""
        return self.task_type == "look_at_obj_in_light"

    @property
    def count(self) -> int:
        """How many of the object are asked for: 1 or 2."""
        return 2 if self.task_type == "pick_two_obj_and_place" else 1

    @property
    def formula(self) -> str:
        """The goal in PDDL, with the parenthesis that ends the problem."""
        return self._fill(goals()[self.task_type].formula, self.object, self.receptacle).replace("#", "-")

    def sentence(self, draw: Draw) -> str:
        """Return the goal as text, in one of the package's sentences for the task type."""
        wording = draw.one(goals()[self.task_type].sentences)
        return self._fill(wording, self.object.lower(), self.receptacle.lower())

    def _fill(self, text: str, kind: str, target: str) -> str:
        # Not `format`: its holes can reach into the objects that fill them.
        return text.replace("{obj}", kind).replace("{toggle}" if self.is_light else "{recep}", target)


def held_out(task_type: str, kind: str, receptacle: str) -> bool:
    """Return whether a goal is kept for the unseen games: one in five are."""
    return hashlib.sha256(f"{task_type}-{kind}-{receptacle}".encode()).digest()[0] % 5 == 0


def goal(split: str, index: int) -> Goal:
    """Return what a game asks for.

    Args:
        split: One of `SPLITS`.
        index: The game's number in the split, from 0; there is no last one.

    Raises:
        UnknownNameError: There is no such split.
        UsageError: The number is negative.
        MissingDependencyError: The alfworld package is not installed.
    """
    if split not in SPLITS:
        raise UnknownNameError("split of generated games", split, SPLITS)
    if index < 0:
        raise UsageError(f"No generated game {split}/{index}. Expected a number from 0, e.g. {split}/0")
    choices = _choices(split == "unseen")
    draw = Draw(f"{split}/{index}/goal")
    shares = tuple(choices)
    share = draw.weighted(shares, tuple(_SHARES[share] for share in shares))
    number, objects = draw.one(choices[share])
    kind, receptacles = draw.one(objects)
    return Goal(share[0], kind, draw.one(receptacles), number)


Objects = tuple[tuple[str, tuple[str, ...]], ...]
"""Each object that a room's games may ask for, with the receptacles it may be asked into."""


@cache
def _choices(unseen: bool) -> Mapping[tuple[str, str], tuple[tuple[int, Objects], ...]]:
    """Return every goal of the unseen games, or of the others, by task type and kind of room."""
    choices: dict[tuple[str, str], list[tuple[int, Objects]]] = {share: [] for share in _SHARES}
    for number in NUMBERS:
        if (number in UNSEEN) != unseen:
            continue
        for task_type, kind in _SHARES:
            if kind != kind_of(number):
                continue
            objects = tuple(_objects(task_type, room(number), unseen))
            if objects:
                choices[task_type, kind].append((number, objects))
    return {share: tuple(found) for share, found in choices.items() if found}


def _objects(task_type: str, where: Room, unseen: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    present = {receptacle.type for receptacle in where.receptacles}
    needed, tool = TOOLS.get(task_type, ("", ""))
    if tool and tool not in present:
        return
    for kind in where.types:
        holders = {receptacle for receptacle in present if kind in rules().holds.get(receptacle, ())}
        if not holders or (needed and kind not in rules().allows[needed]):
            continue
        if task_type == "look_at_obj_in_light":
            targets = {_LAMP} & set(where.types)
        else:
            # Something else must hold it at first, or the game would begin solved.
            targets = {target for target in holders - _NOT_ASKED - {tool} if holders - {target, tool}}
            if task_type == "pick_two_obj_and_place":
                targets -= _HOLD_ONE
        asked = tuple(target for target in sorted(targets) if held_out(task_type, kind, target) == unseen)
        if asked:
            yield kind, asked
