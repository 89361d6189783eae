"""Text expressions about an object, e.g. `o.indefinite + ' ' + o.name`.

Upstream evaluates them as Python, and so runs any code in a game file. Here they are only parsed, and only the syntax
of ALFWorld's games is accepted: strings, fields of variables, `+` and `or`. Anything else is refused at parse time,
even in a text that would never be used.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache

from act_gym.engines.alfworld.language.pddl import unsupported

__all__ = ["Concatenation", "Constant", "Expression", "Field", "FirstTrue", "parse_expression"]

MAX_CHARACTERS = 1_000
MAX_DEPTH = 20

FIELDS = ("name", "id", "type", "definite", "indefinite")
"""Fields of an object. Upstream's objects have more, but these are never set."""

TAKEN = ("self", "context", "value")
"""Names that mean something else in the function in which upstream evaluates an expression."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A string."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """One of the `FIELDS` of a variable's object. A variable alone means its name."""

    variable: str
    name: str


@dataclass(frozen=True, slots=True)
class Concatenation:
    """All parts, one after the other: `a + b`."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class FirstTrue:
    """The first option that is not empty, or else the last: `a or b`."""

    options: tuple[Expression, ...]


Expression = Constant | Field | Concatenation | FirstTrue


@lru_cache(maxsize=256)  # the same few expressions stand all over a grammar, and in all games
def parse_expression(text: str) -> Expression:
    """Read an expression without evaluating it.

    Raises:
        UnsupportedGameError: It is more than strings, fields of variables, `+` and `or`, or too long.
    """
    what = f"the expression {text[:80]!r} in a text"
    if len(text) > MAX_CHARACTERS:
        unsupported(f"an expression of {len(text):,} characters (at most {MAX_CHARACTERS:,})")
    if "\\" in text:
        unsupported(what)  # whether Python warns of an escape or refuses it depends on its version
    try:
        tree = ast.parse(text.lstrip(" \t"), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        unsupported(what)
    return _convert(tree, what, MAX_DEPTH, printed=True)


def _convert(node: ast.expr, what: str, depth: int, *, printed: bool) -> Expression:
    """Convert Python's tree; `printed` means that an object is allowed, because its name will be printed."""
    if not depth:
        unsupported(f"{what} (nested deeper than {MAX_DEPTH})")
    match node:
        case ast.Constant(value=str(text)):
            return Constant(text)
        case ast.Name(id=variable) if printed and variable not in TAKEN:
            return Field(variable, "name")
        case ast.Attribute(value=ast.Name(id=variable), attr=name) if variable not in TAKEN and name in FIELDS:
            return Field(variable, name)
        case ast.BoolOp(op=ast.Or(), values=options):
            return FirstTrue(tuple(_convert(option, what, depth - 1, printed=printed) for option in options))
        case ast.BinOp(op=ast.Add()):
            return Concatenation(tuple(_convert(term, what, depth - 1, printed=False) for term in _terms(node)))
    return unsupported(what)


def _terms(node: ast.expr) -> list[ast.expr]:
    """Return what a sum adds up. A long sum nests deeply on its left, so that side is no recursion."""
    terms = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        terms.append(node.right)
        node = node.left
    return [node, *reversed(terms)]
