"""Operators of the planner: actions and goal as conjunctions, with the achievers of each fact.

Everything comes from the game's own domain. Alternatives beyond a limit are dropped: the planner may then miss a plan,
but returns no wrong one, because it plays the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain, islice, product
from typing import TypeVar

from act_gym.engines.alfworld.compiler.domain import Binding
from act_gym.engines.alfworld.game import Game
from act_gym.engines.alfworld.language.pddl import (
    Action,
    And,
    Condition,
    Exists,
    Forall,
    Literal,
    Or,
    Parameter,
    conjuncts,
)
from act_gym.engines.alfworld.planner.grounding import Atom, Conjunction, World

__all__ = ["Achiever", "Goal", "Operator", "Rule", "Rules", "rules_of"]

MAX_ALTERNATIVES = 64
"""Ways to make one condition true that are looked at."""

MAX_COPIES = 20_000
"""Choices of objects that all of a game's `forall` together are written out for."""

GAMES_KEPT = 32
"""Games whose rules are kept. More would be a burden to Python's garbage collection, which goes through all of it."""

_T = TypeVar("_T")

Goal = tuple[Atom, bool]
"""An atom, and whether it must hold."""


@dataclass(frozen=True, slots=True)
class Change:
    """Conditional effect of an action."""

    literal: Literal
    condition: tuple[Literal, ...]


@dataclass(slots=True, eq=False)
class Operator:
    """Grounded action: its preconditions and effects.

    Attributes:
        bindings: The actions with these preconditions and effects; they differ in objects that only occur in the text.
        needs: The preconditions.
        changes: The effects, with conditions.
    """

    bindings: list[Binding]
    needs: tuple[Goal, ...]
    changes: tuple[tuple[Goal, tuple[Goal, ...]], ...]


class Rule:
    """One disjunct of an action's precondition.

    Args:
        world: The static facts.
        number: The action's number.
        action: The action.
        kinds: All variables with their types, the action's parameters first.
        needs: The preconditions.
        changes: The effects.
    """

    def __init__(
        self,
        world: World,
        number: int,
        action: Action,
        kinds: Mapping[str, str],
        needs: tuple[Literal, ...],
        changes: tuple[Change, ...],
    ) -> None:
        self.number = number
        self.kinds = kinds
        self.needs = needs
        self.changes = changes
        self._world = world
        self._width = len(action.parameters)
        self._whole = Conjunction(world, kinds, (*needs, *(part for each in changes for part in _parts(each))))
        self._needs = [(self._whole.atom(each), each.positive) for each in needs if each.predicate in world.fluents]
        self._changes = [
            (
                self._whole.atom(change.literal),
                change.literal.positive,
                [(self._whole.atom(each), each.positive, each.predicate) for each in change.condition],
            )
            for change in changes
        ]

    def operator(self, values: Sequence[str]) -> Operator:
        """Return the action with its variables' objects, in the variables' order."""
        scope = self._whole.scope()
        scope[: len(values)] = values
        changes = []
        for atom, positive, condition in self._changes:
            asked: list[Goal] = []
            for part, wanted, predicate in condition:
                found = part(scope)
                if predicate in self._world.fluents:
                    asked.append((found, wanted))
                elif self._holds(found) != wanted:
                    break
            else:
                changes.append(((atom(scope), positive), tuple(asked)))
        return Operator(
            bindings=[(self.number, *values[: self._width])],
            needs=tuple(dict.fromkeys((atom(scope), positive) for atom, positive in self._needs)),
            changes=tuple(changes),
        )

    def _holds(self, atom: Atom) -> bool:
        return atom[1] == atom[2] if atom[0] == "=" else atom in self._world.atoms


class Achiever:
    """A rule, and the change of it that makes some literal true."""

    def __init__(self, world: World, rule: Rule, change: Change) -> None:
        self.rule = rule
        self.terms = change.literal.terms
        self.bound = frozenset(term for term in self.terms if term in rule.kinds)
        self._world = world
        self._condition = change.condition

    @cached_property
    def conjunction(self) -> Conjunction:
        """The condition of the effect."""
        return Conjunction(self._world, self.rule.kinds, (*self.rule.needs, *self._condition))


@dataclass(slots=True)
class Rules:
    """Rules of a game.

    Attributes:
        world: The static facts.
        goals: The disjuncts of its goal.
        achievers: The effects that make a predicate true, or false.
        complete: Whether no alternative was dropped.
    """

    world: World
    goals: list[Conjunction] = field(default_factory=list)
    achievers: dict[tuple[str, bool], list[Achiever]] = field(default_factory=dict)
    complete: bool = True


