"""Parser of the `grammar` in an ALFWorld game file.

A document is a sequence of grammar blocks (JSON: rules by their names) and of actions, each with the template of its
command, the template of its feedback and optional rules. A later rule or action replaces an earlier one of the same
name. The first production of a rule whose condition holds applies; weights are ignored, as upstream does.

Input that upstream cannot load either is a `CorruptDataError`; input that only this engine does not support is an
`UnsupportedGameError`.

A template is literal text with `#rule#`, `{expression}`, `{item | query}` and `[{item | query}]` in it. Upstream
reads it with a generated parser, and several ways of that parser show in what a game says; they are kept:

- White space and lines that begin with `//` are lost at the start of a template; tabs are lost between two symbols.
- `(* … *)` is a comment wherever a symbol may begin.
- `"text"` is that text without its quotation marks.
- Reading stops without a word at the first thing that fits no symbol, such as a brace that nothing opened.

The formats are TextWorld's: `textworld/envs/pddl/logic/logic.ebnf` and `textworld/envs/pddl/textgen/textgen.ebnf`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from act_gym.engines.alfworld.language.expressions import (
    Concatenation,
    Constant,
    Expression,
    Field,
    FirstTrue,
    parse_expression,
)
from act_gym.engines.alfworld.language.pddl import unsupported
from act_gym.engines.alfworld.language.queries import Atom, Query, Scanner, Variable, parse_query
from act_gym.errors import CorruptDataError

__all__ = [
    "ActionText",
    "Atom",
    "Concatenation",
    "Constant",
    "Expression",
    "Field",
    "FirstTrue",
    "Grammar",
    "Listing",
    "Production",
    "Query",
    "Reference",
    "Spread",
    "Symbol",
    "Template",
    "Text",
    "Variable",
    "parse_grammar",
    "parse_template",
]

_BETWEEN_SYMBOLS = re.compile(r"(?:^//.*\n?|^\s+|\t+)+", re.MULTILINE)
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
    scanner = Scanner(text, _BETWEEN_SYMBOLS)
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


MAX_CHARACTERS = 1_000_000
MAX_RULES = 2_000

_IGNORED = re.compile(r"(?:#[^\n]*|\s+)+")
_NAME = re.compile(r"[\w/-]+")
_STRING = re.compile(r'"[^"]*"')
_BLOCK = re.compile(r'"""[\s\S]*?"""')
_NO_PRODUCTIONS: tuple[Any, ...] = ([], "", {})  # what upstream takes for a rule without any, and so for no rule
_COMMENT = re.compile(r"^[^\S\n]*#[^\n]*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Production:
    """Production of a rule.

    Attributes:
        condition: Its condition; empty means always.
        symbols: Its symbols.
    """

    condition: Query
    symbols: Template


@dataclass(frozen=True, slots=True)
class ActionText:
    """Texts of an action.

    Attributes:
        name: The action's name in the domain, lower case.
        template: The template of its command.
        feedback: The template of its feedback.
    """

    name: str
    template: Template
    feedback: Template


@dataclass(frozen=True, slots=True)
class Grammar:
    """All texts of a game.

    Attributes:
        actions: By their names.
        rules: Productions in the order they are tried, by the rule's name. None is without productions.
    """

    actions: Mapping[str, ActionText]
    rules: Mapping[str, tuple[Production, ...]]


def parse_grammar(text: str) -> Grammar:
    """Read a grammar document.

    Raises:
        CorruptDataError: It is no grammar document.
        UnsupportedGameError: It holds a construct that the native engine does not play.
    """
    if len(text) > MAX_CHARACTERS:
        unsupported(f"a grammar of {len(text):,} characters (at most {MAX_CHARACTERS:,})")
    scanner = Scanner(text, _IGNORED)
    actions: dict[str, tuple[str, str]] = {}
    rules: dict[str, Any] = {}
    while not scanner.at_end():
        if scanner.token("action"):
            name = scanner.next(_NAME) or _corrupt(scanner, "the name of an action")
            parts = _parts(scanner)
            actions[name.lower()] = parts["template"], parts["feedback"]
            rules |= _load(_COMMENT.sub("", parts.get("grammar", "{}")))
        elif scanner.token("grammar"):
            rules |= _load(_value(scanner, _BLOCK))
        else:
            _corrupt(scanner, "an action or a grammar block")
    if len(rules) > MAX_RULES:
        unsupported(f"{len(rules):,} rules in its grammar (at most {MAX_RULES:,})")
    return Grammar(
        actions={
            name: ActionText(name, parse_template(template), parse_template(feedback))
            for name, (template, feedback) in actions.items()
        },
        rules={name: _productions(name, rule) for name, rule in rules.items() if rule not in _NO_PRODUCTIONS},
    )


def _parts(scanner: Scanner) -> dict[str, str]:
    """Parse the content of an action's braces."""
    if not scanner.token("{"):
        _corrupt(scanner, "{")
    parts: dict[str, str] = {}
    while not scanner.token("}"):
        for name, kind in (("template", _STRING), ("feedback", _STRING), ("pddl", _BLOCK), ("grammar", _BLOCK)):
            if scanner.token(name):
                if name in parts:
                    _corrupt(scanner, f"one {name} for each action")
                parts[name] = _value(scanner, kind)
                break
        else:
            _corrupt(scanner, "a template, feedback, pddl, grammar or }")
    for name in ("template", "feedback"):
        if name not in parts:
            _corrupt(scanner, f"a {name} in the action that ends here")
    return parts


def _value(scanner: Scanner, kind: re.Pattern[str]) -> str:
    """Read `:: "text" ;` and return the text, without its quotation marks."""
    if not scanner.token("::"):
        _corrupt(scanner, "::")
    text = scanner.next(kind) or _corrupt(scanner, "a text in quotation marks")
    if not scanner.token(";"):
        _corrupt(scanner, ";")
    marks = 3 if kind is _BLOCK else 1
    return text[marks:-marks]


def _load(block: str) -> dict[str, Any]:
    try:
        rules = json.loads(block)
    except (ValueError, RecursionError) as cause:
        raise CorruptDataError(
            f"The game's grammar has a block that is not JSON ({cause}). Expected rules by their names."
        ) from cause
    if not isinstance(rules, dict):
        unsupported(f"a grammar block that is a {type(rules).__name__}")
    return rules


def _productions(name: str, rule: Any) -> tuple[Production, ...]:
    if not isinstance(rule, list) or not all(isinstance(entry, dict) and "rhs" in entry for entry in rule):
        raise CorruptDataError(f'The game\'s grammar rule {name[:60]!r} is not a list of productions with "rhs".')
    return tuple(_production(name, entry) for entry in rule)


def _production(name: str, entry: Mapping[str, Any]) -> Production:
    condition, text = entry.get("condition") or "", entry["rhs"]
    if not isinstance(condition, str) or not isinstance(text, str):
        unsupported(f"a production of the grammar rule {name[:60]!r} that is not text")
    return Production(parse_query(condition) if condition else (), parse_template(text))


def _corrupt(scanner: Scanner, expected: str) -> NoReturn:
    scanner.skip()
    line = scanner.text.count("\n", 0, scanner.at) + 1
    found = scanner.text[scanner.at : scanner.at + 40]
    raise CorruptDataError(
        f"The game's grammar cannot be read: line {line} has {found!r}, where {expected} was expected."
    )
