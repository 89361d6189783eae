"""Command-line settings: a dataclass becomes a command line with YAML recipes and bounds on numbers.

Every program has one dataclass. A recipe is a YAML file with the same field names. The command line overrides the
recipe, and the recipe overrides the defaults. A recipe may extend others with `base: other.yaml`, or a list of files,
relative to its own folder. A recipe overrides its bases, a later base an earlier one. Mappings are merged key by key;
everything else, also lists, is replaced.

A field declares its bounds: `batch: Positive = 16`, or `Annotated[float, Bound(above=0)]`. `check_bounds` refuses every
other number, also NaN and infinity, and names the option.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout, suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from act_gym.errors import UnknownNameError, UsageError, one_line, shortened
from act_gym.help_texts import EXAMPLES

__all__ = [
    "Bound",
    "Finite",
    "NotNegative",
    "Positive",
    "PositiveFloat",
    "Seed",
    "Share",
    "check_bounds",
    "find_recipe",
    "from_recipes",
    "imported",
    "layered",
    "parse",
    "read_recipe",
    "read_settings",
]


@dataclass(frozen=True)
class Bound:
    """Interval of allowed numbers; without a limit, any finite number.

    Attributes:
        least: The smallest value.
        above: An exclusive lower limit.
        most: The largest value.
        below: An exclusive upper limit.
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        """Return whether the number is in the interval; false for NaN and infinity."""
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """Return the interval as text, e.g. `a number above 0 and at most 1`."""
        limits = ((self.least, "of at least"), (self.above, "above"), (self.most, "at most"), (self.below, "below"))
        given = [f"{text} {limit:.10g}" for limit, text in limits if limit is not None]
        return f"a number {' and '.join(given)}" if given else "a finite number"


Positive = Annotated[int, Bound(least=1)]
NotNegative = Annotated[int, Bound(least=0)]
PositiveFloat = Annotated[float, Bound(above=0)]
Finite = Annotated[float, Bound()]
Share = Annotated[float, Bound(least=0, most=1)]
Seed = Annotated[int, Bound(least=0, most=2**32 - 1)]
"""Seeds that NumPy's global generator accepts; the trainers seed it too."""


def check_bounds(settings: Any) -> None:
    """Check the numbers of a dataclass, and of dataclasses in it, against their declared bounds.

    Raises:
        UsageError: A number is out of bounds; the message names it, its value and its bounds.
    """
    for name, value, bound in _bounded(settings, ""):
        if not bound.holds(value):
            raise UsageError(f"--{name.replace('_', '-')} is {value}; expected {bound}.")


def _bounded(settings: Any, prefix: str) -> Iterator[tuple[str, float, Bound]]:
    """Yield name, value and bound of every number with a bound, and of every such entry of a tuple."""
    for name, bound in _declared(type(settings)):
        value = getattr(settings, name)
        if is_dataclass(value):
            yield from _bounded(value, f"{prefix}{name}.")
        elif bound is not None:
            values = value if isinstance(value, tuple) else (value,)
            yield from ((prefix + name, each, bound) for each in values if isinstance(each, int | float))


def _declared(settings: type) -> tuple[tuple[str, Bound | None], ...]:
    hints = get_type_hints(settings, include_extras=True)
    return tuple((field.name, _bound(hints[field.name])) for field in fields(settings))


def _bound(hint: Any) -> Bound | None:
    """Return the bound in an annotation, or in that of a tuple's entries."""
    if get_origin(hint) is Annotated:
        return next((extra for extra in get_args(hint)[1:] if isinstance(extra, Bound)), None)
    return next((found for inner in get_args(hint) if (found := _bound(inner)) is not None), None)


_BASE = "base"


def find_recipe(word: str) -> Path:
    """Return a recipe's file: a path of the user, or the name of a shipped recipe, e.g. `alfworld-cpu`.

    Raises:
        UnknownNameError: Neither exists.
    """
    path = Path(word)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    shipped = _shipped()
    if word not in shipped:
        raise UnknownNameError(
            f"No recipe {shortened(word)}. Expected a file of your own, or one of: {', '.join(shipped)}."
        )
    return shipped[word]


def _shipped() -> dict[str, Path]:
    """Return the shipped recipes by name: their paths in the trainers' folder, without `.yaml`."""
    found = find_spec("trainers")
    folders = [Path(place) / "recipes" for place in (found and found.submodule_search_locations) or ()]
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for folder in folders
        for path in sorted(folder.rglob("*.yaml"))
    }


def read_recipe(path: Path) -> Mapping[str, Any]:
    """Read a recipe, a YAML file with one mapping, merged over its bases.

    Raises:
        UsageError: A file cannot be read, is not YAML, is not a mapping, or is its own base.
    """
    return _read(path, ())


