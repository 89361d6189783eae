"""Turns a dataclass into a command line that also reads recipes.

Every program has one dataclass of arguments. A recipe is a YAML file with the same names; what is
given on the command line wins over the recipe, and the recipe over the dataclass's own defaults. Several
recipes are laid over one another (`act_gym.recipes`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from act_gym.bounds import check_bounds
from act_gym.errors import UnknownNameError, UsageError
from act_gym.recipes import find_recipe, layered, read_recipe

__all__ = ["from_recipes", "parse", "read_recipe", "read_settings"]

T = TypeVar("T")


def parse(arguments: type[T], argv: Sequence[str], *, program: str) -> T:
    """Read the command line into the dataclass; exits after `--help` or a mistake, as tyro does.

    Args:
        arguments: A dataclass whose attribute docstrings are the help text.
        argv: The command line without the program's name. `--recipe NAME` or `--recipe FILE.yaml` may be anywhere.
        program: What the usage line calls the program.

    Raises:
        UnknownNameError: There is no such recipe.
        UsageError: The recipe cannot be read, or does not fit the dataclass, or a number is outside its bounds.
    """
    import tyro

    rest, recipes = _take_recipes(list(argv))
    default: T | None = None
    if recipes:
        # A field that neither a recipe nor the dataclass fills must come from the command line.
        default = from_recipes(arguments, recipes, absent=tyro.MISSING)
    parsed: T = tyro.cli(  # type: ignore[assignment]  # None stands for "no default" here
        arguments,
        args=rest,
        default=default,
        prog=program,
        description=f"{(arguments.__doc__ or '').strip()}\n\n--recipe NAME, a shipped recipe, or --recipe FILE.yaml "
        "gives defaults for all of these; of several, the later ones win.",
    )
    check_bounds(parsed)
    return parsed


def from_recipes(arguments: type[T], recipes: Sequence[Path], *, absent: Any = None) -> T:
    """Return a program's arguments as some recipes give them, each laid over those before it.

    Args:
        arguments: The dataclass.
        recipes: The files.
        absent: Stands for a field that neither a recipe nor the dataclass fills.

    Raises:
        UsageError: A recipe cannot be read, or does not fit the dataclass.
    """
    return _build(arguments, layered(recipes), " + ".join(map(str, recipes)), absent=absent)


def read_settings(words: Sequence[str], option: str) -> dict[str, Any]:
    """Return settings given as name=value, such as an environment's own.

    What is true, false, null, a list or an object in JSON becomes that; everything else is text. Numbers are text too,
    because the catalogue of WebShop that is called 1000 is no number.

    Args:
        words: One for each setting.
        option: What the command line calls them, e.g. `--env-options`.

    Raises:
        UsageError: One is not of this form.
    """
    settings: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"{option} takes name=value, e.g. catalogue=generated; got {word!r}.")
        if value in ("true", "false", "null") or value[:1] in ("[", "{"):
            try:
                settings[name] = json.loads(value)
            except ValueError as cause:
                raise UsageError(f"{option} {name} is not JSON: {cause}.") from cause
        else:
            settings[name] = value
    return settings


def _take_recipes(argv: list[str]) -> tuple[list[str], list[Path]]:
    rest: list[str] = []
    recipes: list[Path] = []
    words = iter(argv)
    for word in words:
        if word == "--recipe":
            recipe = next(words, None)
            if recipe is None:
                raise UsageError("--recipe needs a name or a file, e.g. --recipe alfworld-cpu or --recipe my.yaml.")
            recipes.append(find_recipe(recipe))
        elif word.startswith("--recipe="):
            recipes.append(find_recipe(word.removeprefix("--recipe=")))
        else:
            rest.append(word)
    return rest, recipes


def _build(arguments: type[T], values: Mapping[str, Any], where: str, *, absent: Any) -> T:
    known = {field.name: field for field in fields(arguments)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise UnknownNameError(f"argument (in {where}) named", str(name), known)
    hints = get_type_hints(arguments)
    given = {name: _fit(hints[name], value, f"{where}: {name}") for name, value in values.items()}
    for name, field in known.items():
        if name not in given and field.default is MISSING and field.default_factory is MISSING:
            given[name] = absent
    return arguments(**given)


def _fit(hint: Any, value: Any, where: str) -> Any:
    """Return the YAML value in the field's type; tyro checks the command line, but not its defaults."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _fit_one_of(inner, value, where)
    if hint is Any or (origin is Literal and value in inner):
        return value
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return _build(hint, value, where, absent=None)
    if isinstance(value, list) and origin in (tuple, list, Sequence):
        return _fit_list(hint, value, where)
    if isinstance(value, dict) and origin in (dict, Mapping):
        return {key: _fit(inner[1], entry, f"{where}.{key}") for key, entry in value.items()}
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float:
        return _fit_float(value, where)
    if hint in (int, str, bool, NoneType) and type(value) is hint:
        return value
    raise _misfit(hint, value, where)


def _fit_one_of(hints: Sequence[Any], value: Any, where: str) -> Any:
    for hint in hints:
        with suppress(UsageError):
            return _fit(hint, value, where)
    raise _misfit(Union[tuple(hints)], value, where)  # noqa: UP007  (the members are known only now)


def _fit_list(hint: Any, value: list[Any], where: str) -> Any:
    inner = get_args(hint)
    if get_origin(hint) is tuple and not (len(inner) == 2 and inner[1] is Ellipsis):
        if len(inner) != len(value):
            raise _misfit(hint, value, where)
        return tuple(_fit(each, entry, where) for each, entry in zip(inner, value, strict=True))
    fitted = [_fit(inner[0], entry, where) for entry in value]
    return tuple(fitted) if get_origin(hint) is tuple else fitted


def _fit_float(value: Any, where: str) -> float:
    # YAML 1.1 reads 1e-5, without a point, as text.
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError):
            return float(value)
    raise _misfit(float, value, where)


def _misfit(hint: Any, value: Any, where: str) -> UsageError:
    return UsageError(f"{where} is {value!r}, of type {type(value).__name__}; expected {_spell(hint)}.")


def _spell(hint: Any) -> str:
    """Return a type in words, e.g. `Path or None`."""
    inner = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_spell(each) for each in inner)
    if get_origin(hint) is Literal:
        return " or ".join(repr(each) for each in inner)
    if hint is NoneType:
        return "None"
    return hint.__name__ if isinstance(hint, type) and not inner else str(hint)
