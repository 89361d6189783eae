"""Code generation: builds the Python source of a compiled game.

Content of a game file enters it only quoted: identifiers are generated, and texts and objects pass through `repr`.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from act_gym.engines.alfworld.language.pddl import unsupported

__all__ = ["STATE", "Body", "Source", "Work", "as_tuple", "execute"]

MAX_SOURCE_LINES = 20_000

MAX_BLOCKS = 18
"""Python nests at most twenty loops in one function."""

STATE = "game, fixed, facts"
"""First parameters of every generated function: the game, its static tables, the tables of the state."""


Work = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
"""For the lines of a function: the tables they loop over and the functions they call."""

_CALL = re.compile(rf"(\w+)\({STATE}")
_OTHER = re.compile(r"\W", re.ASCII)


class Source:
    """Finished functions, and fresh names for them and for their variables."""

    def __init__(self) -> None:
        self.work: dict[str, Work] = {}
        self._functions: list[str] = []
        self._lines = 0
        self._fresh = count()

    def name(self, hint: str) -> str:
        """Return a name that nothing else has; letters and digits of the hint are in it."""
        plain = _OTHER.sub("", hint.partition(".")[0]).lstrip("_0123456789")[:40]
        return f"{plain or 'some'}_{next(self._fresh)}"

    def add(self, body: Body) -> None:
        """Take a finished function."""
        self._lines += len(body.lines)
        if self._lines > MAX_SOURCE_LINES:
            unsupported("rules that compile to too much code")
        self._functions.append("\n".join(body.lines))
        self.work[body.name] = tuple(body.work)

    def __str__(self) -> str:
        return "\n\n\n".join(self._functions) + "\n"


class Body:
    """Function being written, line by line.

    Attributes:
        name: Its name.
        arguments: Its parameters after the state.
        lines: The lines so far.
        work: For every line in loops or with calls, the tables it loops over and the functions it calls.
    """

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self.arguments = tuple(arguments)
        self.lines = [f"def {name}({', '.join((STATE, *arguments))}):"]
        self.work: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self._depth = 1
        self._repeated: tuple[str, ...] = ()

    def line(self, text: str) -> None:
        """Write a line."""
        self.lines.append("    " * self._depth + text)
        called = tuple(_CALL.findall(text))
        if self._repeated or called:
            self.work.append((self._repeated, called))

    @contextmanager
    def block(self, head: str, repeated: str = "") -> Iterator[None]:
        """Write the head of a block, and indent the following lines.

        Args:
            head: Without its colon.
            repeated: The iterable of a loop: a table, or a type of objects.
        """
        self.line(f"{head}:")
        before = self._repeated
        self._depth += 1
        if self._depth > MAX_BLOCKS:
            unsupported(f"a condition that nests deeper than {MAX_BLOCKS} loops and tests")
        if repeated:
            self._repeated = (*before, repeated)
        yield
        self._depth -= 1
        self._repeated = before


def as_tuple(parts: Sequence[str]) -> str:
    """Return the source of a tuple."""
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def execute(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """Execute generated source, visible in tracebacks, and return its functions.

    Args:
        code: The source.
        names: Its global names.

    Returns:
        The functions by name, without `names`.
    """
    file = f"<compiled ALFWorld logic {id(names):x}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec"), names)  # noqa: S102  (names are ours and all else is quoted, see above)
    return names
