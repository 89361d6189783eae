"""The texts inside a grammar: templates, the expressions and the queries in them, as a typed tree.

A template is literal text with `#rule#`, `{expression}`, `{item | query}` and `[{item | query}]` in it. Upstream
reads it with a generated parser, and several ways of that parser show in what a game says; they are kept:

- White space and lines that begin with `//` are lost at the start of a template; tabs are lost between two symbols.
- `(* … *)` is a comment wherever a symbol may begin.
- Reading stops without a word at the first thing that fits no symbol, such as a brace that nothing opened.

Upstream evaluates expressions as Python and so would run whatever a game file says. Here they are only parsed, and
only what the games of ALFWorld need is accepted. Expressions and queries are checked when they are read, upstream's
fail when they are reached; a game with a bad one is refused here even where it would never come to be said.

The formats are TextWorld's: `textworld/envs/pddl/textgen/textgen.ebnf`, and the rule `conjunctiveQuery` of
`textworld/logic/logic.ebnf`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from act_gym.engines.alfworld.conditions import unsupported

__all__ = [
    "Atom",
    "Concatenation",
    "Constant",
    "Expression",
    "Field",
    "FirstTrue",
    "Listing",
    "Query",
    "Reference",
    "Scanner",
    "Spread",
    "Symbol",
    "Template",
    "Text",
    "Variable",
    "parse_query",
    "parse_template",
]

MAX_EXPRESSION = 1_000
"""Characters of one expression."""

MAX_QUERY = 10_000
"""Characters of one query."""

MAX_DEPTH = 20
"""How deep `or` and `+` may be nested in an expression."""

FIELDS = ("name", "id", "type", "definite", "indefinite")
"""What an expression may ask of an object. Upstream's objects have more, but these are never set."""

TAKEN = ("self", "context", "value")
"""Names that mean something else where upstream evaluates an expression."""

_IGNORED = re.compile(r"(?:^//.*\n?|^\s+|\t+)+", re.MULTILINE)
_IGNORED_IN_QUERIES = re.compile(r"(?:\#[^\n]*|\s+)+")
_TAG = re.compile(r"[\w()/!<>\-\s,.]+")
_LITERAL = re.compile(r'[^;|"<>\[\]#{}]*')
_STATEMENT = re.compile(r"[^|\[\]{}\n<>]+")
_BAR = re.compile(r"\s*\|\s*")
_GIVEN = re.compile(r"[^;|{}\n\[\]#]+")
_PREDICATE = re.compile(r"!?[\w/]+")
_VARIABLE = re.compile(r"[\w']+")
_TYPE = re.compile(r"[\w/-]+")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a query, `o:object`. Without a type it has its own name as one, less what primes end it."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Atom:
    """A predicate of variables, `inreceptacle(o:object, r:receptacle)`; `!p(…)` is the predicate `not_p`."""

    predicate: str
    arguments: tuple[Variable, ...]


Query = tuple[Atom, ...]
"""All of them hold. They are in the order written, which the order of the answers depends on."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A string."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """What an object has: one of `FIELDS`. A variable that stands alone says its object's name."""

    variable: str
    name: str


@dataclass(frozen=True, slots=True)
class Concatenation:
    """One after the other: `a + b`."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class FirstTrue:
    """The first that is not empty, or else the last: `a or b`."""

    options: tuple[Expression, ...]


Expression = Constant | Field | Concatenation | FirstTrue


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text, possibly empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Reference:
    """What another rule says: `#rule name#`."""

    rule: str


@dataclass(frozen=True, slots=True)
class Spread:
    """An item for each match of a query, one after the other; once, where there is no query: `{item | query}`."""

    item: Reference | Expression
    query: Query


@dataclass(frozen=True, slots=True)
class Listing:
    """The same with the grammar's own words between the items: `[{item | query}]`."""

    spread: Spread


Symbol = Text | Reference | Spread | Listing
Template = tuple[Symbol, ...]


