"""Compiles the grammar: every text the game shows becomes a function of a state and some objects.

A rule can use the objects bound at its reference, so it is compiled once for each set of bound variables. Queries list
facts in the order of their objects and bind different variables to different objects, as upstream's do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from act_gym.engines.alfworld.compiler.codegen import STATE, Body, Source
from act_gym.engines.alfworld.compiler.queries import Joins
from act_gym.engines.alfworld.language.grammar import (
    Atom,
    Concatenation,
    Constant,
    Expression,
    Field,
    FirstTrue,
    Grammar,
    Listing,
    Production,
    Query,
    Reference,
    Spread,
    Symbol,
    Text,
    Variable,
)
from act_gym.engines.alfworld.language.pddl import unsupported

__all__ = ["Bound", "Texts", "constant_text"]

Placeholder = tuple[str, str]
"""A variable's name and type."""

Bound = tuple[tuple[Placeholder, str], ...]
"""Bound variables in the order they were bound, with what generated code calls them."""

MAX_DEPTH = 30
"""How deep rules may refer to rules."""


def constant_text(productions: Sequence[Production]) -> str | None:
    """Return the text of a rule that always says the same, or None."""
    if len(productions) != 1 or productions[0].condition:
        return None
    symbols = productions[0].symbols
    return (
        "".join(symbol.text for symbol in symbols if isinstance(symbol, Text))
        if all(isinstance(symbol, Text) for symbol in symbols)
        else None
    )


