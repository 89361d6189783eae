"""Reads recipes: YAML files of a program's arguments, laid over one another.

A recipe may stand on others: `base: other.yaml`, or a list of files, each seen from the recipe's own
folder. What stands later wins: a recipe over its bases, a later base over an earlier one. Mappings are
merged name by name, at any depth; everything else, lists too, is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from act_gym.errors import UnknownNameError, UsageError, shortened

__all__ = ["find_recipe", "layered", "read_recipe"]

_BASE = "base"


def find_recipe(word: str) -> Path:
    """Return a recipe's file: a file of the user's, or a shipped recipe by its name, such as `alfworld-cpu`.

    Raises:
        UnknownNameError: There is neither.
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
    """Return the recipes in the folder of the trainers by their names: their places in it, without `.yaml`."""
    found = find_spec("trainers")
    folders = [Path(place) / "recipes" for place in (found and found.submodule_search_locations) or ()]
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for folder in folders
        for path in sorted(folder.rglob("*.yaml"))
    }


def read_recipe(path: Path) -> Mapping[str, Any]:
    """Read a YAML file that holds one mapping, with the recipes it stands on.

    Raises:
        UsageError: One of the files cannot be read, is not YAML, holds something else, or stands on itself.
    """
    return _read(path, ())


def layered(paths: Iterable[Path]) -> dict[str, Any]:
    """Read recipes and lay each over those before it.

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
        raise UsageError(f"The recipe {path} stands on itself: {' → '.join(each.name for each in (*above, path))}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as cause:
        asked = f" (a base of {above[-1]})" if above else ""
        raise UsageError(f"Cannot read the recipe {path}{asked}: {cause.strerror or cause}.") from cause
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        raise UsageError(f"The recipe {path} is not YAML: {cause}") from cause
    if not isinstance(content, dict):
        raise UsageError(f"The recipe {path} holds {type(content).__name__}; expected names with values.")
    merged: dict[str, Any] = {}
    for name in _bases(content, path):
        merged = _over(merged, _read(path.parent / name, (*above, path.resolve())))
    return _over(merged, {name: value for name, value in content.items() if name != _BASE})


def _bases(content: Mapping[str, Any], path: Path) -> list[str]:
    named = content.get(_BASE, [])
    bases = [named] if isinstance(named, str) else named
    if not isinstance(bases, list) or not all(isinstance(each, str) for each in bases):
        raise UsageError(f"The {_BASE} of {path} is {named!r}; expected a file, or a list of files.")
    return bases


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings merged; where both have a name, the upper one's value, or both merged."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = _over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
