"""Templates: the texts of a grammar, as a typed tree.

A template is literal text with `#rule#`, `{expression}`, `{item | query}` and `[{item | query}]` in it. Upstream
reads it with a generated parser, and several ways of that parser show in what a game says; they are kept:

- White space and lines that begin with `//` are lost at the start of a template; tabs are lost between two symbols.
- `(* … *)` is a comment wherever a symbol may begin.
- `"text"` is that text without its quotation marks.
- Reading stops without a word at the first thing that fits no symbol, such as a brace that nothing opened.

The format is TextWorld's: `textworld/envs/pddl/textgen/textgen.ebnf`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from act_gym.engines.alfworld.language.expressions import Expression, parse_expression
from act_gym.engines.alfworld.language.queries import Query, parse_query
from act_gym.engines.alfworld.language.scanner import Scanner

__all__ = ["Listing", "Reference", "Spread", "Symbol", "Template", "Text", "parse_template"]

_IGNORED = re.compile(r"(?:^//.*\n?|^\s+|\t+)+", re.MULTILINE)
_TAG = re.compile(r"[\w()/!<>\-\s,.]+")
_LITERAL = re.compile(r'[^;|"<>\[\]#{}]*')
_STATEMENT = re.compile(r"[^|\[\]{}\n<>]+")
_BAR = re.compile(r"\s*\|\s*")
_GIVEN = re.compile(r"[^;|{}\n\[\]#]+")


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text, possibly empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Reference:
    """Reference to the text of another rule: `#rule name#`."""

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
    symbol: Symbol | None = None
    match scanner.text[start : start + 1]:
        case "[":
            symbol = _listing(scanner)
        case "{":
            braces = _braces(scanner)
            symbol = _spread(*braces) if braces else None
        case "#":
            symbol = _reference(scanner)
        case '"':
            symbol = _quoted(scanner)
    if symbol is None:
        scanner.at = start
        symbol = Text(scanner.here(_LITERAL) or "")
    return symbol


def _listing(scanner: Scanner) -> Listing | None:
    scanner.token("[")
    braces = _braces(scanner)
    return Listing(_spread(*braces)) if braces and scanner.token("]") else None


def _quoted(scanner: Scanner) -> Text | None:
    scanner.token('"')
    literal = scanner.here(_LITERAL) or ""
    return Text(literal) if scanner.token('"') else None


def _reference(scanner: Scanner) -> Reference | None:
    start = scanner.at
    if scanner.token("#"):
        rule = scanner.next(_TAG)
        if rule is not None and scanner.token("#"):
            return Reference(rule)
    scanner.at = start
    return None


def _braces(scanner: Scanner) -> tuple[Reference | str, str] | None:
    """Read `{item | query}`; expression and query stay text, for what follows may yet make it no symbol."""
    if not scanner.token("{"):
        return None
    item = _reference(scanner) or scanner.next(_STATEMENT)
    if item is None:
        return None
    given = _given(scanner)
    return (item, given) if scanner.token("}") else None


def _given(scanner: Scanner) -> str:
    start = scanner.at
    if scanner.here(_BAR) is not None:
        given = scanner.next(_GIVEN)
        if given is not None:
            return given
    scanner.at = start
    return ""


def _spread(item: Reference | str, given: str) -> Spread:
    return Spread(
        item if isinstance(item, Reference) else parse_expression(item),
        parse_query(given) if given else (),
    )
