"""The names a player sees, and the shortest straightforward way to solve a game.

Straightforward: go to an object of the goal, open what it is in, take it, go and do to it what the
goal asks, go to the target, open it, put it there. Every choice of object, tool and target is tried
and the shortest kept; that proves the game solvable.

Semantics: `Demangler` of `alfworld/agents/utils/misc.py` for the names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations, product

from act_gym.engines.alfworld.generate.goals import TOOLS, Goal
from act_gym.engines.alfworld.generate.place import Thing
from act_gym.engines.alfworld.generate.rooms import Place, Receptacle, Room

__all__ = ["mangled", "shown_names", "walkthrough"]

_VERBS = {
    "pick_clean_then_place_in_recep": "clean",
    "pick_cool_then_place_in_recep": "cool",
    "pick_heat_then_place_in_recep": "heat",
}

_LETTERS = str.maketrans({"|": "_bar_", "-": "_minus_", "+": "_plus_", ".": "_dot_"})


def mangled(name: str) -> str:
    """Return a name as PDDL can spell it, e.g. `loc_bar_3_bar__minus_4_bar_2_bar_45`."""
    return name.translate(_LETTERS)


def shown_names(names: Iterable[str]) -> Mapping[str, str]:
    """Return the name a player sees for each thing, e.g. `Mug|+01.84|…` is `mug 2`.

    Things of a type are numbered from the last to the first in the order of their PDDL names, which
    upstream reads in lower case. A sink's basin is of another type than the sink.
    """
    order = sorted(names, key=lambda name: mangled(name).lower())
    types = [name.split("|", 1)[0].lower() + ("basin" if "basin" in name.lower() else "") for name in order]
    left = Counter(types)
    shown = {}
    for name, kind in zip(order, types, strict=True):
        shown[name] = f"{kind} {left[kind]}"
        left[kind] -= 1
    return shown


class _Player:
    """Writes down commands, leaving out what is done already."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._at: Place | None = None
        self._open: set[str] = set()
        self.commands: list[str] = []

    def reach(self, receptacle: Receptacle, *, into: bool) -> None:
        name = self._names[receptacle.name]
        if self._at != receptacle.place:
            self.commands.append(f"go to {name}")
            self._at = receptacle.place
        if into and receptacle.openable and receptacle.name not in self._open:
            self.commands.append(f"open {name}")
            self._open.add(receptacle.name)

    def take(self, thing: Thing, receptacle: Receptacle) -> None:
        self.reach(receptacle, into=True)
        self.commands.append(f"take {self._names[thing.name]} from {self._names[receptacle.name]}")

    def apply(self, verb: str, thing: Thing, tool: Receptacle) -> None:
        self.reach(tool, into=False)
        self.commands.append(f"{verb} {self._names[thing.name]} with {self._names[tool.name]}")

    def put(self, thing: Thing, target: Receptacle) -> None:
        self.reach(target, into=True)
        self.commands.append(f"move {self._names[thing.name]} to {self._names[target.name]}")

    def use(self, lamp: Thing, receptacle: Receptacle) -> None:
        self.reach(receptacle, into=False)
        self.commands.append(f"use {self._names[lamp.name]}")


def walkthrough(room: Room, things: Sequence[Thing], goal: Goal) -> tuple[str, ...]:
    """Return commands that solve a game from its start; the first of the shortest ones."""
    names = shown_names((*(one.name for one in room.receptacles), *(thing.name for thing in things)))
    movable = [thing for thing in things if thing.type == goal.object and thing.movable]
    plans: list[list[str]] = []
    if goal.is_light:
        lamps = [thing for thing in things if thing.type == goal.receptacle]
        for thing, lamp in product(movable, lamps):
            if thing.receptacle is not None and lamp.receptacle is not None:
                player = _Player(names)
                player.take(thing, thing.receptacle)
                player.use(lamp, lamp.receptacle)
                plans.append(player.commands)
    else:
        # What lies in a target already would have to be taken out first; another one never does.
        movable = [one for one in movable if one.receptacle is not None and one.receptacle.type != goal.receptacle]
        targets = [one for one in room.receptacles if one.type == goal.receptacle]
        tool_type = TOOLS.get(goal.task_type, ("", ""))[1]
        tools: list[Receptacle | None] = [one for one in room.receptacles if one.type == tool_type]
        for carried in permutations(movable, goal.count):
            for target, tool in product(targets, tools or [None]):
                plans.append(_carry(carried, tool, target, goal, names))
    return min((tuple(plan) for plan in plans), key=lambda plan: len(plan))


def _carry(
    carried: Sequence[Thing], tool: Receptacle | None, target: Receptacle, goal: Goal, names: Mapping[str, str]
) -> list[str]:
    player = _Player(names)
    for thing in carried:
        assert thing.receptacle is not None
        player.take(thing, thing.receptacle)
        if tool is not None:
            player.apply(_VERBS[goal.task_type], thing, tool)
        player.put(thing, target)
    return player.commands
