"""Reads the alfworld package's data about rooms, objects and goals, without importing it.

Importing alfworld loads TextWorld and more. Only its data is needed here, so the package can be installed without its
dependencies. Its Python files are read as data: literal assignments are taken from the syntax tree, and nothing is run.

Semantics: `alfworld/gen/constants.py`, `alfworld/gen/goal_library.py`, `alfworld/data/`.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from act_gym.errors import CorruptDataError, MissingDependencyError

__all__ = ["Goals", "Rules", "check", "folder", "goals", "language", "read", "rules"]

_FINGERPRINT = "f22ce9fbdaa2c641efcbac0a6d584aa7ed32d09b83107dbb25d7481f5e679425"
"""SHA-256 of everything that shapes a game; that of alfworld 0.4.2."""

_TABLES = ("VAL_RECEPTACLE_OBJECTS", "VAL_ACTION_OBJECTS")


_CURE = "pip install --force-reinstall --no-deps alfworld==0.4.2"


@dataclass(frozen=True)
class Rules:
    """Object types and placement rules.

    Attributes:
        objects: Every type that can be in a room and is not a fixed receptacle, sorted.
        receptacles: Every type of fixed receptacle, sorted.
        movable: The objects that can contain others, e.g. `Bowl`.
        openable: The receptacles with a door or a lid.
        holds: The types that fit into each receptacle, fixed or movable.
        allows: The types that are `Heatable`, `Coolable`, `Cleanable`, `Toggleable`, `Sliceable`.
    """

    objects: tuple[str, ...]
    receptacles: tuple[str, ...]
    movable: frozenset[str]
    openable: frozenset[str]
    holds: Mapping[str, frozenset[str]]
    allows: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Goals:
    """A task type's goal as the package writes it.

    Attributes:
        formula: The goal in PDDL with holes `{obj}`, `{recep}`, `{toggle}`, and `#` for the dash of
            a typed variable; it closes the problem's parenthesis too.
        sentences: Ways to word it, with the same holes.
    """

    formula: str
    sentences: tuple[str, ...]


@cache
def folder() -> Path:
    """Return the installed package's folder.

    Raises:
        MissingDependencyError: The package is not installed.
    """
    spec = find_spec("alfworld")
    # A folder that merely has the name, say of the user's data, is a namespace without an origin.
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            "The alfworld package, whose data games are made from,", command="pip install --no-deps alfworld==0.4.2"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def read(name: str) -> str:
    """Return the text of a file of the package, given by its path in the package's folder.

    Raises:
        MissingDependencyError: The package is not installed.
        CorruptDataError: The file is missing or cannot be read.
    """
    path = folder() / name
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise _damaged(path, str(cause)) from cause


def _damaged(path: Path, why: str) -> CorruptDataError:
    """Return the error for a file of the package that does not hold what it should."""
    return CorruptDataError(f"Cannot make games from {path}: {why}. Expected the file of alfworld 0.4.2. Run: {_CURE}")


@cache
def rules() -> Rules:
    """Return the package's rules.

    Raises:
        MissingDependencyError: The package is not installed.
        CorruptDataError: They are not there in the expected form.
    """
    found = _literals("gen/constants.py")
    try:
        holds, allows = ({key: frozenset(types) for key, types in found[name].items()} for name in _TABLES)
        movable = frozenset(found["MOVABLE_RECEPTACLES"])
        receptacles = frozenset(found["RECEPTACLES"]) - movable
        return Rules(
            objects=tuple(sorted((set(found["OBJECTS"]) | movable) - receptacles)),
            receptacles=tuple(sorted(receptacles)),
            movable=movable,
            openable=frozenset(found["OPENABLE_CLASS_LIST"]),
            holds=holds,
            allows=allows,
        )
    except (KeyError, TypeError, AttributeError) as cause:
        raise _damaged(folder() / "gen/constants.py", f"a table is not as expected: {cause}") from cause


@cache
def goals() -> Mapping[str, Goals]:
    """Return the goal of every task type the package knows.

    Raises:
        MissingDependencyError: The package is not installed.
        CorruptDataError: They are not there in the expected form.
    """
    found = _literals("gen/goal_library.py").get("gdict", {})
    try:
        return {name: Goals(goal["pddl"], tuple(goal["templates"])) for name, goal in found.items()}
    except (KeyError, TypeError, AttributeError) as cause:
        raise _damaged(folder() / "gen/goal_library.py", f"a goal is not as expected: {cause}") from cause


@cache
def language() -> tuple[str, str]:
    """Return the domain in PDDL and the grammar, both as text.

    Raises:
        MissingDependencyError: The package is not installed.
        CorruptDataError: They cannot be read.
    """
    return read("data/alfred.pddl"), read("data/alfred.twl2")


@cache
def check() -> None:
    """Check that the package's data gives the frozen games.

    Only the tables that are read from its Python files are compared.

    Raises:
        MissingDependencyError: The package is not installed.
        CorruptDataError: The data is not that of alfworld 0.4.2.
    """
    digest = hashlib.sha256()
    for table in (vars(rules()), {name: vars(goal) for name, goal in goals().items()}, language()):
        digest.update(json.dumps(table, sort_keys=True, default=sorted).encode())
    layouts = folder() / "gen/layouts"
    try:
        for path in sorted(layouts.glob("FloorPlan*"), key=lambda path: path.name):
            digest.update(path.name.encode() + path.read_bytes())
    except OSError as cause:
        raise _damaged(layouts, str(cause)) from cause
    if digest.hexdigest() != _FINGERPRINT:
        raise CorruptDataError(
            f"The data in {folder()} has sha256 {digest.hexdigest()}; games are made from {_FINGERPRINT}, "
            f"that of alfworld 0.4.2. Run: {_CURE}"
        )


def _literals(name: str) -> dict[str, Any]:
    """Return what a Python file assigns to names, and to keys of such names, as far as it is literal.

    `table["a"] = table["b"]` is followed too: the package writes tables that are equal that way.
    """
    try:
        tree = ast.parse(read(name))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as cause:
        raise _damaged(folder() / name, str(cause)) from cause
    found: dict[str, Any] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=value):
                _assign(found, target, value, found)
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id=table), slice=ast.Constant(value=str(key)))], value=value
            ) if isinstance(found.get(table), dict):
                _assign(found[table], key, value, found)
    return found


def _assign(place: dict[str, Any], key: str, value: ast.expr, found: Mapping[str, Any]) -> None:
    match value:
        case ast.Subscript(value=ast.Name(id=table), slice=ast.Constant(value=str(other))) if table in found:
            place[key] = found[table].get(other)
        case _:
            try:
                place[key] = ast.literal_eval(value)
            except (ValueError, TypeError):
                return  # computed values, which are not needed here