class Texts:
    """Compiles a grammar's texts to functions.

    Args:
        grammar: The rules.
        constants: Rules whose text is part of each game (`game.texts`).
        joins: Compiles the queries.
        source: Collects the functions.
    """

    def __init__(self, grammar: Grammar, constants: frozenset[str], joins: Joins, source: Source) -> None:
        self._rules = grammar.rules
        self._constants = constants
        self._joins = joins
        self._source = source
        self._functions: dict[tuple[str, tuple[Placeholder, ...]], str] = {}
        self._open: list[tuple[str, tuple[Placeholder, ...]]] = []
        self.queried: set[str] = set()

    def template(self, symbols: Iterable[Symbol], bound: Bound) -> str:
        """Return an expression for the text of a template."""
        return " + ".join(self._symbol(symbol, bound) for symbol in symbols) or "''"

    def _symbol(self, symbol: Symbol, bound: Bound) -> str:
        match symbol:
            case Text(text):
                return repr(text)
            case Reference(rule):
                return self._rule(rule, bound)
            case Spread(item, ()) | Listing(Spread(item, ())):
                return self._item(item, bound)
            case Spread(item, query):
                return self._several(item, query, bound, listed=False)
            case Listing(Spread(item, query)):
                return self._several(item, query, bound, listed=True)
        raise AssertionError(symbol)

    def _item(self, item: Reference | Expression, bound: Bound) -> str:
        return self._rule(item.rule, bound) if isinstance(item, Reference) else self._expression(item, bound)

    def _expression(self, expression: Expression, bound: Bound) -> str:
        match expression:
            case Constant(text):
                return repr(text)
            case Concatenation(parts):
                return " + ".join(self._expression(part, bound) for part in parts)
            case FirstTrue(options):
                return "(" + " or ".join(self._expression(option, bound) for option in options) + ")"
            case Field(variable, name):
                return self._field(variable, name, bound)
        raise AssertionError(expression)

    def _field(self, variable: str, name: str, bound: Bound) -> str:
        values = [value for (known, _), value in bound if known == variable]
        if not values:
            return f"missing({f'the variable {variable}'!r})"
        fields = {
            "name": f"names[{values[-1]}]",
            "id": values[-1],
            "type": f"game.types[{values[-1]}]",
            "definite": "'the'",
            "indefinite": "'a'",
        }
        return fields[name]

    def _rule(self, rule: str, bound: Bound) -> str:
        if rule in self._constants:
            return f"game.texts[{rule!r}]"
        if rule not in self._rules:
            return f"missing({f'the rule #{rule}#'!r})"
        key = (rule, tuple(placeholder for placeholder, _ in bound))
        if key in self._open:
            unsupported(f"the grammar rule #{rule[:60]}#, which refers to itself")
        if len(self._open) >= MAX_DEPTH:
            unsupported(f"grammar rules that refer to each other deeper than {MAX_DEPTH}")
        if key not in self._functions:
            self._open.append(key)
            self._functions[key] = self._write(rule, key[1])
            self._open.pop()
        return f"{self._functions[key]}({', '.join((STATE, *(value for _, value in bound)))})"

    def _write(self, rule: str, placeholders: Sequence[Placeholder]) -> str:
        name = self._source.name("text")
        arguments = [self._source.name(kind) for kind, _ in placeholders]
        bound = tuple(zip(placeholders, arguments, strict=True))
        body = Body(name, arguments)
        body.line("names = game.names")
        for production in self._rules[rule]:
            with ExitStack() as blocks:
                if self._choose(body, blocks, production.condition, bound) is not None:
                    body.line(f"return {self.template(production.symbols, bound)}")
            if not production.condition:
                break
        else:
            body.line(f"return missing({f'an applicable production of #{rule}#'!r})")
        self._source.add(body)
        return name

    def _several(self, item: Reference | Expression, query: Query, bound: Bound, *, listed: bool) -> str:
        """Return an expression for one text for each match of a query, joined as a list or not at all."""
        if all(self._is_fact(atom, bound) for atom in query):
            tests = " and ".join(f"{self._fact(atom, bound)}" for atom in query)
            otherwise = self._rule("list_empty", bound) if listed else "''"
            return f"({self._item(item, bound)} if {tests} else {otherwise})"
        name = self._source.name("list")
        arguments = [self._source.name(kind) for (kind, _), _ in bound]
        inner = tuple((placeholder, value) for (placeholder, _), value in zip(bound, arguments, strict=True))
        body = Body(name, arguments)
        body.line("names = game.names")
        body.line("parts = []")
        with ExitStack() as blocks:
            found = self._choose(body, blocks, query, inner)
            if found is not None:
                body.line(f"parts.append({self._item(item, found)})")
        if listed:
            body.line("if len(parts) == 1: return parts[0]")
            body.line(f"if not parts: return {self._rule('list_empty', inner)}")
            body.line(
                f"return ({self._rule('list_separator', inner)}).join(parts[:-1])"
                f" + {self._rule('list_last_separator', inner)} + parts[-1]"
            )
        else:
            body.line("return ''.join(parts)")
        self._source.add(body)
        return f"{name}({', '.join((STATE, *(value for _, value in bound)))})"

    def _choose(self, body: Body, blocks: ExitStack, query: Query, bound: Bound) -> Bound | None:
        """Write loops over the matches of a query; return the variables bound inside, or None if nothing can match."""
        for atom in query:
            found = self._choose_atom(body, blocks, atom, bound)
            if found is None:
                return None
            bound = found
        return bound

    def _choose_atom(self, body: Body, blocks: ExitStack, atom: Atom, bound: Bound) -> Bound | None:
        predicate = atom.predicate
        declared = self._declared(predicate)
        if declared is None or len(declared) != len(atom.arguments):
            return None  # no fact has this name or this many arguments
        self.queried.add(predicate)
        if self._is_fact(atom, bound):
            blocks.enter_context(body.block(f"if {self._fact(atom, bound)}"))
            return bound
        known = dict(bound)
        values = [known.get((argument.name, argument.type)) for argument in atom.arguments]
        over, table = self._joins.choices(lambda given: self._joins.layout.name(predicate, given), values, ordered=True)
        targets, tests = [], []
        for position, (argument, value) in enumerate(zip(atom.arguments, values, strict=True)):
            if value is not None:
                continue
            name = self._source.name(argument.name)
            targets.append(name)
            placeholder = (argument.name, argument.type)
            if placeholder in known:  # twice in one atom
                tests.append(f"{name} == {known[placeholder]}")
                continue
            tests += [f"{name} != {other}" for other in self._may_equal(argument, bound)]
            if self._needs_guard(predicate, position, argument.type):
                tests.append(f"game.is_a({name}, {argument.type!r})")
            known[placeholder] = name
            bound = (*bound, (placeholder, name))
        blocks.enter_context(body.block(f"for {', '.join(targets)} in {over}", table))
        if tests:
            blocks.enter_context(body.block(f"if {' and '.join(tests)}"))
        return bound

    def _is_fact(self, atom: Atom, bound: Bound) -> bool:
        """Return whether an atom has only bound objects, so that there is nothing to choose."""
        known = dict(bound)
        declared = self._declared(atom.predicate)
        return (
            declared is not None
            and len(declared) == len(atom.arguments)
            and all((argument.name, argument.type) in known for argument in atom.arguments)
        )

    def _fact(self, atom: Atom, bound: Bound) -> str:
        known = dict(bound)
        self.queried.add(atom.predicate)
        item = self._joins.item([known[argument.name, argument.type] for argument in atom.arguments])
        return f"{item} in {self._joins.layout.name(atom.predicate, None)}"

    def _declared(self, predicate: str) -> tuple[str, ...] | None:
        predicates = self._joins.domain.predicates
        return predicates.get(predicate, predicates.get(predicate.removeprefix("not_")))

    def _needs_guard(self, predicate: str, position: int, kind: str) -> bool:
        if kind != "object" and kind not in self._joins.domain.types:
            unsupported(f"the undeclared type {kind[:60]!r} in a query of the grammar")
        plain = predicate if predicate in self._joins.domain.predicates else predicate.removeprefix("not_")
        return self._joins.guard(plain, position, kind)

    def _may_equal(self, argument: Variable, bound: Bound) -> list[str]:
        """Return the bound variables that may have the same object as this one."""
        is_a = self._joins.domain.is_a
        return [value for (_, kind), value in bound if is_a(kind, argument.type) or is_a(argument.type, kind)]
