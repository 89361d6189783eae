"""Compiled game: objects, static facts, initial state and goal.

It is immutable and shared by all environments that play it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from act_gym.engines.alfworld.compiler.domain import NOT, Binding, Logic
from act_gym.engines.alfworld.compiler.queries import REAL, Tables
from act_gym.engines.alfworld.compiler.reachable import reachable_facts
from act_gym.engines.alfworld.language.pddl import Fact, Problem, unsupported
from act_gym.engines.alfworld.object_names import display_names

__all__ = ["Game", "Position", "check_problem", "check_work"]

MAX_WORK = 1e6


@dataclass(slots=True, eq=False)
class Position:
    """Immutable state of a game.

    Attributes:
        tables: The facts.
        won: Whether the goal holds.
        bindings: The action and objects of every admissible command, once computed.
        commands: The admissible commands, sorted, once computed.
    """

    tables: Tables
    won: bool
    bindings: Mapping[str, Binding] | None = None
    commands: tuple[str, ...] | None = None


class Game:
    """Game: everything that does not change while it is played.

    Args:
        logic: The compiled logic of its kind of games.
        types: The type of every object.
        facts: The initial facts, by predicate.
        goal: The objects in its goal, see `goal_shape`.
        texts: The texts of its constant grammar rules.
        walkthrough: Commands that win it, if its file has them.
    """

    def __init__(
        self,
        logic: Logic,
        types: Mapping[str, str],
        facts: Mapping[str, tuple[Fact, ...]],
        goal: tuple[str, ...],
        texts: Mapping[str, str],
        walkthrough: tuple[str, ...] = (),
    ) -> None:
        self.logic = logic
        self.types = types
        self.texts = texts
        self.walkthrough = walkthrough
        self.names = display_names({name for known in facts.values() for fact in known for name in fact})
        self.first_facts = facts
        kept = logic.facts(facts)
        self.fixed = logic.layout.static_tables(kept)
        self.goal_objects = goal
        self._kinds: dict[str, tuple[str, ...]] = {}
        self.start = self._position(logic.layout.fluent_tables(kept))

    @cached_property
    def intro(self) -> str:
        """Return the first text of the game."""
        return self.logic.intro(self, self.fixed, self.start.tables)

    def bindings(self, position: Position) -> Mapping[str, Binding]:
        """Return the action and objects of every admissible command."""
        if position.bindings is None:
            found: dict[str, Binding] = {}
            for commands in self.logic.commands:
                commands(self, self.fixed, position.tables, found)
            position.bindings = found
        return position.bindings

    def commands(self, position: Position) -> tuple[str, ...]:
        """Return the admissible commands, sorted, each once."""
        if position.commands is None:
            position.commands = tuple(sorted(self.bindings(position)))
        return position.commands

    def after(self, position: Position, binding: Binding) -> Position:
        """Return the position after an action that is possible in the one before."""
        return self._position(self.logic.applied[binding[0]](self, self.fixed, position.tables, *binding[1:]))

    def feedback(self, position: Position, binding: Binding) -> str:
        """Return the game's text after an action has led to a position."""
        return self.logic.feedback[binding[0]](self, self.fixed, position.tables, *binding[1:])

    def fluents(self, position: Position) -> dict[str, frozenset[Fact]]:
        """Return what holds in a position of the predicates that actions change; conditions are judged by this."""
        changes = self.logic.changes
        return {
            name: _as_facts(position.tables[changes.get(name + REAL, changes[name]).facts])
            for name in self.logic.domain.predicates
            if name in changes
        }

    def facts_shown(self, position: Position) -> frozenset[Fact]:
        """Return upstream's list of facts: a name and the display names of its objects.

        They differ from the facts used in conditions, as texts do (see `compiler/domain.py`).
        """
        logic = self.logic
        shown = {
            (name, fact) for name, facts in self.first_facts.items() if name not in logic.changes for fact in facts
        }
        for name, changes in logic.changes.items():
            if not name.endswith(REAL):
                facts = _as_facts(position.tables[changes.facts])
                if name.startswith(NOT):
                    facts &= self._reachable.get(name.removeprefix(NOT), set())
                shown |= {(name, fact) for fact in facts}
        return frozenset((name, *(self.names[part] for part in fact)) for name, fact in shown)

    @cached_property
    def _reachable(self) -> dict[str, set[Fact]]:
        return reachable_facts(self.logic.domain, self)

    def of_type(self, kind: str) -> tuple[str, ...]:
        """Return the objects of a type, in order."""
        if kind not in self._kinds:
            below = {found for found in set(self.types.values()) if self.logic.domain.is_a(found, kind)}
            self._kinds[kind] = tuple(sorted(name for name, found in self.types.items() if found in below))
        return self._kinds[kind]

    def is_a(self, name: str, kind: str) -> bool:
        """Return whether an object is of a type."""
        return self.logic.domain.is_a(self.types[name], kind)

    def same_command(self, tables: Tables, commands: Mapping[str, Binding], command: str, other: Binding) -> None:
        """Refuse two actions that read the same and are not the same; called by compiled code.

        Upstream takes the one that its planner's operators list first, which is not worked out here.
        """
        here = Position(tables=tables, won=False)
        first, second = self.after(here, commands[command]), self.after(here, other)
        if first.tables != second.tables or self.feedback(first, commands[command]) != self.feedback(second, other):
            unsupported(f"two different actions called {command!r}")

    def _position(self, tables: Tables) -> Position:
        return Position(tables=tables, won=self.logic.won(self, self.fixed, tables, *self.goal_objects))


def check_work(game: Game) -> None:
    """Refuse a game whose rules go through more combinations of objects than a step should take.

    Judged by the facts at its start: an action adds a few at most.

    Raises:
        UnsupportedGameError: They do.
    """
    logic = game.logic
    known: dict[str, float] = {}

    def size(repeated: str) -> int:
        tables, _, slot = repeated.partition("[")
        if not slot:
            return len(game.of_type(repeated))
        table = (game.fixed if tables == "fixed" else game.start.tables)[int(slot[:-1])]
        return max(map(len, table.values()), default=1) if isinstance(table, dict) else len(table)

    for name, lines in logic.work.items():  # a function follows those that it calls
        known[name] = 1.0 + sum(
            prod(map(size, repeated), start=1.0) * (1.0 + sum(known.get(called, 1.0) for called in calls))
            for repeated, calls in lines
        )
        if known[name] > MAX_WORK:
            unsupported(f"rules that go through about {known[name]:.0e} combinations of objects")


def check_problem(logic: Logic, problem: Problem) -> None:
    """Refuse facts that would make the order or the matches of a query unclear.

    Raises:
        UnsupportedGameError: A fact's argument is not of the type that its predicate declares, or the arguments of
            a predicate that texts list are of several types.
    """
    domain = logic.domain
    for predicate, facts in problem.facts.items():
        declared = domain.predicates.get(predicate)
        if declared is None:
            continue
        for position, kind in enumerate(declared):
            kinds = {problem.objects[fact[position]] for fact in facts}
            for found in kinds:
                if not domain.is_a(found, kind):
                    unsupported(f"a fact {predicate} of a {found} where a {kind} is declared")
            if len(kinds) > 1 and predicate in logic.queried:
                unsupported(f"facts {predicate} of several types, {' and '.join(sorted(kinds))}")


def _as_facts(table: Iterable[Any]) -> frozenset[Fact]:
    return frozenset(item if isinstance(item, tuple) else (item,) for item in table)
