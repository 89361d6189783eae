"""Search for the shortest plan among the few relevant actions for a choice of the goal's objects.

It starts from the heuristic's actions and collects the achievers of their preconditions; then it searches breadth
first, with a state as the bits of an integer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from act_gym.engines.alfworld.planner.grounding import Atom, Scope
from act_gym.engines.alfworld.planner.operators import Achiever, Goal, Operator, Rule, Rules

__all__ = ["Budget", "Collection", "shortest"]

MAX_OPERATORS = 400
MAX_ROUNDS = 6


@dataclass(slots=True)
class Budget:
    """How many transitions may still be tried."""

    left: int


class Collection:
    """Relevant actions for some goals; also the judge of their preconditions.

    Args:
        rules: The game's rules.
        facts: The facts that hold.
        goals: The goals.
        seeds: The initial actions.
    """

    def __init__(self, rules: Rules, facts: frozenset[Atom], goals: Iterable[Goal], seeds: Iterable[Operator]) -> None:
        self.facts = facts
        self.goals = tuple(goals)
        self.operators: list[Operator] = []
        self._rules = rules
        self._same: dict[tuple[object, object], Operator] = {}
        self._taken: set[tuple[Rule, tuple[str, ...]]] = set()
        self._indexes: dict[tuple[str, tuple[int, ...]], dict[Atom, list[Atom]]] = {}
        self._can_hold: dict[Atom, None] = dict.fromkeys(sorted(facts))
        self._by_predicate: dict[str, list[Atom]] = {}
        for atom in self._can_hold:
            self._by_predicate.setdefault(atom[0], []).append(atom)
        self._can_fail: set[Atom] = set()
        self._rule: Rule | None = None
        for operator in seeds:
            self._add(operator)
        self._close()

    def steps(self, atom: Atom, positive: bool) -> int | None:
        """Return 0 if some of the actions can make a literal true, or it is true; otherwise None."""
        if positive:
            return 0 if atom in self._can_hold else None
        return 0 if atom not in self.facts or atom in self._can_fail else None

    def enough(self, _: int) -> bool:
        """Return whether there are more actions than a search can do with."""
        return len(self.operators) >= MAX_OPERATORS

    def values(self, known: Atom, position: int, places: tuple[int, ...], kind: str) -> Iterable[str]:
        """Offer the values that can become true."""
        index = self._indexes.get((known[0], places))
        if index is None:
            index = self._indexes[known[0], places] = {}
            for atom in self._by_predicate.get(known[0], ()):
                index.setdefault(tuple(atom[place] for place in places), []).append(atom)
        members = self._rules.world.members(kind)
        return [value for value in dict.fromkeys(atom[position] for atom in index.get(known, ())) if value in members]

    def found(self, scope: Scope, _: int) -> None:
        """Take one more action."""
        assert self._rule is not None
        values = tuple(scope[: len(self._rule.kinds)])
        if (self._rule, values) not in self._taken:
            self._taken.add((self._rule, values))
            self._add(self._rule.operator(values))

    def _add(self, operator: Operator) -> None:
        known = self._same.setdefault((operator.needs, operator.changes), operator)
        if known is not operator:
            known.bindings += [each for each in operator.bindings if each not in known.bindings]
            return
        self.operators.append(operator)
        for (atom, positive), _ in operator.changes:
            if not positive:
                self._can_fail.add(atom)
            elif atom not in self._can_hold:
                self._can_hold[atom] = None
                self._by_predicate.setdefault(atom[0], []).append(atom)
                self._indexes.clear()

    def _close(self) -> None:
        """Collect the achievers of all preconditions that do not hold, or do not stay true."""
        followed: dict[Goal, tuple[int, int]] = {}
        for _ in range(MAX_ROUNDS):
            followed = dict.fromkeys(self._wanted(), (0, 0)) | followed
            settled = True
            for (atom, positive), before in followed.items():
                possible = (len(self._can_hold), len(self._can_fail))
                if before != possible:
                    settled = False
                    followed[atom, positive] = possible
                    for achiever in self._rules.achievers.get((atom[0], positive), ()):
                        self._follow(achiever, atom)
            if settled:
                return

    def _wanted(self) -> Iterable[Goal]:
        needed = dict.fromkeys(self.goals)
        achieved: set[Goal] = set()
        for operator in self.operators:
            needed |= dict.fromkeys(operator.needs)
            for change, condition in operator.changes:
                achieved.add(change)
                needed |= dict.fromkeys(condition)
        for goal in needed:
            atom, positive = goal
            if (atom in self.facts) != positive or ((atom, not positive) in achieved and goal not in achieved):
                yield goal

    def _follow(self, achiever: Achiever, atom: Atom) -> None:
        scope = achiever.conjunction.bind(achiever.terms, atom[1:])
        if scope is not None:
            self._rule = achiever.rule
            achiever.conjunction.enumerate(scope, achiever.bound, self, changing_first=True)


def shortest(collection: Collection, longest: int, budget: Budget) -> list[Operator] | None:
    """Return the shortest plan that only takes collected actions.

    Args:
        collection: The actions, the goals and the state.
        longest: Length of the longest plan that is wanted.
        budget: Counts the transitions that are tried.

    Returns:
        The actions in turn, or None if there is no such plan or the budget has gone.
    """
    bits = _bits(collection)
    first = sum(bit for atom, bit in bits.items() if atom in collection.facts)
    mask, value = _masks(collection.goals, bits)
    if first & mask == value:
        return []
    groups = _grouped(collection.operators, bits)
    came: dict[int, tuple[int, int]] = {first: (first, -1)}
    layer = [first]
    for _ in range(longest):
        following: list[int] = []
        for state in layer:
            for common, coded in groups:
                if state & common != common:
                    continue
                budget.left -= len(coded)
                for number, needed, wanted, clear, set_, conditional in coded:
                    if state & needed != wanted:
                        continue
                    if conditional:
                        clear, set_ = _conditional(state, clear, set_, conditional)
                    after = state & ~clear | set_
                    if after in came:
                        continue
                    came[after] = (state, number)
                    if after & mask == value:
                        return _trace(after, came, collection.operators)
                    following.append(after)
            if budget.left < 0:
                return None
        layer = following
    return None


_Coded = tuple[int, int, int, int, int, tuple[tuple[int, int, int, int], ...]]
"""Encoded action: number; mask and values of the precondition; bits cleared and set; conditional effects, each with
mask, values, bits cleared and set."""


def _bits(collection: Collection) -> dict[Atom, int]:
    """Give a bit to every atom that something asks for."""
    atoms = dict.fromkeys(atom for atom, _ in collection.goals)
    for operator in collection.operators:
        atoms |= dict.fromkeys(atom for atom, _ in operator.needs)
        for _, condition in operator.changes:
            atoms |= dict.fromkeys(atom for atom, _ in condition)
    return {atom: 1 << number for number, atom in enumerate(atoms)}


def _masks(goals: Iterable[Goal], bits: dict[Atom, int]) -> tuple[int, int]:
    mask = value = 0
    for atom, positive in goals:
        mask |= bits[atom]
        value |= bits[atom] if positive else 0
    return mask, value


def _grouped(operators: Sequence[Operator], bits: dict[Atom, int]) -> list[tuple[int, list[_Coded]]]:
    """Put actions together by an atom that they need and that most actions end, as being at a place is ended.

    Such an atom is false most of the time, and a search then passes over the whole group.
    """
    ended = Counter(atom for operator in operators for (atom, positive), _ in operator.changes if not positive)
    groups: dict[int, list[_Coded]] = {}
    for number, operator in enumerate(operators):
        needed = [atom for atom, positive in operator.needs if positive]
        common = bits[max(needed, key=lambda atom: ended[atom])] if needed else 0
        groups.setdefault(common, []).append((number, *_code(operator, bits)))
    return list(groups.items())


def _code(
    operator: Operator, bits: dict[Atom, int]
) -> tuple[int, int, int, int, tuple[tuple[int, int, int, int], ...]]:
    needed, wanted = _masks(operator.needs, bits)
    clear = set_ = 0
    conditional = []
    for (atom, positive), condition in operator.changes:
        bit = bits.get(atom, 0)
        if condition and bit:
            conditional.append((*_masks(condition, bits), 0 if positive else bit, bit if positive else 0))
        elif positive:
            set_ |= bit
        else:
            clear |= bit
    return needed, wanted, clear, set_, tuple(conditional)


def _conditional(
    state: int, clear: int, set_: int, conditional: Iterable[tuple[int, int, int, int]]
) -> tuple[int, int]:
    for needed, wanted, more_clear, more_set in conditional:
        if state & needed == wanted:
            clear |= more_clear
            set_ |= more_set
    return clear, set_


def _trace(state: int, came: dict[int, tuple[int, int]], operators: Sequence[Operator]) -> list[Operator]:
    steps = []
    while came[state][1] >= 0:
        state, number = came[state]
        steps.append(operators[number])
    return steps[::-1]
