"""Compiles conditions to loops over tables that find the objects for which a condition holds.

A conjunction becomes nested loops. Each loop uses the literal with the fewest choices, estimated on a sample problem,
and every test is as far out as its variables allow. The order changes no result.

A fact table is one set per predicate, and an index for each look-up. Tables are immutable: `add` and `remove` put new
sets and dictionaries into the given list. So a state is a list of tables, copying it copies a short list, and states
share equal tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from act_gym.engines.alfworld.compiler.codegen import STATE, Body, Source, as_tuple
from act_gym.engines.alfworld.language.pddl import (
    And,
    Condition,
    Domain,
    Exists,
    Fact,
    Forall,
    Literal,
    Or,
    Parameter,
    Problem,
    conjuncts,
    negation,
)

__all__ = ["REAL", "Changes", "Joins", "Layout", "Scope", "Tables", "add", "remove"]

Tables = list[Any]
"""Sets of facts and dictionaries from a key to the sorted rest; a fact of one argument is a bare string."""

_Part = Callable[[Fact], Any]


@dataclass(frozen=True, slots=True)
class Changes:
    """Slots of a predicate's facts in the tables of a state.

    Attributes:
        facts: Slot of the set.
        indexes: Slot, key and rest of every index.
    """

    facts: int
    indexes: tuple[tuple[int, _Part, _Part], ...]


@dataclass(slots=True)
class Layout:
    """Gives every table its slot, and fills them with facts.

    Static predicates, which no action changes, have tables of their own, shared by all states of a game.

    Attributes:
        fluents: Predicates that actions change.
    """

    fluents: frozenset[str]
    _static: dict[tuple[str, tuple[int, ...] | None], int] = field(default_factory=dict)
    _fluent: dict[tuple[str, tuple[int, ...] | None], int] = field(default_factory=dict)

    def name(self, predicate: str, given: tuple[int, ...] | None) -> str:
        """Return what generated code calls a table.

        Args:
            predicate: Whose facts.
            given: The positions that make the key of an index; None for the set.
        """
        kept = self._fluent if predicate in self.fluents else self._static
        slot = kept.setdefault((predicate, given), len(kept))
        return f"{'facts' if predicate in self.fluents else 'fixed'}[{slot}]"

    def changes(self, arity: Mapping[str, int]) -> dict[str, Changes]:
        """Return the slots of every fluent's facts, after all tables have been named."""
        for predicate in sorted(self.fluents):
            self.name(predicate, None)
        return {
            predicate: Changes(
                facts=self._fluent[predicate, None],
                indexes=tuple(
                    (slot, _part(given), _part(_rest(given, arity[predicate])))
                    for (owner, given), slot in self._fluent.items()
                    if owner == predicate and given is not None
                ),
            )
            for predicate in self.fluents
        }

    def static_tables(self, facts: Mapping[str, Iterable[Fact]]) -> Tables:
        """Fill the tables of the static predicates."""
        return _fill(self._static, facts)

    def fluent_tables(self, facts: Mapping[str, Iterable[Fact]]) -> Tables:
        """Fill the tables of the fluents."""
        return _fill(self._fluent, facts)


def add(tables: Tables, changes: Changes, fact: Fact) -> None:
    """Add a fact; replaces its tables in the list."""
    item = fact[0] if len(fact) == 1 else fact
    if item in tables[changes.facts]:
        return
    tables[changes.facts] = tables[changes.facts] | {item}
    for slot, key, rest in changes.indexes:
        index = tables[slot].copy()
        index[key(fact)] = tuple(sorted((*index.get(key(fact), ()), rest(fact))))
        tables[slot] = index


def remove(tables: Tables, changes: Changes, fact: Fact) -> None:
    """Remove a fact; replaces its tables in the list."""
    item = fact[0] if len(fact) == 1 else fact
    if item not in tables[changes.facts]:
        return
    tables[changes.facts] = tables[changes.facts] - {item}
    for slot, key, rest in changes.indexes:
        index = tables[slot].copy()
        left = rest(fact)
        index[key(fact)] = tuple(other for other in index[key(fact)] if other != left)
        tables[slot] = index


def _fill(slots: Mapping[tuple[str, tuple[int, ...] | None], int], facts: Mapping[str, Iterable[Fact]]) -> Tables:
    tables: Tables = []
    for predicate, given in slots:
        known = facts.get(predicate, ())
        if given is None:
            tables.append(frozenset(fact[0] if len(fact) == 1 else fact for fact in known))
            continue
        index: dict[Any, list[Any]] = {}
        if known:
            arity = len(next(iter(known)))
            key, rest = _part(given), _part(_rest(given, arity))
            for fact in known:
                index.setdefault(key(fact), []).append(rest(fact))
        tables.append({key: tuple(sorted(rests)) for key, rests in index.items()})
    return tables


