"""Planning heuristic: the number of actions to make a condition true if no fact is ever deleted.

The estimate is a set of actions, so an action shared by two goals counts once (after the FF heuristic of Hoffmann and
Nebel, 2001). It is computed backwards from the goal. It ranks, but it is not a bound.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from heapq import heappush, heapreplace

from act_gym.engines.alfworld.planner.grounding import Atom, Conjunction, Scope
from act_gym.engines.alfworld.planner.operators import Achiever, Goal, Operator, Rule, Rules

__all__ = ["Candidate", "Relaxed", "ends"]

MAX_DEPTH = 40

MAX_TIES = 3
"""Ways as small as the smallest one that are kept for each literal."""

_NEVER = 1 << 30


@dataclass(frozen=True, slots=True)
class Candidate:
    """Literals that together win, with the actions that the estimate takes for them."""

    goals: tuple[Goal, ...]
    steps: int

    @property
    def size(self) -> int:
        """How many actions that is."""
        return self.steps.bit_count()


class Relaxed:
    """Estimator for one state.

    Args:
        rules: The game's rules.
        facts: The fluent facts that hold.
        budget: The largest number of estimates; later ones find nothing.
        kept: Facts that no action may delete.

    Attributes:
        complete: Whether an impossible result is proven, and not only beyond the budget.
    """

    def __init__(self, rules: Rules, facts: frozenset[Atom], budget: int, kept: frozenset[Goal] = frozenset()) -> None:
        self.complete = rules.complete
        self.kept = kept
        self._budget = budget
        self._rules = rules
        self._facts = facts
        self._by_predicate: dict[str, list[Atom]] = {}
        for atom in sorted(facts):
            self._by_predicate.setdefault(atom[0], []).append(atom)
        self._known: dict[Goal, int | None] = {}
        self._ties: dict[Goal, list[int]] = {}
        self._open: dict[Goal, int] = {}
        self._cut = _NEVER
        self._numbers: dict[tuple[Rule, tuple[str, ...]], int] = {}
        self._operators: list[tuple[Rule, tuple[str, ...]]] = []

    def candidates(self, number: int) -> list[Candidate]:
        """Return the goals' choices of objects with the smallest estimates, smallest first; ties in a fixed order."""
        best = _Best(self, number)
        for goal in self._rules.goals:
            best.choose(goal)
        return best.ranked()

    def all_of(self, goals: Iterable[Goal]) -> int | None:
        """Return a small set of actions that makes literals true, or None if nothing can."""
        together = 0
        for atom, positive in goals:
            steps = self.steps(atom, positive)
            if steps is None:
                return None
            together |= steps
        return together

    def operators(self, steps: int) -> list[Operator]:
        """Return the actions of an estimate, and those that would do as well in their place."""
        found: dict[int, Operator] = {}
        waiting = [steps]
        while waiting:
            bits = waiting.pop()
            while bits:
                number = (bits & -bits).bit_length() - 1
                bits &= bits - 1
                if number not in found:
                    rule, values = self._operators[number]
                    found[number] = operator = rule.operator(values)
                    waiting += [other for need in operator.needs for other in self._ties.get(need, ())]
        return [found[number] for number in sorted(found)]

    def holds(self, atom: Atom, positive: bool) -> bool:
        """Return whether a literal is true now."""
        return (atom in self._facts) == positive

    def steps(self, atom: Atom, positive: bool) -> int | None:
        """Return a small set of actions that makes a literal true, or None if nothing can."""
        if self.holds(atom, positive):
            return 0
        goal = (atom, positive)
        if goal in self._known:
            return self._known[goal]
        if goal in self._open:
            self._cut = min(self._cut, self._open[goal])
            return None
        self._budget -= 1
        if self._budget < 0 or len(self._open) >= MAX_DEPTH:
            self.complete = False
            self._cut = -1
            return None
        depth = self._open[goal] = len(self._open)
        outer, self._cut = self._cut, _NEVER
        cheapest = _Cheapest(self)
        for achiever in self._rules.achievers.get((atom[0], positive), ()):
            cheapest.try_(achiever, atom)
        del self._open[goal]
        if cheapest.best is not None or self._cut >= depth:
            self._known[goal] = cheapest.best  # otherwise only a goal further out stood in the way
            self._ties[goal] = cheapest.ties
        self._cut = min(outer, self._cut if self._cut < depth else _NEVER)
        return cheapest.best

    def bit(self, rule: Rule, values: tuple[str, ...]) -> int:
        """Return the bit of an action."""
        number = self._numbers.setdefault((rule, values), len(self._operators))
        if number == len(self._operators):
            self._operators.append((rule, values))
        return 1 << number

    def values(self, known: Atom, position: int, places: tuple[int, ...], kind: str) -> Iterable[str]:
        """Offer what holds now first, then every object of the type."""
        now = dict.fromkeys(
            atom[position]
            for atom in self._by_predicate.get(known[0], ())
            if all(atom[place] == value for place, value in zip(places, known, strict=True))
        )
        members = self._rules.world.members(kind)
        yield from (value for value in now if value in members)
        yield from (value for value in self._rules.world.objects(kind) if value not in now)


