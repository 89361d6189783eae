"""Search expert for ALFWorld: acts on a belief state built only from the episode's observations.

The belief contains the receptacles, the objects seen in each, the object carried, and the objects cleaned, heated or
cooled. An unseen object is searched for where such objects are most frequent in the training games. The belief is
rebuilt from the whole history at every turn, so the expert can act in any state, also one that another agent has
reached; so it can label states for DAgger.

Source of the frequencies: the first facts of the 3,553 training games (`data/alfworld_locations.json`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from act_gym.agent import AgentAction, AgentInput
from act_gym.errors import AgentError

__all__ = ["Belief", "Goal", "SearchExpert", "read_goal"]

_GOALS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:find|put) (?P<count>two) (?P<object>\w+) (?:and put them )?(?:in/on|in|on) (?P<place>\w+)",
        r"(?P<change>clean|heat|cool) (?:some|an?) (?P<object>\w+) and put it (?:in/on|in|on) (?P<place>\w+)",
        r"put (?:some|an?) (?P<change>clean|hot|cool) (?P<object>\w+) (?:in/on|in|on) (?P<place>\w+)",
        r"put (?:some|an?) (?P<object>\w+) (?:in/on|in|on) (?P<place>\w+)",
        r"(?:look at|examine) (?:some |the |an? )?(?P<object>\w+) (?:under|with) the (?P<lamp>\w+)",
    )
)
_CHANGES = {"clean": "clean", "heat": "heat", "hot": "heat", "cool": "cool"}
_APPLIANCES = {"clean": ("sinkbasin", "bathtubbasin"), "heat": ("microwave",), "cool": ("fridge",)}
_UNDOES = {"heat": "cool", "cool": "heat"}

_NAME = r"[a-z]+ \d+"
_ROOM = re.compile(r"Looking quickly around you, you see (.*)")
_ARRIVED = re.compile(rf"You arrive at ({_NAME})")
_SURFACE = re.compile(rf"On the ({_NAME}), you see (.*?)\.")
_INSIDE = re.compile(rf"The ({_NAME}) is open\. In it, you see (.*?)\.")
_CLOSED = re.compile(rf"The ({_NAME}) is closed|You close the ({_NAME})")
_TAKEN = re.compile(rf"You pick up the ({_NAME}) from the ({_NAME})")
_PUT = re.compile(rf"You (?:move|put) the ({_NAME}) (?:to|in/on) the ({_NAME})")
_CHANGED = re.compile(rf"You (clean|heat|cool) the ({_NAME}) using")
_CARRIED = re.compile(rf"You are carrying: an? ({_NAME})|You are not carrying anything")
_THING = re.compile(rf"\ban? ({_NAME})")


@dataclass(frozen=True)
class Goal:
    """A goal of one of ALFWorld's six task types.

    Attributes:
        object: The type of the objects to move or examine, e.g. `mug`.
        place: The type of the target receptacle; empty to examine.
        count: The number of objects.
        change: `clean`, `heat` or `cool`, as the first step; empty for none.
        lamp: The type of the lamp to examine under; empty for none.
    """

    object: str
    place: str = ""
    count: int = 1
    change: str = ""
    lamp: str = ""


def read_goal(text: str) -> Goal:
    """Parse a goal such as `put a clean mug in coffeemachine.`.

    Raises:
        AgentError: The goal has none of the forms of ALFWorld's games.
    """
    for pattern in _GOALS:
        found = pattern.search(text.lower())
        if found:
            parts = found.groupdict()
            return Goal(
                object=parts["object"],
                place=parts.get("place") or "",
                count=2 if parts.get("count") else 1,
                change=_CHANGES.get(parts.get("change") or "", ""),
                lamp=parts.get("lamp") or "",
            )
    raise AgentError(
        f"The search expert cannot read the goal {text[:200]!r}. It plays ALFWorld's six task types, with goals such "
        "as 'put a clean mug in coffeemachine.'; use --agent expert for others."
    )


def kind_of(name: str) -> str:
    """Return the type in a name: `mug` of `mug 2`."""
    return name.rpartition(" ")[0]


@dataclass
class Belief:
    """Belief state: facts from an episode's observations so far.

    Attributes:
        contents: The contents of every receptacle of the room; None if not seen yet.
        closed: Receptacles that were closed when last seen.
        here: The last receptacle visited; empty in the middle of the room.
        carried: The object carried; empty for none.
        changes: The change (clean, hot, cool) of an object that still holds.
        tried: Receptacles visited since the carried object was picked up.
    """

    contents: dict[str, set[str] | None] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    here: str = ""
    carried: str = ""
    changes: dict[str, set[str]] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, view: AgentInput) -> Belief:
        """Return the belief after all observations of an input."""
        belief = cls()
        for turn in view.history:
            belief.update(turn.observation)
        belief.update(view.observation)
        return belief

    def update(self, observation: str) -> None:
        """Update the belief with one observation."""
        if room := _ROOM.search(observation):
            self.contents.update({name: None for name in _THING.findall(room.group(1)) if name not in self.contents})
        if arrived := _ARRIVED.search(observation):
            self.here = arrived.group(1)
            self.tried.add(self.here)
        if taken := _TAKEN.search(observation):
            self.carried, self.tried = taken.group(1), set()
            self._held_by(taken.group(2)).discard(self.carried)
        if put := _PUT.search(observation):
            self.carried = ""
            self._held_by(put.group(2)).add(put.group(1))
        if changed := _CHANGED.search(observation):
            done = self.changes.setdefault(changed.group(2), set())
            done.add(changed.group(1))
            done.discard(_UNDOES.get(changed.group(1), ""))
        if carried := _CARRIED.search(observation):
            self.carried = carried.group(1) or ""
        if closed := _CLOSED.search(observation):
            self.closed.add(closed.group(1) or closed.group(2))
        for name, listed in (*_SURFACE.findall(observation), *_INSIDE.findall(observation)):
            if name in self.contents or not self.contents:
                self.contents[name] = set(_THING.findall(listed))
                self.closed.discard(name)

    def _held_by(self, receptacle: str) -> set[str]:
        held = self.contents.get(receptacle)
        if held is None:
            held = self.contents[receptacle] = set()
        return held

    def places_of(self, kind: str) -> Iterator[tuple[str, str]]:
        """Yield every seen object of a type that was not taken away, with its receptacle."""
        for receptacle, held in self.contents.items():
            for name in sorted(held or ()):
                if kind_of(name) == kind:
                    yield name, receptacle

    def of_kind(self, *kinds: str) -> list[str]:
        """Return the room's receptacles of some types, in the room's own order."""
        return [name for name in self.contents if kind_of(name) in kinds]


class SearchExpert:
    """Solves ALFWorld's tasks without knowing where objects are; labels any state for imitation."""

    name = "search"

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Return the next command for each input.

        Raises:
            AgentError: A task is not ALFWorld's, its goal has an unknown form, or nothing is left to try.
        """
        return [self._choice(view) for view in views]

    def _choice(self, view: AgentInput) -> AgentAction:
        if view.task.benchmark != "ALFWorld":
            raise AgentError(
                f"The search expert plays ALFWorld; {view.task.id} is a task of {view.task.benchmark}. "
                "Use --agent expert there."
            )
        action = _Search(view).command()
        if not action:
            raise AgentError(f"The search expert has nothing left to try in {view.task.id}.")
        return AgentAction(action=action, response=action)


class _Search:
    """One decision: a goal, a belief, and the admissible commands."""

    def __init__(self, view: AgentInput) -> None:
        self.goal = read_goal(view.goal)
        self.belief = Belief.of(view)
        self.possible = set(view.admissible_commands)

    def command(self) -> str:
        """Return the next command; empty if nothing is left to try."""
        steps = self._examining() if self.goal.lamp else self._placing()
        return next(steps, "")

    def _examining(self) -> Iterator[str]:
        belief, goal = self.belief, self.goal
        if kind_of(belief.carried) != goal.object:
            if belief.carried:
                yield from self._put_down()
            yield from self._take(belief.places_of(goal.object))
            yield from self._explore(goal.object)
            return
        for lamp, receptacle in sorted(belief.places_of(goal.lamp), key=lambda found: found[1] != belief.here):
            yield from self._if_possible(f"use {lamp}")
            yield from self._visit(receptacle)
        yield from self._explore(goal.lamp)

    def _placing(self) -> Iterator[str]:
        belief, goal = self.belief, self.goal
        if kind_of(belief.carried) == goal.object:
            if goal.change and goal.change not in belief.changes.get(belief.carried, ()):
                yield from self._change(belief.carried)
            for place in self._places():
                yield from self._put(belief.carried, place)
        if belief.carried:
            yield from self._put_down()
        place = next(iter(self._places()), "")
        done = {name for name in belief.contents.get(place) or () if self._is_done(name)}
        yield from self._take((name, home) for name, home in belief.places_of(goal.object) if name not in done)
        yield from self._explore(goal.object)

    def _is_done(self, name: str) -> bool:
        """Return whether an object in the right place needs no further change."""
        wanted = not self.goal.change or self.goal.change in self.belief.changes.get(name, ())
        return kind_of(name) == self.goal.object and wanted

    def _places(self) -> list[str]:
        """Return the goal's receptacles, best first: one with such an object, then near ones."""
        belief = self.belief

        def order(place: str) -> tuple[int, bool, bool, bool]:
            done = sum(self._is_done(name) for name in belief.contents[place] or ())
            return -done, place in belief.tried and place != belief.here, place != belief.here, place in belief.closed

        return sorted(belief.of_kind(self.goal.place), key=order)

    def _change(self, name: str) -> Iterator[str]:
        """Clean, heat or cool the carried object."""
        belief, change = self.belief, self.goal.change
        for kind in _APPLIANCES[change]:
            for appliance in sorted(belief.of_kind(kind), key=lambda place: (place in belief.tried, place)):
                yield from self._if_possible(f"{change} {name} with {appliance}")
                if appliance != belief.here:
                    yield from self._visit(appliance)

    def _take(self, found: Iterable[tuple[str, str]]) -> Iterator[str]:
        """Take the first of some objects, near ones first."""
        for name, receptacle in sorted(found, key=lambda one: one[1] != self.belief.here):
            yield from self._if_possible(f"take {name} from {receptacle}")
            yield from self._open_or_visit(receptacle)

    def _put(self, name: str, receptacle: str) -> Iterator[str]:
        yield from self._if_possible(f"move {name} to {receptacle}", f"put {name} in/on {receptacle}")
        yield from self._open_or_visit(receptacle)

    def _put_down(self) -> Iterator[str]:
        """Put down the carried object: here if possible, else where such objects are frequent."""
        belief, carried = self.belief, self.belief.carried
        for receptacle in belief.contents:
            yield from self._if_possible(f"move {carried} to {receptacle}", f"put {carried} in/on {receptacle}")
        kind = kind_of(carried)
        near = [place for place in belief.contents if place not in belief.tried]
        for receptacle in sorted(near, key=lambda place: (place in belief.closed, -_chance(kind, kind_of(place)))):
            yield from self._open_or_visit(receptacle)

    def _explore(self, kind: str) -> Iterator[str]:
        """Search the receptacle with the highest chance of an object of a type per command needed."""
        belief = self.belief

        def worth(place: str) -> tuple[float, bool]:
            closed = place in belief.closed
            near = place == belief.here or f"open {place}" in self.possible or f"examine {place}" in self.possible
            commands = (0 if near else 1) + (1 if closed or kind_of(place) in _OPENABLE else 0)
            return -_chance(kind, kind_of(place)) / max(commands, 1), not near

        unseen = [place for place, held in belief.contents.items() if held is None]
        for place in sorted(unseen, key=worth):
            yield from self._open_or_visit(place)

    def _open_or_visit(self, receptacle: str) -> Iterator[str]:
        """Open a receptacle if possible, else look at it or go there."""
        yield from self._if_possible(f"open {receptacle}")
        yield from self._visit(receptacle)

    def _visit(self, receptacle: str) -> Iterator[str]:
        # Receptacles at the same place have no `go to` command while the agent is there.
        unseen = self.belief.contents.get(receptacle) is None and receptacle not in self.belief.closed
        yield from self._if_possible(f"go to {receptacle}", *([f"examine {receptacle}"] if unseen else []))

    def _if_possible(self, *commands: str) -> Iterator[str]:
        yield from (command for command in commands if command in self.possible)


_OPENABLE = frozenset({"cabinet", "drawer", "fridge", "microwave", "safe", "laundryhamper", "dresser", "box"})


def _chance(kind: str, receptacle: str) -> float:
    """Return the frequency, 0–1, of an object type in a receptacle type at the start of training games."""
    objects, receptacles = _locations()
    there = objects.get(kind, {}).get(receptacle, 0)
    # A few pseudo-counts, so that a receptacle that is rare in training is not searched first.
    return (there + 0.5) / (receptacles.get(receptacle, 0) + 100.0)


@cache
def _locations() -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Return the number of receptacles of each type that contain each object type, and the number of each type."""
    found = json.loads((Path(__file__).parent / "data" / "alfworld_locations.json").read_text(encoding="utf-8"))
    return found["objects"], found["receptacles"]
