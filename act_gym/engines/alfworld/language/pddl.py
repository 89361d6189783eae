"""Typed trees and parser of the PDDL in ALFWorld's game files.

The subset is that of Fast Downward's translator for domains without derived predicates and numbers: typed parameters,
`and`, `or`, `not`, `imply`, `exists`, `forall` and `=` in conditions, `and`, `forall` and `when` in effects, action
costs (ignored: a game does not depend on them). Its visible behaviour is kept: everything is lower case, an undeclared
type has no objects, and every type is below `object`, also one that is itself called `object`.

Conditions are converted to negation normal form, with a unique name for every quantified variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NoReturn

from act_gym.errors import CorruptDataError, UnsupportedGameError

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
    "parse_domain",
    "parse_problem",
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


MAX_CHARACTERS = 4_000_000
MAX_DEPTH = 60
MAX_OBJECTS = 5_000
MAX_FACTS = 200_000

_COMMENT = re.compile(r";[^\n]*")


def parse_domain(text: str) -> Domain:
    """Read a domain.

    Raises:
        CorruptDataError: It is no PDDL domain.
        UnsupportedGameError: It holds a construct that the native engine does not play.
    """
    with _Reading("domain"):
        sections = _sections(text, "domain")
        name = sections[0][1]
        fields = {entry[0]: entry[1:] for entry in sections[1:] if entry[0] != ":action"}
        for field in fields:
            if field not in (":requirements", ":types", ":constants", ":predicates", ":functions"):
                unsupported(f"the PDDL section {field}")
        types = dict(_typed(fields.get(":types", [])))
        predicates = {entry[0]: tuple(kind for _, kind in _typed(entry[1:])) for entry in fields[":predicates"]}
        reader = _Conditions(predicates, types)
        actions = [_action(entry, reader) for entry in sections[1:] if entry[0] == ":action"]
        return Domain(
            name=name,
            types=types,
            constants=dict(_typed(fields.get(":constants", []))),
            predicates=predicates,
            actions={action.name: action for action in actions if action.effects},
        )


def parse_problem(text: str, domain: Domain) -> Problem:
    """Read a problem of a domain.

    Raises:
        CorruptDataError: It is no PDDL problem, or one of another domain.
        UnsupportedGameError: It holds a construct that the native engine does not play.
    """
    with _Reading("problem"):
        fields = {entry[0]: entry[1:] for entry in _sections(text, "problem")}
        if fields[":domain"] != [domain.name]:
            raise ValueError(f"it is of the domain {fields[':domain'][0]}, not {domain.name}")
        declared = [*domain.constants.items(), *_typed(fields.get(":objects", []))]
        objects = dict(declared)
        if len(objects) != len(declared):
            raise ValueError("an object is declared twice")
        if len(objects) > MAX_OBJECTS:
            unsupported(f"{len(objects):,} objects (at most {MAX_OBJECTS:,})")
        for name in objects:
            if "{" in name or "}" in name:
                unsupported(f"braces in the name of an object, {name[:60]!r}")
        goal = _Conditions(domain.predicates, domain.types).read(fields[":goal"][0], {})
        return Problem(objects=objects, facts=_facts(fields[":init"], objects, domain), goal=goal)


class _Reading:
    """Converts parse failures to errors with their position."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, cause: BaseException | None, trace: Any) -> None:
        if isinstance(cause, KeyError):
            raise CorruptDataError(f"The game's PDDL {self._what} lacks {cause}.") from cause
        if isinstance(cause, ValueError | TypeError | IndexError):
            raise CorruptDataError(f"The game's PDDL {self._what} cannot be read: {cause}.") from cause


def _sections(text: str, what: str) -> list[Any]:
    tree = _tree(text)
    if len(tree) < 2 or tree[0] != "define" or not isinstance(tree[1], list) or tree[1][:1] != [what]:
        raise ValueError(f"expected (define ({what} …) …)")
    if not all(isinstance(entry, list) and entry for entry in tree[1:]):
        raise ValueError("every section is a list that begins with its name")
    return tree[1:]