@lru_cache(maxsize=GAMES_KEPT)
def rules_of(game: Game) -> Rules:
    """Return a game's rules; those of the last few games are kept."""
    domain = game.logic.domain
    fluents = {effect.literal.predicate for action in domain.actions.values() for effect in action.effects}
    world = World(
        objects={kind: game.of_type(kind) for kind in ("object", *domain.types, *domain.types.values())},
        declared=domain.predicates,
        is_a=domain.is_a,
        fluents=fluents,
        facts=game.first_facts,
    )
    writer = _Writer(world)
    rules = Rules(world)
    named = {f"?goal.{number}": name for number, name in enumerate(game.goal_objects)}
    for parameters, literals in writer.alternatives(_replaced(game.logic.goal, named)):
        rules.goals.append(Conjunction(world, {each.name: each.type for each in parameters}, literals))
    for number, action in enumerate(domain.actions.values()):
        changes = tuple(writer.changes(action))
        for parameters, literals in writer.alternatives(action.precondition):
            variables = {each.name: each.type for each in (*action.parameters, *parameters)}
            rule = Rule(world, number, action, variables, literals, changes)
            for change in changes:
                key = (change.literal.predicate, change.literal.positive)
                rules.achievers.setdefault(key, []).append(Achiever(world, rule, change))
    rules.complete = writer.complete
    return rules


class _Writer:
    """Expands conditions, within bounds.

    Attributes:
        complete: Whether no alternative was dropped.
    """

    def __init__(self, world: World) -> None:
        self.complete = True
        self._world = world
        self._copies = MAX_COPIES

    def changes(self, action: Action) -> Iterator[Change]:
        """Yield what an action does; `forall` is written out."""
        for effect in action.effects:
            for values in self._choices(effect.parameters):
                literal = _replaced(effect.literal, values)
                assert isinstance(literal, Literal)
                condition = self._written_out(_replaced(effect.condition, values))
                yield from (Change(literal, literals) for _, literals in self.alternatives(condition))

    def alternatives(self, condition: Condition) -> list[tuple[tuple[Parameter, ...], tuple[Literal, ...]]]:
        """Return conjunctions of which one must hold, with the parameters that `exists` declared in them."""
        declared, found = conjuncts(condition)
        parts: list[Condition] = []
        for part in found:
            parts += conjuncts(self._written_out(part))[1] if isinstance(part, Forall) else [part]
        literals = tuple(part for part in parts if isinstance(part, Literal))
        choices = [
            self._first(chain.from_iterable(self.alternatives(each) for each in part.parts))
            for part in parts
            if isinstance(part, Or)
        ]
        return [
            (
                (*declared, *(each for parameters, _ in choice for each in parameters)),
                (*literals, *(each for _, inner in choice for each in inner)),
            )
            for choice in self._first(product(*choices))
        ]

    def _written_out(self, condition: Condition) -> Condition:
        """Return a condition in which a disjunction over all objects replaces `exists`."""
        match condition:
            case Literal():
                return condition
            case And(parts):
                return And(tuple(map(self._written_out, parts)))
            case Or(parts):
                return Or(tuple(map(self._written_out, parts)))
            case Exists(parameters, body) | Forall(parameters, body):
                copies = tuple(self._written_out(_replaced(body, values)) for values in self._choices(parameters))
                return Or(copies) if isinstance(condition, Exists) else And(copies)

    def _choices(self, parameters: Sequence[Parameter]) -> Iterator[dict[str, str]]:
        names = [each.name for each in parameters]
        for values in product(*(self._world.objects(each.type) for each in parameters)):
            self._copies -= 1
            if self._copies < 0:
                self.complete = False
                return
            yield dict(zip(names, values, strict=True))

    def _first(self, found: Iterable[_T]) -> list[_T]:
        kept = list(islice(found, MAX_ALTERNATIVES + 1))
        if len(kept) > MAX_ALTERNATIVES:
            self.complete = False
        return kept[:MAX_ALTERNATIVES]


def _replaced(condition: Condition, values: Mapping[str, str]) -> Condition:
    match condition:
        case Literal(predicate, terms, positive):
            return Literal(predicate, tuple(values.get(term, term) for term in terms), positive)
        case And(parts):
            return And(tuple(_replaced(part, values) for part in parts))
        case Or(parts):
            return Or(tuple(_replaced(part, values) for part in parts))
        case Exists(parameters, body):
            return Exists(parameters, _replaced(body, values))
        case Forall(parameters, body):
            return Forall(parameters, _replaced(body, values))


def _parts(change: Change) -> tuple[Literal, ...]:
    return (change.literal, *change.condition)