class Scanner:
    """Walks over a text as upstream's generated parsers do.

    Args:
        text: What to walk over.
        ignored: What is passed over before a token, besides comments `(* … *)`.
    """

    def __init__(self, text: str, ignored: re.Pattern[str]) -> None:
        self.text = text
        self.at = 0
        self._ignored = ignored
        self._may_close = True

    def skip(self) -> None:
        """Pass over what is ignored before a token."""
        while True:
            if match := self._ignored.match(self.text, self.at):
                self.at = match.end()
            if not self.text.startswith("(*", self.at) or not self._may_close:
                return
            end = self.text.find("*)", self.at + 2)
            if end < 0:  # looking again for every (* would take time that grows with the square of the text
                self._may_close = False
                return
            self.at = end + 2

    def token(self, token: str) -> bool:
        """Step over a token if it comes next; a word must not run on in a letter or digit."""
        start = self.at
        self.skip()
        end = self.at + len(token)
        if self.text.startswith(token, self.at) and not (token.isalpha() and self.text[end : end + 1].isalnum()):
            self.at = end
            return True
        self.at = start
        return False

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """Step over what a pattern matches right here and return it."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match.group()

    def next(self, pattern: re.Pattern[str]) -> str | None:
        """Do the same after what is ignored."""
        start = self.at
        self.skip()
        found = self.match(pattern)
        if found is None:
            self.at = start
        return found

    def at_end(self) -> bool:
        """Return whether nothing is left but what is ignored."""
        self.skip()
        return self.at == len(self.text)


def parse_template(text: str) -> Template:
    """Read a template, up to the first thing that fits no symbol.

    Returns:
        At least one symbol, in their order.

    Raises:
        UnsupportedGameError: It holds an expression or a query that the native engine does not play.
    """
    scanner = Scanner(text, _IGNORED)
    symbols = [_symbol(scanner)]
    while True:
        start = scanner.at
        symbol = _symbol(scanner)
        if scanner.at == start:
            return tuple(symbols)
        symbols.append(symbol)


def _symbol(scanner: Scanner) -> Symbol:
    scanner.skip()
    start = scanner.at
    if scanner.token("["):
        braces = _braces(scanner)
        if braces and scanner.token("]"):
            return Listing(_spread(*braces))
        scanner.at = start
    braces = _braces(scanner)
    if braces:
        return _spread(*braces)
    rule = _rule(scanner)
    if rule is not None:
        return Reference(rule)
    if scanner.token('"'):
        literal = scanner.match(_LITERAL)
        if literal is not None and scanner.token('"'):
            return Text(literal)
        scanner.at = start
    return Text(scanner.match(_LITERAL) or "")


def _rule(scanner: Scanner) -> str | None:
    start = scanner.at
    if scanner.token("#"):
        tag = scanner.next(_TAG)
        if tag is not None and scanner.token("#"):
            return tag
    scanner.at = start
    return None


def _braces(scanner: Scanner) -> tuple[Reference | str, str] | None:
    """Read `{item | query}` and leave the expression and the query as text: another reading may still win."""
    start = scanner.at
    if scanner.token("{"):
        rule = _rule(scanner)
        item = scanner.next(_STATEMENT) if rule is None else Reference(rule)
        if item is not None:
            given = _given(scanner)
            if scanner.token("}"):
                return item, given
    scanner.at = start
    return None


def _given(scanner: Scanner) -> str:
    start = scanner.at
    if scanner.match(_BAR) is not None:
        given = scanner.next(_GIVEN)
        if given is not None:
            return given
    scanner.at = start
    return ""


def _spread(item: Reference | str, given: str) -> Spread:
    query = parse_query(given) if given else ()
    return Spread(item if isinstance(item, Reference) else _expression(item), query)


def parse_query(text: str) -> Query:
    """Read a query, `p(o:object) & q(o:object, r:receptacle)`.

    Returns:
        At least one atom.

    Raises:
        UnsupportedGameError: It is no query.
    """
    if len(text) > MAX_QUERY:
        unsupported(f"a query of {len(text):,} characters (at most {MAX_QUERY:,})")
    scanner = Scanner(text, _IGNORED_IN_QUERIES)
    types: dict[str, str] = {}
    atoms = []
    while True:
        atom = _atom(scanner)
        if atom is None:
            unsupported(f"the query {text[:80]!r}")
        for variable in atom.arguments:
            if types.setdefault(variable.name, variable.type) != variable.type:
                unsupported(f"two types of {variable.name} in the query {text[:80]!r}")
        atoms.append(atom)
        if not scanner.token("&"):
            break
    if not scanner.at_end():
        unsupported(f"the query {text[:80]!r}")
    return tuple(atoms)


def _atom(scanner: Scanner) -> Atom | None:
    name = scanner.next(_PREDICATE)
    if name is None or not scanner.token("("):
        return None
    first = _variable(scanner)
    arguments = [] if first is None else [first]  # upstream reads p(,a) as p(a)
    while scanner.token(","):
        more = _variable(scanner)
        if more is None:
            return None
        arguments.append(more)
    if not scanner.token(")"):
        return None
    if name.startswith("!"):
        name = name[1:].removeprefix("not_") if name.startswith("!not_") else f"not_{name[1:]}"
    return Atom(name, tuple(arguments))


def _variable(scanner: Scanner) -> Variable | None:
    name = scanner.next(_VARIABLE)
    if name is None:
        return None
    start = scanner.at
    if scanner.token(":"):
        kind = scanner.next(_TYPE)
        if kind is not None:
            return Variable(name, kind)
    scanner.at = start
    return Variable(name, name.rstrip("'"))


def _expression(text: str) -> Expression:
    what = f"the expression {text[:80]!r} in a text"
    if len(text) > MAX_EXPRESSION:
        unsupported(f"an expression of {len(text):,} characters (at most {MAX_EXPRESSION:,})")
    if "\\" in text:
        unsupported(what)  # an unknown escape is a warning, whatever else it may be
    try:
        tree = ast.parse(text.lstrip(" \t"), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        unsupported(what)
    return _convert(tree, what, MAX_DEPTH)


def _convert(node: ast.expr, what: str, depth: int) -> Expression:
    if not depth:
        unsupported(f"{what} (nested deeper than {MAX_DEPTH})")
    match node:
        case ast.Constant(value=str(text)):
            return Constant(text)
        case ast.Name(id=variable) if variable not in TAKEN:
            return Field(variable, "name")
        case ast.Attribute(value=ast.Name(id=variable), attr=name) if variable not in TAKEN and name in FIELDS:
            return Field(variable, name)
        case ast.BoolOp(op=ast.Or(), values=options):
            return FirstTrue(tuple(_convert(option, what, depth - 1) for option in options))
        case ast.BinOp(op=ast.Add()):
            return Concatenation(tuple(_convert(term, what, depth - 1) for term in _terms(node, what)))
        case _:
            unsupported(what)


def _terms(node: ast.expr, what: str) -> Iterator[ast.expr]:
    """Yield what a sum adds up. A long sum nests deeply on its left, so that side is no recursion."""
    right = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        right.append(node.right)
        node = node.left
    for term in (node, *reversed(right)):
        if isinstance(term, ast.Name):  # upstream fails: an object is no string, although it can be printed as one
            unsupported(what)
        yield term