def layered(paths: Iterable[Path]) -> dict[str, Any]:
    """Read recipes and merge each over those before it.

    Raises:
        UsageError: See `read_recipe`.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = _over(merged, read_recipe(path))
    return merged


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    import yaml

    if path.resolve() in above:
        raise UsageError(f"The recipe {path} is its own base: {' → '.join(each.name for each in (*above, path))}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as cause:
        asked = f" (a base of {above[-1]})" if above else ""
        raise UsageError(f"Cannot read the recipe {path}{asked}: {cause.strerror or cause}.") from cause
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        raise UsageError(f"The recipe {path} is not YAML: {cause}") from cause
    if not isinstance(content, dict):
        raise UsageError(f"The recipe {path} is a {type(content).__name__}; expected a mapping of names to values.")
    merged: dict[str, Any] = {}
    for name in _bases(content, path):
        merged = _over(merged, _read(path.parent / name, (*above, path.resolve())))
    return _over(merged, {name: value for name, value in content.items() if name != _BASE})


def _bases(content: Mapping[str, Any], path: Path) -> list[str]:
    named = content.get(_BASE, [])
    bases = [named] if isinstance(named, str) else named
    if not isinstance(bases, list) or not all(isinstance(each, str) for each in bases):
        raise UsageError(f"The {_BASE} of {path} is {named!r}; expected a file or a list of files.")
    return bases


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings merged; for a name in both, the upper value, or both merged if they are mappings."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = _over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


T = TypeVar("T")
_EMPTY_DEFAULT = re.compile(r"\(default: (?:''|None)?\)")


def parse(arguments: type[T], argv: Sequence[str], *, program: str) -> T:
    """Parse the command line into the dataclass; exits after `--help` or a mistake, as tyro does.

    Args:
        arguments: A dataclass; its attribute docstrings are the help text.
        argv: The command line without the program's name. `--recipe NAME` or `--recipe FILE.yaml` may be anywhere.
        program: The program's name in the usage line.

    Raises:
        UnknownNameError: The recipe does not exist.
        UsageError: The recipe cannot be read, or does not fit the dataclass, or a number is outside its bounds.
    """
    import tyro

    rest, recipes = _take_recipes(list(argv))
    default: T | None = None
    if recipes:
        # A field that neither a recipe nor the dataclass fills must come from the command line.
        default = from_recipes(arguments, recipes, absent=tyro.MISSING)
    shown = StringIO()
    try:
        with redirect_stdout(shown) if {"-h", "--help"} & set(rest) else nullcontext():
            parsed: T = tyro.cli(  # type: ignore[assignment]  # None means "no default" here
                arguments,
                args=rest,
                default=default,
                prog=program,
                description=f"{(arguments.__doc__ or '').strip()}\n\n--recipe NAME, a shipped recipe, or --recipe "
                "FILE.yaml sets defaults for all of these; later recipes override earlier ones.",
            )
    except SystemExit:
        sys.stdout.write(_EMPTY_DEFAULT.sub(lambda found: " " * len(found[0]), shown.getvalue()))
        if shown.getvalue() and program in EXAMPLES:
            sys.stdout.write("examples:\n" + "".join(f"  {example}\n" for example in EXAMPLES[program]))
        raise
    check_bounds(parsed)
    return parsed


def from_recipes(arguments: type[T], recipes: Sequence[Path], *, absent: Any = None) -> T:
    """Return a program's settings from recipes, each merged over those before it.

    Args:
        arguments: The dataclass.
        recipes: The files.
        absent: The value of a field that neither a recipe nor the dataclass sets.

    Raises:
        UsageError: A recipe cannot be read, or does not fit the dataclass.
    """
    return _build(arguments, layered(recipes), " + ".join(map(str, recipes)), absent=absent)


def imported(place: str, kind: str) -> Any:
    """Return the object at `module:attribute` that a setting names; the working folder is on the search path too.

    Args:
        place: Module and attribute.
        kind: The kind of object, for messages, e.g. `agent`.

    Raises:
        UnknownNameError: The module has no such attribute.
        UsageError: The module cannot be imported.
    """
    module_name, _, attribute = place.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as cause:
        if cause.name is None or not f"{module_name}.".startswith(f"{cause.name}."):
            raise UsageError(f"The {kind} {place} needs {cause.name}, which is not installed.") from cause
        raise UsageError(f"No module {module_name} for the {kind} {place}; looked in {here} too.") from cause
    except Exception as cause:  # user code may raise anything
        raise UsageError(f"The module of the {kind} {place} cannot be imported: {one_line(cause)}") from cause
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise UnknownNameError(f"attribute of {module_name} named", attribute, public)
    return getattr(module, attribute)


def read_settings(words: Sequence[str], option: str) -> dict[str, Any]:
    """Parse settings given as name=value, such as options of an environment.

    JSON's true, false, null, lists and objects are decoded; everything else is text. Numbers stay text too, because
    WebShop's catalogue `1000` is a name.

    Args:
        words: One for each setting.
        option: Their option on the command line, e.g. `--env-options`.

    Raises:
        UsageError: A word does not have this form.
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
    """Convert a YAML value to the field's type; tyro checks the command line, but not its defaults."""
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
    """Return a type as text, e.g. `Path or None`."""
    inner = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_spell(each) for each in inner)
    if get_origin(hint) is Literal:
        return " or ".join(repr(each) for each in inner)
    if hint is NoneType:
        return "None"
    return hint.__name__ if isinstance(hint, type) and not inner else str(hint)
