"""Texts of ALFWorld that are not in game files: object names and two constant texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

__all__ = ["NOTHING_HAPPENS", "display_names", "goal_in"]

NOTHING_HAPPENS = "Nothing happens."
"""The answer to every command that is not admissible."""

_GOAL = "Your task is to: "
_WRITTEN = (("_bar_", "|"), ("_minus_", "-"), ("_plus_", "+"), ("_dot_", "."), ("_comma_", ","))


def goal_in(introduction: str) -> str:
    """Return the instruction in a game's first text, e.g. `put a pencil in drawer.`."""
    return introduction.partition(_GOAL)[2].strip()


def display_names(ids: Iterable[str]) -> Mapping[str, str]:
    """Return what players call the objects, e.g. `cabinet 3`.

    Objects of a kind are numbered backwards in the order of their ids. Those whose id has no place in it have no
    number, and their name ends in a blank. After `Demangler` of alfworld's `agents/utils/misc.py`.
    """
    ordered = sorted(ids)
    counts: Counter[str] = Counter()
    kinds: dict[str, str] = {}
    names: dict[str, str] = {}
    for name in ordered:
        stem, place, _ = name.partition("_bar_")
        if place:
            kind = _written(stem) + ("basin" if "basin" in name else "")
            kinds[name] = kind
            counts[kind] += 1
        else:
            names[name] = f"{_written(name)} "
    for name, kind in kinds.items():
        names[name] = f"{kind} {counts[kind]}"
        counts[kind] -= 1
    return MappingProxyType(names)


@lru_cache(maxsize=4096)
def _written(name: str) -> str:
    for coded, plain in _WRITTEN:
        name = name.replace(coded, plain)
    return name
