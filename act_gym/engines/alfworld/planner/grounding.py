"""Enumerates the objects that make a conjunction true, for the planner.

A conjunction is turned into a chain of functions, each of which binds variables or tests bound ones and calls
the next. Constant facts are looked up here; facts that actions change are put before a `Judge`, so that the same
chain serves to estimate (a judge that counts steps) and to collect actions (a judge that knows what can come true).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Protocol

from act_gym.engines.alfworld.language.pddl import Fact, Literal

__all__ = ["Atom", "Conjunction", "Judge", "World"]

Atom = tuple[str, ...]
"""A predicate and the objects it may hold of."""

Scope = list[str]
"""Object of each variable of a conjunction, followed by its constants."""


class Judge(Protocol):
    """Decides on what actions change, while the objects of a conjunction are being chosen.

    Sets of steps travel along as the bits of an integer.
    """

    def steps(self, atom: Atom, positive: bool) -> int | None:
        """Return steps that make a literal true, 0 if it is true; None drops the choice."""
        ...

    def enough(self, steps: int, /) -> bool:
        """Return whether a choice that takes these steps is no use any more."""
        ...

    def values(self, known: Atom, position: int, places: tuple[int, ...], kind: str) -> Iterable[str]:
        """Return what to try for an argument that only a changing predicate restricts.

        Args:
            known: The predicate and those arguments that are chosen.
            position: Position of the argument in the atom, from 1.
            places: Positions of `known` in the atom, 0 being the predicate's own.
            kind: The variable's type.
        """
        ...

    def found(self, scope: Scope, steps: int, /) -> None:
        """Take a complete choice; the scope is changed again afterwards."""
        ...


_Chain = Callable[[Scope, int, Judge], None]


class World:
    """Static part of a game: its objects, and the facts that no action changes.

    Args:
        objects: For every type its objects, in order.
        declared: Declared types of each predicate's arguments.
        is_a: Whether a type is equal to or below another one.
        fluents: Predicates that actions change.
        facts: The facts of the others.
    """

    def __init__(
        self,
        objects: Mapping[str, Sequence[str]],
        declared: Mapping[str, Sequence[str]],
        is_a: Callable[[str, str], bool],
        fluents: Collection[str],
        facts: Mapping[str, Collection[Fact]],
    ) -> None:
        self._objects = objects
        self.fluents = frozenset(fluents)
        self.atoms: frozenset[Atom] = frozenset(
            (name, *fact) for name, known in facts.items() if name not in self.fluents for fact in known
        )
        self._declared = declared
        self._is_a = is_a
        self._facts = facts
        self._members: dict[str, frozenset[str]] = {}
        self._indexes: dict[tuple[str, tuple[int, ...]], dict[Atom, tuple[Fact, ...]]] = {}
        self._expected: dict[tuple[str, tuple[int, ...]], float] = {}

    def objects(self, kind: str) -> Sequence[str]:
        """Return the objects of a type, in order; an undeclared type has none."""
        return self._objects.get(kind, ())

    def members(self, kind: str) -> frozenset[str]:
        """Return the objects of a type."""
        if kind not in self._members:
            self._members[kind] = frozenset(self.objects(kind))
        return self._members[kind]

    def ensures(self, predicate: str, position: int, kind: str) -> bool:
        """Return whether an argument of a static predicate is of a type without a look at it."""
        return predicate not in self.fluents and self._is_a(self._declared[predicate][position], kind)

    def index(self, predicate: str, given: tuple[int, ...]) -> dict[Atom, tuple[Fact, ...]]:
        """Return the facts of a static predicate by some of their arguments: the key begins with the predicate."""
        if (predicate, given) not in self._indexes:
            index: dict[Atom, list[Fact]] = {}
            for fact in sorted(self._facts.get(predicate, ())):
                rest = tuple(value for position, value in enumerate(fact) if position not in given)
                index.setdefault((predicate, *(fact[position] for position in given)), []).append(rest)
            self._indexes[predicate, given] = {key: tuple(rests) for key, rests in index.items()}
        return self._indexes[predicate, given]

    def expected(self, predicate: str, given: tuple[int, ...]) -> float:
        """Return how many facts of a static predicate share such arguments on average."""
        if (predicate, given) not in self._expected:
            facts = self._facts.get(predicate, ())
            keys = {tuple(fact[position] for position in given) for fact in facts}
            self._expected[predicate, given] = len(facts) / max(1, len(keys))
        return self._expected[predicate, given]


class Conjunction:
    """Literals over variables.

    Args:
        world: The static part of the game.
        kinds: The variables with their types.
        literals: The literals.

    Attributes:
        slots: Index of each variable and constant in a scope.
        changing: The literals that actions change.
    """

    def __init__(self, world: World, kinds: Mapping[str, str], literals: Iterable[Literal]) -> None:
        self.world = world
        self.kinds = kinds
        self.literals = tuple(dict.fromkeys(literals))
        self.slots = {name: slot for slot, name in enumerate(kinds)}
        self.changing = tuple(literal for literal in self.literals if literal.predicate in world.fluents)
        self._start: Scope = [""] * len(kinds)
        self._always: set[str] = set()
        for name, kind in kinds.items():
            if len(world.objects(kind)) == 1:  # such as the agent: nothing to choose
                self._start[self.slots[name]] = world.objects(kind)[0]
                self._always.add(name)
        for literal in self.literals:
            self.atom(literal)  # gives its constants their slots
        self._chains: dict[tuple[frozenset[str], bool], _Chain] = {}

    def scope(self) -> Scope:
        """Return a new scope in which only what leaves no choice is bound."""
        return self._start.copy()

    def bind(self, terms: Sequence[str], values: Sequence[str]) -> Scope | None:
        """Return a new scope in which terms stand for objects, or None if they cannot."""
        scope = self._start.copy()
        for term, value in zip(terms, values, strict=True):
            slot = self.slots.get(term)
            if slot is None:
                if term != value:
                    return None
            elif scope[slot]:
                if scope[slot] != value:
                    return None
            elif value in self.world.members(self.kinds[term]):
                scope[slot] = value
            else:
                return None
        return scope

    def atom(self, literal: Literal) -> Callable[[Sequence[str]], Atom]:
        """Return what makes an atom of a literal, given a scope."""
        slots = [self._slot(term) for term in (literal.predicate, *literal.terms)]
        if len(slots) == 1:
            return lambda _: (literal.predicate,)
        return itemgetter(*slots)

    def enumerate(self, scope: Scope, bound: Iterable[str], judge: Judge, *, changing_first: bool = False) -> None:
        """Put every choice of the variables that are not bound before a judge.

        Args:
            scope: The bound objects; modified.
            bound: The bound variables.
            judge: Decides on what actions change, and takes the choices.
            changing_first: Whether variables are chosen by changing literals before others; for a judge that offers
                only few values.
        """
        key = (frozenset(bound), changing_first)
        if key not in self._chains:
            self._chains[key] = self._chain(set(key[0]) | self._always, changing_first)
        self._chains[key](scope, 0, judge)

    def _slot(self, term: str) -> int:
        """Return the slot of a variable, or of a constant, which gets one if it has none."""
        if term not in self.slots:
            self.slots[term] = len(self._start)
            self._start.append(term)
        return self.slots[term]

    def _chain(self, bound: set[str], changing_first: bool) -> _Chain:
        links: list[Callable[[_Chain], _Chain]] = []
        waiting = list(self.literals)
        while True:
            ready = [each for each in waiting if all(term in bound or term not in self.kinds for term in each.terms)]
            for literal in sorted(ready, key=lambda each: each.predicate in self.world.fluents):
                waiting.remove(literal)
                links.append(self._test(literal))
            loose = [name for name in self.kinds if name not in bound]
            if not loose:
                break
            changing, static = self._choosers(waiting, bound)
            if changing and (changing_first or not static):
                name = next(term for term in changing[0].terms if term in loose)
                links.append(self._try(changing[0], name, bound))
                bound.add(name)
            elif static:
                literal = min(static, key=lambda each: self.world.expected(each.predicate, self._given(each, bound)))
                waiting.remove(literal)
                links += self._choose(literal, bound)
                bound |= set(literal.terms)
            else:
                links.append(_each(self.slots[loose[0]], self.world.objects(self.kinds[loose[0]])))
                bound.add(loose[0])
        chain: _Chain = _end
        for link in reversed(links):
            chain = link(chain)
        return chain

    def _choosers(self, waiting: Sequence[Literal], bound: set[str]) -> tuple[list[Literal], list[Literal]]:
        """Return the positive literals that restrict unbound variables: changing ones and static ones."""
        loose = set(self.kinds) - bound
        found = [each for each in waiting if each.positive and each.predicate != "=" and loose & set(each.terms)]
        changing = [each for each in found if each.predicate in self.world.fluents]
        return changing, [each for each in found if each not in changing]

    def _given(self, literal: Literal, bound: set[str]) -> tuple[int, ...]:
        return tuple(position for position, term in enumerate(literal.terms) if term in bound or term not in self.kinds)

    def _test(self, literal: Literal) -> Callable[[_Chain], _Chain]:
        if literal.predicate == "=":
            one, other = map(self._slot, literal.terms)
            return lambda then: _same(one, other, literal.positive, then)
        atom = self.atom(literal)
        if literal.predicate in self.world.fluents:
            return lambda then: _judged(atom, literal.positive, then)
        return lambda then: _known(atom, self.world.atoms, literal.positive, then)

    def _choose(self, literal: Literal, bound: set[str]) -> list[Callable[[_Chain], _Chain]]:
        """Bind what a static literal leaves open to each of its facts."""
        given = self._given(literal, bound)
        index = self.world.index(literal.predicate, given)
        key = self.atom(Literal(literal.predicate, tuple(literal.terms[position] for position in given)))
        open_ = [position for position in range(len(literal.terms)) if position not in given]
        out = [self.slots[literal.terms[position]] for position in open_]
        links: list[Callable[[_Chain], _Chain]] = [lambda then: _from(index, key, out, then)]
        for position, slot in zip(open_, out, strict=True):
            kind = self.kinds[literal.terms[position]]
            if not self.world.ensures(literal.predicate, position, kind):
                members = self.world.members(kind)
                links.append(partial(_member, slot, members))
        if len(set(out)) < len(out):
            links.append(self._test(literal))
        return links

    def _try(self, literal: Literal, name: str, bound: set[str]) -> Callable[[_Chain], _Chain]:
        """Bind one variable to what a judge offers for it."""
        given = self._given(literal, bound)
        key = self.atom(Literal(literal.predicate, tuple(literal.terms[position] for position in given)))
        places = (0, *(position + 1 for position in given))
        position = literal.terms.index(name) + 1
        slot, kind = self.slots[name], self.kinds[name]
        return lambda then: _offered(key, position, places, kind, slot, then)


def _end(scope: Scope, steps: int, judge: Judge) -> None:
    judge.found(scope, steps)


def _same(one: int, other: int, positive: bool, then: _Chain) -> _Chain:
    def link(scope: Scope, steps: int, judge: Judge) -> None:
        if (scope[one] == scope[other]) == positive:
            then(scope, steps, judge)

    return link


def _known(atom: Callable[[Scope], Atom], atoms: Collection[Atom], positive: bool, then: _Chain) -> _Chain:
    def link(scope: Scope, steps: int, judge: Judge) -> None:
        if (atom(scope) in atoms) == positive:
            then(scope, steps, judge)

    return link


def _judged(atom: Callable[[Scope], Atom], positive: bool, then: _Chain) -> _Chain:
    def link(scope: Scope, steps: int, judge: Judge) -> None:
        more = judge.steps(atom(scope), positive)
        if more is not None and not judge.enough(steps | more):
            then(scope, steps | more, judge)

    return link


def _from(
    index: Mapping[Atom, Sequence[Fact]], key: Callable[[Scope], Atom], out: Sequence[int], then: _Chain
) -> _Chain:
    def link(scope: Scope, steps: int, judge: Judge) -> None:
        for rest in index.get(key(scope), ()):
            if judge.enough(steps):
                return
            for slot, value in zip(out, rest, strict=True):
                scope[slot] = value
            then(scope, steps, judge)

    return link


def _member(slot: int, members: Collection[str], then: _Chain) -> _Chain:
    def link(scope: Scope, steps: int, judge: Judge) -> None:
        if scope[slot] in members:
            then(scope, steps, judge)

    return link


def _offered(
    key: Callable[[Scope], Atom], position: int, places: tuple[int, ...], kind: str, slot: int, then: _Chain
) -> _Chain:
    def link(scope: Scope, steps: int, judge: Judge) -> None:
        for value in judge.values(key(scope), position, places, kind):
            if judge.enough(steps):
                return
            scope[slot] = value
            then(scope, steps, judge)

    return link


def _each(slot: int, values: Sequence[str]) -> Callable[[_Chain], _Chain]:
    def linked(then: _Chain) -> _Chain:
        def link(scope: Scope, steps: int, judge: Judge) -> None:
            for value in values:
                scope[slot] = value
                then(scope, steps, judge)

        return link

    return linked
