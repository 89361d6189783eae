"""What the generated shop is stocked with, as `words.toml` lists it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["Department", "Thing", "Words", "words"]


@dataclass(frozen=True)
class Thing:
    """One kind of thing.

    Attributes:
        path: Its path through the departments, parts separated by ` › `.
        query: The search by which it is found.
        names: What it is called.
    """

    path: str
    query: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Department:
    """One department.

    Attributes:
        name: Its name, as WebShop's departments are called.
        share: The share of products that stand in it, about as in WebShop's 1,000.
        price: What a thing costs in the middle, in dollars.
        coloured: Whether the first thing to choose is a colour.
        things: What it sells.
        before: Attributes that stand before the thing.
        having: Attributes behind `with`.
        serving: Attributes behind `for`.
        materials: What things are made of, or smell or taste of.
        options: What can be chosen besides the colour, by name.
    """

    name: str
    share: float
    price: float
    coloured: bool
    things: tuple[Thing, ...]
    before: tuple[str, ...]
    having: tuple[str, ...]
    serving: tuple[str, ...]
    materials: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Words:
    """All lists.

    Attributes:
        onsets: How a syllable of a brand begins.
        vowels: How it goes on.
        codas: How a brand ends.
        colours: What can be chosen as a colour.
        adjectives: Words that may stand before any thing, and are no attributes.
        sentences: What descriptions and bullet points are made of, with gaps for `str.format`.
        departments: The departments.
    """

    onsets: tuple[str, ...]
    vowels: tuple[str, ...]
    codas: tuple[str, ...]
    colours: tuple[str, ...]
    adjectives: tuple[str, ...]
    sentences: tuple[str, ...]
    departments: tuple[Department, ...]


@lru_cache(maxsize=1)
def words() -> Words:
    """Return the lists."""
    table = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
    departments = tuple(_department(each) for each in table.pop("departments"))
    return Words(**{name: tuple(each) for name, each in table.items()}, departments=departments)


def _department(table: dict[str, Any]) -> Department:
    lists = {name: tuple(table[name]) for name in ("before", "having", "serving", "materials")}
    return Department(
        name=table["name"],
        share=table["share"],
        price=table["price"],
        coloured=table["coloured"],
        things=tuple(_thing(line) for line in table["things"]),
        options={name: tuple(values) for name, values in table["options"].items()},
        **lists,
    )


def _thing(line: str) -> Thing:
    path, query, names = line.split(" | ")
    return Thing(path, query, tuple(names.split(", ")))