def _rest(given: tuple[int, ...], arity: int) -> tuple[int, ...]:
    return tuple(position for position in range(arity) if position not in given)


def _part(positions: tuple[int, ...]) -> _Part:
    """Return what takes these positions out of a fact: one as it is, several as a tuple."""
    return itemgetter(*positions) if positions else _nothing


def _nothing(_: Fact) -> Fact:
    return ()


Scope = dict[str, str]
"""Bound variables of a condition, with what generated code calls them."""

REAL = "!"
"""Ends the name of a predicate that texts see otherwise than conditions (see `domain.py`)."""


class Joins:
    """Writes loops and tests for conditions over the tables of a layout.

    Args:
        domain: Declares the types.
        layout: Names the tables.
        source: Collects the functions of nested conditions.
        sample: A problem of the domain, to estimate the numbers of facts.
        doubled: Predicates with separate tables for conditions and texts.
    """

    def __init__(
        self, domain: Domain, layout: Layout, source: Source, sample: Problem, doubled: frozenset[str]
    ) -> None:
        self.domain = domain
        self.layout = layout
        self.source = source
        self._facts = sample.facts
        self._doubled = doubled
        self.guarded = {name for name in domain.predicates if not self._typed_by_effects(name)}

    def loop(
        self,
        body: Body,
        parameters: Sequence[Parameter],
        condition: Condition,
        scope: Scope,
        leaf: Callable[[Scope], None],
    ) -> None:
        """Write loops that reach `leaf` once or more for every choice of the parameters under a condition.

        Args:
            body: The function to write into.
            parameters: The variables to choose.
            condition: The condition.
            scope: The variables already chosen.
            leaf: Writes the body for one choice.
        """
        declared, parts = conjuncts(condition)
        kinds = {parameter.name: parameter.type for parameter in (*parameters, *declared)}
        if any(kind != "object" and kind not in self.domain.types for kind in kinds.values()):
            return  # an undeclared type has no objects
        split = self._split(parts, kinds, scope)
        if split is not None:
            rest = tuple(part for part in parts if part is not split)
            for choice in split.parts:
                self.loop(body, (*parameters, *declared), And((*rest, choice)), scope, leaf)
            return
        with ExitStack() as blocks:
            inner = self._nest(body, blocks, parts, kinds, dict(scope))
            leaf(inner)

    def test(self, condition: Condition, scope: Mapping[str, str]) -> str:
        """Return an expression that is true where a condition holds; all its free variables are bound."""
        match condition:
            case Literal(predicate, terms, positive):
                values = [scope.get(term, repr(term)) for term in terms]
                if predicate == "=":
                    return f"{values[0]} {'==' if positive else '!='} {values[1]}"
                return f"{self.item(values)} {'in' if positive else 'not in'} {self.table(predicate, None)}"
            case And(parts):
                return " and ".join(f"({self.test(part, scope)})" for part in parts) or "True"
            case Or(parts):
                return " or ".join(f"({self.test(part, scope)})" for part in parts) or "False"
            case Forall(parameters, inner):
                return f"not {self.test(Exists(parameters, negation(inner)), scope)}"
            case Exists():
                return self._exists(condition, scope)

    def table(self, predicate: str, given: tuple[int, ...] | None) -> str:
        """Return the name of a table as conditions see it."""
        return self.layout.name(predicate + REAL if predicate in self._doubled else predicate, given)

    @staticmethod
    def item(values: Sequence[str]) -> str:
        """Return the source of a fact as a set holds it."""
        return values[0] if len(values) == 1 else as_tuple(values)

    def choices(
        self, table: Callable[[tuple[int, ...] | None], str], bound: Sequence[str | None], *, ordered: bool
    ) -> tuple[str, str]:
        """Return the iterable over the unbound arguments of a predicate, and its table.

        Args:
            table: Names a table of the predicate by its key.
            bound: For each argument its bound value, or None.
            ordered: Whether the facts must come in the order of their objects.
        """
        given = tuple(position for position, value in enumerate(bound) if value is not None)
        if not given and not ordered:
            return table(None), table(None)
        key = self.item([value for value in bound if value is not None]) if given else "()"
        return f"{table(given)}.get({key}, ())", table(given)

    def guard(self, predicate: str, position: int, kind: str) -> bool:
        """Return whether facts of a predicate may hold an object there that is not of a type."""
        declared = self.domain.predicates[predicate][position]
        return kind != "object" and (predicate in self.guarded or not self.domain.is_a(declared, kind))

    def _exists(self, condition: Condition, scope: Mapping[str, str]) -> str:
        name = self.source.name("holds")
        variables = sorted({scope[term] for term in _terms(condition) if term in scope})
        function = Body(name, variables)
        self.loop(function, (), condition, dict(scope), lambda _: function.line("return True"))
        function.line("return False")
        self.source.add(function)
        return f"{name}({', '.join((STATE, *variables))})"

    def _split(self, parts: Sequence[Condition], kinds: Mapping[str, str], scope: Scope) -> Or | None:
        """Return the disjunction that needs separate loops, because only it restricts a variable."""
        covered = set(scope)
        for part in parts:
            if isinstance(part, Literal) and part.positive:
                covered |= set(part.terms)
        loose = [name for name in kinds if name not in covered]
        for part in parts:
            if isinstance(part, Or) and any(_chooses(part, name) for name in loose):
                return part
        return None

    def _nest(
        self, body: Body, blocks: ExitStack, parts: Sequence[Condition], kinds: Mapping[str, str], scope: Scope
    ) -> Scope:
        waiting = list(parts)
        while True:
            for part in [part for part in waiting if self._is_bound(part, kinds, scope)]:
                waiting.remove(part)
                blocks.enter_context(body.block(f"if {self.test(part, scope)}"))
            loose = [name for name in kinds if name not in scope]
            literals = [part for part in waiting if isinstance(part, Literal) and _is_table(part)]
            if literals:
                literal = min(literals, key=lambda literal: self._expected(literal, scope))
                waiting.remove(literal)
                self._choose(body, blocks, literal, kinds, scope)
            elif loose:
                name = self.source.name(loose[0])
                blocks.enter_context(body.block(f"for {name} in game.of_type({kinds[loose[0]]!r})", kinds[loose[0]]))
                scope[loose[0]] = name
            elif waiting:
                raise AssertionError(f"never bound: {waiting}")
            else:
                return scope

    def _choose(self, body: Body, blocks: ExitStack, literal: Literal, kinds: Mapping[str, str], scope: Scope) -> None:
        bound = [scope.get(term) if term in kinds or term in scope else repr(term) for term in literal.terms]
        targets, tests = [], []
        for position, (term, value) in enumerate(zip(literal.terms, bound, strict=True)):
            if value is not None:
                continue
            name = self.source.name(term)
            targets.append(name)
            if term in scope:  # the same variable twice in one literal
                tests.append(f"{name} == {scope[term]}")
            scope[term] = name
            if self.guard(literal.predicate, position, kinds[term]):
                tests.append(f"game.is_a({name}, {kinds[term]!r})")
        over, table = self.choices(lambda given: self.table(literal.predicate, given), bound, ordered=False)
        blocks.enter_context(body.block(f"for {', '.join(targets)} in {over}", table))
        if tests:
            blocks.enter_context(body.block(f"if {' and '.join(tests)}"))

    def _is_bound(self, part: Condition, kinds: Mapping[str, str], scope: Scope) -> bool:
        return all(term in scope for term in _terms(part) if term in kinds)

    def _expected(self, literal: Literal, scope: Scope) -> float:
        """Estimate the number of facts of a literal that match the bound variables."""
        facts = self._facts.get(literal.predicate, ())
        number = float(len(facts) or 1)
        for position, term in enumerate(literal.terms):
            if term in scope or not term.startswith("?"):
                number /= len({fact[position] for fact in facts}) or 1
        return number

    def _typed_by_effects(self, predicate: str) -> bool:
        """Return whether no action can make a fact that its predicate's declaration does not allow."""
        declared = self.domain.predicates[predicate]
        for action in self.domain.actions.values():
            for effect in action.effects:
                kinds = {parameter.name: parameter.type for parameter in (*action.parameters, *effect.parameters)}
                if effect.literal.predicate == predicate and not all(
                    self.domain.is_a(kinds.get(term, "object"), kind)
                    for term, kind in zip(effect.literal.terms, declared, strict=True)
                ):
                    return False
        return True


def _is_table(literal: Literal) -> bool:
    """Return whether the choices for a literal can be read off a table."""
    return literal.positive and literal.predicate != "="


def _terms(condition: Condition) -> set[str]:
    match condition:
        case Literal(_, terms, _):
            return set(terms)
        case And(parts) | Or(parts):
            return set().union(*map(_terms, parts))
        case Exists(_, body) | Forall(_, body):
            return _terms(body)


def _chooses(condition: Condition, name: str) -> bool:
    """Return whether a positive literal of a condition restricts a variable."""
    match condition:
        case Literal(predicate, terms, positive):
            return positive and predicate != "=" and name in terms
        case And(parts) | Or(parts):
            return any(_chooses(part, name) for part in parts)
        case Exists(_, body):
            return _chooses(body, name)
        case Forall():
            return False