def ends(operator: Operator, goals: Collection[Goal]) -> bool:
    """Return whether an action may make one of some literals false."""
    return any((atom, not positive) in goals for (atom, positive), _ in operator.changes)


class _Choice:
    """Judge that requests estimates, and stops once a choice cannot be better than the limit."""

    def __init__(self, relaxed: Relaxed) -> None:
        self.values = relaxed.values
        self.limit = _NEVER
        self._relaxed = relaxed

    def steps(self, atom: Atom, positive: bool) -> int | None:
        if self.limit <= 1:  # nothing that takes an action is small enough
            return 0 if self._relaxed.holds(atom, positive) else None
        return self._relaxed.steps(atom, positive)

    def enough(self, steps: int) -> bool:
        return steps.bit_count() >= self.limit


class _Cheapest(_Choice):
    """Takes the smallest way to make one literal true."""

    def __init__(self, relaxed: Relaxed) -> None:
        super().__init__(relaxed)
        self.best: int | None = None
        self.ties: list[int] = []
        self._rule: Rule | None = None

    def try_(self, achiever: Achiever, atom: Atom) -> None:
        scope = achiever.conjunction.bind(achiever.terms, atom[1:])
        if scope is not None:
            self._rule = achiever.rule
            achiever.conjunction.enumerate(scope, achiever.bound, self)

    def found(self, scope: Scope, steps: int) -> None:
        assert self._rule is not None
        values = tuple(scope[: len(self._rule.kinds)])
        if self._relaxed.kept and ends(self._rule.operator(values), self._relaxed.kept):
            return
        found = steps | self._relaxed.bit(self._rule, values)
        size = found.bit_count()
        if self.best is None or size < self.best.bit_count():
            self.best, self.ties = found, []
            self.limit = size  # with its own action, the next one may be as small
        elif size == self.best.bit_count():
            self.ties.append(found)
            if len(self.ties) == MAX_TIES:
                self.limit = size - 1


class _Best(_Choice):
    """Keeps the smallest choices of a goal's objects."""

    def __init__(self, relaxed: Relaxed, number: int) -> None:
        super().__init__(relaxed)
        self._number = number
        self._kept: list[tuple[int, int, Candidate]] = []
        self._seen: set[frozenset[Goal]] = set()
        self._goal: Conjunction | None = None

    def choose(self, goal: Conjunction) -> None:
        self._goal = goal
        self._atoms = [(goal.atom(literal), literal.positive) for literal in goal.changing]
        goal.enumerate(goal.scope(), (), self)

    def found(self, scope: Scope, steps: int) -> None:
        goals = tuple(dict.fromkeys((atom(scope), positive) for atom, positive in self._atoms))
        if frozenset(goals) in self._seen:
            return  # the same objects, in each other's place
        self._seen.add(frozenset(goals))
        candidate = Candidate(goals, steps)
        entry = (-candidate.size, -len(self._seen), candidate)
        if len(self._kept) < self._number:
            heappush(self._kept, entry)
        else:
            heapreplace(self._kept, entry)  # it is smaller than the largest: `enough` saw to that
        if len(self._kept) == self._number:
            self.limit = -self._kept[0][0]

    def ranked(self) -> list[Candidate]:
        return [candidate for _, _, candidate in sorted(self._kept, reverse=True)]
