"""Typed trees of PDDL: conditions, effects, actions, domains and problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from act_gym.errors import UnsupportedGameError

__all__ = [
    "Action",
    "And",
    "Condition",
    "Domain",
    "Effect",
    "Exists",
    "Fact",
    "Forall",
    "Literal",
    "Or",
    "Parameter",
    "Problem",
    "conjuncts",
    "negation",
    "unsupported",
]

Fact = tuple[str, ...]
"""The objects a predicate holds of, in order."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A typed variable; its name begins with a question mark."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A predicate, or its negation, of variables and objects; `=` is a predicate too."""

    predicate: str
    terms: tuple[str, ...]
    positive: bool = True


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """For some choice of the parameters."""

    parameters: tuple[Parameter, ...]
    body: Condition


@dataclass(frozen=True, slots=True)
class Forall:
    """For every choice of the parameters."""

    parameters: tuple[Parameter, ...]
    body: Condition


Condition = Literal | And | Or | Exists | Forall


@dataclass(frozen=True, slots=True)
class Effect:
    """A literal that becomes true for every choice of the parameters under which the condition held."""

    parameters: tuple[Parameter, ...]
    condition: Condition
    literal: Literal


@dataclass(frozen=True, slots=True)
class Action:
    """An action schema."""

    name: str
    parameters: tuple[Parameter, ...]
    precondition: Condition
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Domain:
    """Planning domain, shared by all games of a kind.

    Attributes:
        name: The domain's name.
        types: Every declared type with its parent; `object` is the root.
        constants: Objects of every game, with their types.
        predicates: Declared types of each predicate's arguments.
        actions: The action schemas that have an effect, by name.
    """

    name: str
    types: Mapping[str, str]
    constants: Mapping[str, str]
    predicates: Mapping[str, tuple[str, ...]]
    actions: Mapping[str, Action]

    def is_a(self, type_: str, ancestor: str) -> bool:
        """Return whether a type is equal to or below another one."""
        if ancestor == "object" or type_ == ancestor:
            return True
        for _ in self.types:
            type_ = self.types.get(type_, "object")
            if type_ == ancestor:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Problem:
    """Planning problem: objects with their types, initial facts, and goal."""

    objects: Mapping[str, str]
    facts: Mapping[str, tuple[Fact, ...]]
    goal: Condition


def unsupported(what: str) -> NoReturn:
    """Refuse a construct by name.

    Raises:
        UnsupportedGameError: Always.
    """
    raise UnsupportedGameError(
        f'The native ALFWorld engine does not play games with {what}. Play it with engine="textworld".'
    )


def negation(condition: Condition) -> Condition:
    """Return the opposite of a condition, in negation normal form."""
    match condition:
        case Literal(predicate, terms, positive):
            return Literal(predicate, terms, not positive)
        case And(parts):
            return Or(tuple(map(negation, parts)))
        case Or(parts):
            return And(tuple(map(negation, parts)))
        case Exists(parameters, body):
            return Forall(parameters, negation(body))
        case Forall(parameters, body):
            return Exists(parameters, negation(body))


def conjuncts(condition: Condition) -> tuple[tuple[Parameter, ...], list[Condition]]:
    """Return the parts of a conjunction, nested ones and those below `exists` included.

    Returns:
        The parameters that `exists` declared, and the parts that must all hold.
    """
    match condition:
        case And(parts):
            parameters: tuple[Parameter, ...] = ()
            found: list[Condition] = []
            for part in parts:
                more, inner = conjuncts(part)
                parameters += more
                found += inner
            return parameters, found
        case Exists(declared, body):
            more, inner = conjuncts(body)
            return declared + more, inner
    return (), [condition]
