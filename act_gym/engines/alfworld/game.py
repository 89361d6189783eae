"""Compiled games: objects, static facts, initial state and goal, compiled from game files.

A game is immutable and shared by all environments that play it. Shared parts are compiled once per process and cached:
domains by their text, logics by everything they depend on.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any, Protocol

from act_gym.engines.alfworld.compiler.codegen import Body, Source, as_tuple, execute
from act_gym.engines.alfworld.compiler.domain import NOT, Binding, Logic, compile_logic, goal_shape
from act_gym.engines.alfworld.compiler.queries import REAL, Joins, Layout, Scope, Tables
from act_gym.engines.alfworld.compiler.texts import constant_text
from act_gym.engines.alfworld.language.grammar import Grammar, parse_grammar
from act_gym.engines.alfworld.language.pddl import (
    And,
    Condition,
    Domain,
    Exists,
    Fact,
    Forall,
    Literal,
    Or,
    Problem,
    parse_domain,
    parse_problem,
    unsupported,
)
from act_gym.engines.alfworld.object_names import display_names

__all__ = [
    "Game",
    "GameSource",
    "Position",
    "check_problem",
    "check_work",
    "compile_game",
    "logic_of",
    "parse_game",
    "reachable_facts",
]


class Start(Protocol):
    """Initial state of a game."""

    types: Mapping[str, str]
    first_facts: Mapping[str, tuple[Fact, ...]]

    def of_type(self, kind: str) -> tuple[str, ...]:
        """Return the objects of a type."""
        ...

    def is_a(self, name: str, kind: str) -> bool:
        """Return whether an object is of a type."""
        ...


def reachable_facts(domain: Domain, game: Start) -> dict[str, set[Fact]]:
    """Return for every predicate the facts that hold at the start or that some actions could make true.

    Relaxed reachability: no fact is ever deleted. Upstream's translator leaves other facts out, so an action does not
    report that it made such a fact false. Only the list of facts shows the difference.
    """
    changed = frozenset(effect.literal.predicate for action in domain.actions.values() for effect in action.effects)
    layout = Layout(changed)
    first = Problem(objects=game.types, facts=game.first_facts, goal=And(()))
    functions = _derivations(domain, layout, first)
    fixed = layout.static_tables(game.first_facts)
    known = {predicate: set(facts) for predicate, facts in game.first_facts.items()}
    while True:
        found: dict[str, set[Fact]] = {predicate: set() for predicate in changed}
        tables = layout.fluent_tables({predicate: sorted(facts) for predicate, facts in known.items()})
        for derive in functions:
            derive(game, fixed, tables, found)
        grown = False
        for predicate, facts in found.items():
            before = known.setdefault(predicate, set())
            grown = grown or not facts <= before
            before |= facts
        if not grown:
            return known


def _derivations(domain: Domain, layout: Layout, sample: Problem) -> list[Any]:
    source = Source()
    joins = Joins(domain, layout, source, sample, frozenset())
    names = []
    for action in domain.actions.values():
        body = Body(source.name("derive"), ("found",))
        for effect in action.effects:
            literal = effect.literal

            def leaf(scope: Scope, literal: Literal = literal, body: Body = body) -> None:
                fact = as_tuple([scope.get(term, repr(term)) for term in literal.terms])
                body.line(f"found[{literal.predicate!r}].add({fact})")

            if literal.positive:
                condition = And((_relaxed(action.precondition), _relaxed(effect.condition)))
                joins.loop(body, (*action.parameters, *effect.parameters), condition, {}, leaf)
        body.line("return")
        source.add(body)
        names.append(body.name)
    built = execute(str(source), {})
    return [built[name] for name in names]


def _relaxed(condition: Condition) -> Condition:
    """Return a condition without its negative parts."""
    match condition:
        case Literal(predicate, _, positive):
            return condition if positive and predicate != "=" else And(())
        case And(parts):
            return And(tuple(map(_relaxed, parts)))
        case Or(parts):
            relaxed = tuple(map(_relaxed, parts))
            return And(()) if And(()) in relaxed else Or(relaxed)
        case Exists(parameters, body):
            return Exists(parameters, _relaxed(body))
        case Forall():
            return And(())


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


@dataclass(frozen=True, slots=True)
class GameSource:
    """Parsed game file, not yet compiled.

    Attributes:
        domain: Its domain.
        grammar: Its grammar.
        problem: Its problem.
        shape: Its goal, with a variable for every object in it.
        named: These objects.
        texts: The constant grammar rules, which differ between games of a kind.
        walkthrough: Commands that win it, if it has them.
    """

    domain: Domain
    grammar: Grammar
    problem: Problem
    shape: Condition
    named: tuple[str, ...]
    texts: Mapping[str, str]
    walkthrough: tuple[str, ...]

    @property
    def kind(self) -> Hashable:
        """Key of the games that share a logic."""
        rules = tuple((name, rules) for name, rules in sorted(self.grammar.rules.items()) if name not in self.texts)
        actions = tuple((name, text) for name, text in sorted(self.grammar.actions.items()))
        return id(self.domain), rules, actions, frozenset(self.texts), self.shape


_domain = lru_cache(maxsize=64)(parse_domain)
_logics: dict[Hashable, Logic] = {}

LOGICS_KEPT = 64
"""All real games need 6; a user's files that are each of another kind must not fill the memory."""


def parse_game(content: Mapping[str, Any]) -> GameSource:
    """Read what a game file holds.

    Args:
        content: Its `pddl_domain`, `grammar` and `pddl_problem`; `walkthrough` if it has one.

    Raises:
        CorruptDataError: It cannot be read.
        UnsupportedGameError: It holds a construct that the native engine does not play.
    """
    domain = _domain(content["pddl_domain"])
    grammar = parse_grammar(content["grammar"])
    problem = parse_problem(content["pddl_problem"], domain)
    shape, named = goal_shape(problem.goal)
    return GameSource(
        domain=domain,
        grammar=grammar,
        problem=problem,
        shape=shape,
        named=named,
        texts={name: text for name, rules in grammar.rules.items() if (text := constant_text(rules)) is not None},
        walkthrough=tuple(str(command) for command in content.get("walkthrough") or ()),
    )


def logic_of(source: GameSource) -> Logic:
    """Return the logic that plays a game; it is compiled for the first game of its kind.

    Raises:
        UnsupportedGameError: The game holds a construct that the native engine does not play.
    """
    kind = source.kind
    logic = _logics.get(kind)
    if logic is None:
        logic = compile_logic(source.domain, source.grammar, frozenset(source.texts), source.shape, source.problem)
        while len(_logics) >= LOGICS_KEPT:
            del _logics[next(iter(_logics))]
        _logics[kind] = logic  # it holds the domain, so that its id is not reused while the kind is cached
    check_problem(logic, source.problem)
    return logic


def compile_game(content: Mapping[str, Any]) -> Game:
    """Compile what a game file holds.

    Raises:
        CorruptDataError: It cannot be read.
        UnsupportedGameError: It holds a construct that the native engine does not play.
    """
    source = parse_game(content)
    problem = source.problem
    game = Game(logic_of(source), problem.objects, problem.facts, source.named, source.texts, source.walkthrough)
    check_work(game)
    return game