def _tree(text: str) -> list[Any]:
    """Nest parentheses; the depth is bounded, without recursion."""
    if len(text) > MAX_CHARACTERS:
        unsupported(f"{len(text):,} characters of PDDL (at most {MAX_CHARACTERS:,})")
    plain = _COMMENT.sub("", text)
    if not plain.isascii():
        raise ValueError("it has characters outside ASCII")
    words = plain.lower().replace("(", " ( ").replace(")", " ) ").replace("?", " ?").split()
    open_lists: list[list[Any]] = [[]]
    for word in words:
        if word == "(":
            fresh: list[Any] = []
            open_lists[-1].append(fresh)
            open_lists.append(fresh)
            if len(open_lists) > MAX_DEPTH:
                unsupported(f"parentheses nested deeper than {MAX_DEPTH}")
        elif word == ")":
            open_lists.pop()
            if not open_lists:
                raise ValueError("a parenthesis closes that nothing opened")
        else:
            open_lists[-1].append(word)
    if len(open_lists) != 1 or len(open_lists[0]) != 1 or not isinstance(open_lists[0][0], list):
        raise ValueError("its parentheses do not match")
    return open_lists[0][0]


def _typed(entries: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Read `a b - kind c`; what has no kind is an `object`."""
    waiting: list[str] = []
    position = 0
    while position < len(entries):
        entry = entries[position]
        if not isinstance(entry, str):
            unsupported(f"the type {' '.join(map(str, entry))[:60]}")
        if entry == "-":
            kind = entries[position + 1]
            if not isinstance(kind, str):
                unsupported(f"the type ({' '.join(map(str, kind))[:60]})")
            yield from ((name, kind) for name in waiting)
            waiting = []
            position += 1
        else:
            waiting.append(entry)
        position += 1
    yield from ((name, "object") for name in waiting)


def _facts(entries: Sequence[Any], objects: Mapping[str, str], domain: Domain) -> dict[str, tuple[Fact, ...]]:
    if len(entries) > MAX_FACTS:
        unsupported(f"{len(entries):,} initial facts (at most {MAX_FACTS:,})")
    found: dict[str, dict[Fact, None]] = {}
    for predicate, *terms in entries:
        if predicate == "=":
            _check_value(terms)
        elif predicate == "not":
            if tuple(terms[0][1:]) in found.get(terms[0][0], ()):
                raise ValueError(f"{terms[0]} both holds and does not")
        elif predicate not in domain.predicates:
            raise ValueError(f"there is no predicate {predicate}")
        elif len(terms) != len(domain.predicates[predicate]):
            raise ValueError(f"{predicate} takes {len(domain.predicates[predicate])} arguments, not {len(terms)}")
        else:
            found.setdefault(predicate, {})[tuple(terms)] = None
    for facts in found.values():
        for fact in facts:
            for name in fact:
                if name not in objects:
                    raise ValueError(f"there is no object {name}")
    return {predicate: tuple(facts) for predicate, facts in found.items()}


def _check_value(terms: Sequence[Any]) -> None:
    """Read over `(= (distance a b) 3)`: nothing in a game depends on numbers."""
    _, value = terms
    if not float(value).is_integer():
        raise ValueError(f"the value {value} is no whole number")


def _action(entry: Sequence[Any], reader: _Conditions) -> Action:
    _, name, *rest = entry
    fields = dict(zip(rest[::2], rest[1::2], strict=True))
    unknown = set(fields) - {":parameters", ":precondition", ":effect"}
    if unknown:
        unsupported(f"{', '.join(sorted(unknown))} in the action {name}")
    parameters = tuple(Parameter(variable, kind) for variable, kind in _typed(fields.get(":parameters", [])))
    if not all(parameter.name.startswith("?") for parameter in parameters):
        raise ValueError(f"the parameters of {name} are not all variables")
    scope = {parameter.name: parameter.name for parameter in parameters}
    precondition = fields.get(":precondition") or ["and"]
    effects: list[Effect] = []
    if fields.get(":effect"):
        for effect in reader.effects(fields[":effect"], scope, (), And(())):
            _add(effect, effects)
    return Action(name, parameters, reader.read(precondition, scope), tuple(effects))


def _add(effect: Effect, effects: list[Effect]) -> None:
    """Where a literal is both added and deleted under the same condition, it is added."""
    literal = effect.literal
    opposite = Effect(
        effect.parameters, effect.condition, Literal(literal.predicate, literal.terms, not literal.positive)
    )
    if opposite not in effects:
        effects.append(effect)
    elif literal.positive:
        effects.remove(opposite)
        effects.append(effect)


class _Conditions:
    """Parses conditions and effects, and gives every quantified variable a unique name."""

    def __init__(self, predicates: Mapping[str, tuple[str, ...]], types: Mapping[str, str]) -> None:
        self._arity = {name: len(kinds) for name, kinds in predicates.items()} | {"=": 2}
        self._types = types
        self._fresh = count(1)

    def read(self, entry: Any, scope: Mapping[str, str]) -> Condition:
        match entry:
            case ["and", *parts]:
                return And(tuple(self.read(part, scope) for part in parts))
            case ["or", *parts]:
                return Or(tuple(self.read(part, scope) for part in parts))
            case ["not", part]:
                return negation(self.read(part, scope))
            case ["imply", first, second]:
                return Or((negation(self.read(first, scope)), self.read(second, scope)))
            case ["exists", list(declared), body]:
                parameters, inner = self._declare(declared, scope)
                return Exists(parameters, self.read(body, inner))
            case ["forall", list(declared), body]:
                parameters, inner = self._declare(declared, scope)
                return Forall(parameters, self.read(body, inner))
        return self._literal(entry, scope)

    def effects(
        self, entry: Any, scope: Mapping[str, str], parameters: tuple[Parameter, ...], condition: Condition
    ) -> Iterator[Effect]:
        match entry:
            case ["and", *parts]:
                for part in parts:
                    yield from self.effects(part, scope, parameters, condition)
            case ["increase", ["total-cost"], _]:
                return
            case ["forall", list(declared), body]:
                more, inner = self._declare(declared, scope)
                yield from self.effects(body, inner, parameters + more, condition)
            case ["when", given, body]:
                yield from self.effects(body, scope, parameters, And((condition, self.read(given, scope))))
            case ["not", part]:
                literal = self._literal(part, scope)
                yield Effect(parameters, condition, Literal(literal.predicate, literal.terms, positive=False))
            case _:
                yield Effect(parameters, condition, self._literal(entry, scope))

    def _declare(
        self, declared: Sequence[Any], scope: Mapping[str, str]
    ) -> tuple[tuple[Parameter, ...], dict[str, str]]:
        inner = dict(scope)
        parameters = []
        for name, kind in _typed(declared):
            inner[name] = f"{name}.{next(self._fresh)}"
            parameters.append(Parameter(inner[name], kind))
        return tuple(parameters), inner

    def _literal(self, entry: Any, scope: Mapping[str, str]) -> Literal:
        if not isinstance(entry, list) or not entry or not all(isinstance(term, str) for term in entry):
            unsupported(f"the PDDL expression {str(entry)[:80]}")
        predicate, *terms = entry
        if predicate not in self._arity:
            kind = "the type used as a predicate" if predicate in self._types else "the PDDL construct"
            unsupported(f"{kind} {predicate[:60]!r}")
        if len(terms) != self._arity[predicate]:
            raise ValueError(f"{predicate} takes {self._arity[predicate]} arguments, not {len(terms)}")
        free = [term for term in terms if term.startswith("?") and term not in scope]
        if free:
            raise ValueError(f"the variable {free[0]} of {predicate} is declared nowhere")
        return Literal(predicate, tuple(scope.get(term, term) for term in terms))
