"""Where two JSON values differ, and a small table that shows it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Difference", "difference_table", "differences"]

_WIDTH = 60  # characters of a value that a table shows
_ABSENT = object()


@dataclass(frozen=True)
class Difference:
    """One place where two values differ.

    Attributes:
        place: Keys from the outside in, joined by dots.
        first: What stands there in the first value; `absent` in words if nothing does.
        second: The same of the second.
    """

    place: str
    first: str
    second: str


def differences(first: Any, second: Any, *, place: str = "", skip: Iterable[str] = ()) -> list[Difference]:
    """Return where two JSON values differ, by place; what is no mapping in both is compared as a whole.

    Args:
        first: A JSON value.
        second: Another.
        place: What the values themselves are called.
        skip: Keys of the outermost mappings that may differ.
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        found = []
        for key in sorted({*first, *second} - set(skip)):
            inner = f"{place}.{key}" if place else str(key)
            found += differences(first.get(key, _ABSENT), second.get(key, _ABSENT), place=inner)
        return found
    return [] if first == second else [Difference(place, _spell(first), _spell(second))]


def difference_table(found: Sequence[Difference], heads: tuple[str, str, str]) -> str:
    """Return differences as aligned lines under three headings."""
    rows = [heads, *((one.place, _cut(one.first), _cut(one.second)) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _spell(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
