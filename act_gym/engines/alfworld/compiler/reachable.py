"""Relaxed reachability: the facts that can ever become true in a game if no fact is ever deleted.

Upstream's translator leaves other facts out, so an action does not report that it made such a fact false. Only the list
of facts shows the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from act_gym.engines.alfworld.compiler.codegen import Body, Source, as_tuple, execute
from act_gym.engines.alfworld.compiler.queries import Joins, Layout, Scope
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
)

__all__ = ["reachable_facts"]


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
    """Return for every predicate the facts that hold at the start or that some actions could make true."""
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
