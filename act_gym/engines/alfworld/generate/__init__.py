"""Generator of ALFWorld games, each made from its split and number alone.

Rooms, object types, placement rules, goals and their wording come from the installed alfworld package; the placement of
a game is drawn here. Nothing is downloaded, and TextWorld is not needed to make a game. `docs/generated-games.md`
compares them with the real games.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from act_gym.engines.alfworld.generate.alfworld_data import language, rules
from act_gym.engines.alfworld.generate.goals import SPLITS, Goal, goal
from act_gym.engines.alfworld.generate.placement import Thing, furnish
from act_gym.engines.alfworld.generate.rng import Draw
from act_gym.engines.alfworld.generate.rooms import Place, Room, room
from act_gym.engines.alfworld.generate.solution import mangled, walkthrough

__all__ = ["SPLITS", "Goal", "generate", "goal"]

_GOAL_HOLE = "UNKNOWN GOAL"


def generate(split: str, index: int) -> dict[str, Any]:
    """Return a game in the form of a `.tw-pddl` file; the same arguments always give the same game.

    Args:
        split: `train`, `seen` or `unseen`.
        index: The game's number in the split, from 0, without an upper limit.

    Returns:
        `pddl_domain`, `grammar` and `pddl_problem` as text, `solvable` (True) and `walkthrough`, a list of commands
        that solves the game.

    Raises:
        UnknownNameError: The split does not exist.
        UsageError: The number is negative.
        MissingDependencyError: The alfworld package is not installed.
        CorruptDataError: The package's data is not the expected one.
    """
    wanted = goal(split, index)
    where = room(wanted.room)
    draw = Draw(f"{split}/{index}/room")
    things = furnish(where, wanted, draw)
    domain, grammar = language()
    return {
        "pddl_domain": domain,
        "grammar": grammar.replace(_GOAL_HOLE, wanted.sentence(draw)),
        "pddl_problem": problem(f"generated_{split}_{index}", where, things, wanted, draw),
        "solvable": True,
        "walkthrough": list(walkthrough(where, things, wanted)),
    }


_START_HORIZON = 30

_ALLOWED = (
    ("Cleanable", "cleanable"),
    ("Heatable", "heatable"),
    ("Coolable", "coolable"),
    ("Toggleable", "toggleable"),
    ("Sliceable", "sliceable"),
)


def problem(name: str, room: Room, things: Sequence[Thing], goal: Goal, draw: Draw) -> str:
    """Return the text of a game's PDDL problem.

    Args:
        name: The problem's name, a PDDL word.
        room: The room.
        things: The objects in it.
        goal: The goal.
        draw: Draws the agent's initial place: anywhere but at a receptacle.
    """
    taken = {receptacle.place for receptacle in room.receptacles}
    stands = [Place(x, z, turns, _START_HORIZON) for x, z in room.floor for turns in range(4)]
    start = draw.one([place for place in stands if place not in taken])
    places = {start, *taken, *(thing.place for thing in things)}
    declared = [
        "agent1 - agent",
        *(f"{kind} - object" for kind in rules().objects),
        *(f"{kind}Type - otype" for kind in rules().objects),
        *(f"{kind}Type - rtype" for kind in rules().receptacles),
        *(f"{mangled(thing.name)} - object" for thing in things),
        *(f"{mangled(receptacle.name)} - receptacle" for receptacle in room.receptacles),
        *(f"{mangled(place.name)} - location" for place in sorted(places)),
    ]
    facts = [*_receptacle_facts(room), *_thing_facts(things), *_fits(room, things)]
    facts.append(f"atLocation agent1 {mangled(start.name)}")
    return (
        f"(define (problem {name})\n(:domain alfred)\n"
        f"(:objects\n{_lines(declared)})\n\n"
        f"(:init\n{_lines(f'({fact})' for fact in facts)})\n\n{goal.formula.strip()}\n"
    )


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"        {row}\n" for row in rows)


def _receptacle_facts(room: Room) -> Iterator[str]:
    for receptacle in room.receptacles:
        name = mangled(receptacle.name)
        yield f"receptacleType {name} {receptacle.type}Type"
        yield f"receptacleAtLocation {name} {mangled(receptacle.place.name)}"
        if receptacle.openable:
            yield f"openable {name}"


def _thing_facts(things: Sequence[Thing]) -> Iterator[str]:
    allows = rules().allows
    for thing in things:
        name = mangled(thing.name)
        yield f"objectType {name} {thing.type}Type"
        yield f"objectAtLocation {name} {mangled(thing.place.name)}"
        if thing.movable:
            yield f"pickupable {name}"
        if thing.type in rules().movable:
            yield f"isReceptacleObject {name}"
        if thing.receptacle is not None:
            yield f"inReceptacle {name} {mangled(thing.receptacle.name)}"
        if thing.inside:
            yield f"inReceptacleObject {name} {mangled(thing.inside)}"
        if thing.cool:
            yield f"isCool {name}"
        for ability, predicate in _ALLOWED:
            if thing.type in allows[ability]:
                yield f"{predicate} {name}"


def _fits(room: Room, things: Sequence[Thing]) -> Iterator[str]:
    """Yield the placement rules for the types in the room."""
    kinds = sorted({thing.type for thing in things})
    for receptacle in sorted({receptacle.type for receptacle in room.receptacles}):
        holds = rules().holds.get(receptacle, frozenset())
        for kind in kinds:
            if kind in holds:
                yield f"canContain {receptacle}Type {kind}Type"
