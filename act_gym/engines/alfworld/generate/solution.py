"""Display names of objects, and the shortest straightforward solution of a game.

Straightforward: go to an object of the goal, open its receptacle, take it, go and change it as required, go to the
target, open it, put it there. Every choice of object, tool and target is tried and the shortest solution kept, which
proves that the game is solvable. On the real games the solution is as long as their walkthrough, except for a few whose
object is in two receptacles at once; no generated game has such an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations, product

from act_gym.engines.alfworld.generate.goals import TOOLS, Goal
from act_gym.engines.alfworld.generate.placement import Thing
from act_gym.engines.alfworld.generate.rooms import Place, Receptacle, Room
from act_gym.engines.alfworld.object_names import display_names

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

    Upstream reads PDDL names in lower case, and numbers things in their order.
    """
    spelled = {mangled(name).lower(): name for name in names}
    return {spelled[name]: shown for name, shown in display_names(spelled).items()}


class _Player:
    """Records commands; skips those already done."""

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
    fetched = [(one, one.receptacle) for one in things if one.type == goal.object and one.movable and one.receptacle]
    plans: list[list[str]] = []
    if goal.is_light:
        lamps = [(one, one.receptacle) for one in things if one.type == goal.receptacle and one.receptacle]
        for (thing, receptacle), (lamp, under) in product(fetched, lamps):
            player = _Player(names)
            player.take(thing, receptacle)
            player.use(lamp, under)
            plans.append(player.commands)
    else:
        targets = [one for one in room.receptacles if one.type == goal.receptacle]
        tool_type = TOOLS.get(goal.task_type, ("", ""))[1]
        tools: list[Receptacle | None] = [one for one in room.receptacles if one.type == tool_type]
        for carried in permutations(fetched, goal.count):
            for target, tool in product(targets, tools or [None]):
                player = _Player(names)
                for thing, receptacle in carried:
                    player.take(thing, receptacle)
                    if tool is not None:
                        player.apply(_VERBS[goal.task_type], thing, tool)
                    player.put(thing, target)
                plans.append(player.commands)
    return min((tuple(plan) for plan in plans), key=lambda plan: len(plan))
