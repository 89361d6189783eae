"""Queries: the objects of a text, and its condition.

The format is TextWorld's: the rule `conjunctiveQuery` of `textworld/logic/logic.ebnf`. Upstream parses a query at its
first use; here an invalid one is refused at parse time, even if it would never be used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from act_gym.engines.alfworld.language.pddl import unsupported

__all__ = ["Atom", "Query", "Scanner", "Variable", "parse_query"]


class Scanner:
    """Position in a text with the steps of a parser. A failed step does not move.

    Comments `(* … *)` are skipped before every token, the default of upstream's parser generator.

    Args:
        text: The text.
        ignored: Further pattern to skip before a token.
    """

    def __init__(self, text: str, ignored: re.Pattern[str]) -> None:
        self.text = text
        self.at = 0
        self._ignored = ignored
        self._may_close = True

    def skip(self) -> None:
        """Skip ignored text before a token."""
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

    def here(self, pattern: re.Pattern[str]) -> str | None:
        """Advance over a match of a pattern at the current position, and return it."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match.group()

    def next(self, pattern: re.Pattern[str]) -> str | None:
        """Skip ignored text, and consume and return the match of a pattern."""
        start = self.at
        self.skip()
        found = self.here(pattern)
        if found is None:
            self.at = start
        return found

    def at_end(self) -> bool:
        """Return whether only ignored text is left."""
        self.skip()
        return self.at == len(self.text)


MAX_CHARACTERS = 10_000

_IGNORED = re.compile(r"(?:#[^\n]*|\s+)+")
_PREDICATE = re.compile(r"!?[\w/]+")
_VARIABLE = re.compile(r"[\w']+")
_TYPE = re.compile(r"[\w/-]+")


@dataclass(frozen=True, slots=True)
class Variable:
    """Variable of a query, `o:object`. Without a type, its type is its name without final primes."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Atom:
    """A predicate of variables, `inreceptacle(o:object, r:receptacle)`; `!p(…)` is the predicate `not_p`."""

    predicate: str
    arguments: tuple[Variable, ...]


Query = tuple[Atom, ...]
"""All of them hold. They are in the order written, which the order of the answers depends on."""


@lru_cache(maxsize=256)  # the same few queries stand all over a grammar, and in all games
def parse_query(text: str) -> Query:
    """Read a query, `p(o:object) & q(o:object, r:receptacle)`.

    Returns:
        At least one atom.

    Raises:
        UnsupportedGameError: It is no query.
    """
    if len(text) > MAX_CHARACTERS:
        unsupported(f"a query of {len(text):,} characters (at most {MAX_CHARACTERS:,})")
    scanner = Scanner(text, _IGNORED)
    types: dict[str, str] = {}
    atoms = []
    more = True
    while more:
        atom = _atom(scanner)
        if atom is None:
            unsupported(f"the query {text[:80]!r}")
        for variable in atom.arguments:
            if types.setdefault(variable.name, variable.type) != variable.type:
                unsupported(f"two types of {variable.name} in the query {text[:80]!r}")
        atoms.append(atom)
        more = scanner.token("&")
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
        another = _variable(scanner)
        if another is None:
            return None
        arguments.append(another)
    if not scanner.token(")"):
        return None
    if name.startswith("!"):
        name = name[5:] if name.startswith("!not_") else f"not_{name[1:]}"
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
