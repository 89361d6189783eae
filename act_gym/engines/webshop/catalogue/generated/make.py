"""Generated products: any product of a shop from its seed, independent of the others.

The lengths of titles, the numbers of options and values, the shares of descriptions and instructions are drawn to
match WebShop's 1,000 products; `docs/webshop-data.md` compares the two. Words come from `words.toml`.

"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from act_gym.engines.webshop.catalogue.build import Item
from act_gym.engines.webshop.product import Product
from act_gym.progress import track

__all__ = ["VERSION", "Department", "GeneratedProducts", "Thing", "Words", "words"]


@dataclass(frozen=True)
class Thing:
    """Kind of product.

    Attributes:
        path: Its path through the departments, parts separated by ` › `.
        query: The query that finds it.
        names: Its names.
    """

    path: str
    query: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Department:
    """Department.

    Attributes:
        name: Its name, as WebShop's departments are called.
        share: Its share of the products, about as in WebShop's 1,000.
        price: The median price, in dollars.
        coloured: Whether the first option is a colour.
        things: Its kinds of products.
        before: Attributes before the product's name.
        having: Attributes after `with`.
        serving: Attributes after `for`.
        materials: Materials, scents or flavours.
        options: Further options, by name.
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
    """Word lists.

    Attributes:
        onsets: Beginnings of a brand's syllables.
        vowels: Their vowels.
        codas: Endings of a brand.
        colours: Values of a colour option.
        adjectives: Words before any product's name that are not attributes.
        sentences: Templates of descriptions and bullet points, for `str.format`.
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


VERSION = 1
"""Grows whenever the same seed gives another shop."""

T = TypeVar("T")

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NUMBERS = 36**9
_STRIDE = 48_271  # a prime, so that neighbours get identifiers far apart and no two the same


class GeneratedProducts:
    """The products of a generated shop: a `Source` of a folder.

    Args:
        count: How many there are.
        seed: Another seed gives another shop; more products with the same seed, the same ones and more.
        processes: How many processes may share the indexing.
    """

    finder = None

    def __init__(self, count: int, seed: int = 0, processes: int = 1) -> None:
        self.processes = processes
        self._count = count
        self._seed = seed

    @property
    def identity(self) -> Mapping[str, Any]:
        """The seed, the size and the version of the lists."""
        return {"kind": "generated", "version": VERSION, "products": self._count, "seed": self._seed}

    def details(self) -> Mapping[str, Any]:
        """Return nothing: the identity is complete."""
        return {}

    def items(self, first: int) -> Iterator[Item]:
        """Yield the products but the first ones, in order, as rows of a catalogue."""
        numbers = track(range(first, self._count), "Making products", total=self._count, done=first)
        return (self.item(number) for number in numbers)

    def item(self, number: int) -> Item:
        """Return a product by its number, with its instruction if it has one."""
        draw = _Draw(np.random.default_rng([self._seed, number]))
        department = draw.by_share([(each, each.share) for each in words().departments])
        thing = draw.one(department.things)
        made = _Made(draw, department, thing)
        title, nouns = made.title()
        product = Product(
            asin=_asin(number, self._seed),
            title=title,
            category=department.name,
            query=thing.query,
            product_category=thing.path,
            description=made.text(draw.tail(1, 9.5, 60)) if draw.chance(0.68) else "",
            bullet_points=made.bullet_points(),
            attributes=made.attributes,
            options=made.options(),
            prices=(prices := made.prices()),
            price_tag=" to ".join(f"${price}" for price in prices),
            nouns=nouns,
        )
        entry = (
            {"instruction": made.instruction(), "instruction_attributes": list(made.wanted)} if made.wanted else None
        )
        return Item(product, entry=entry)


class _Draw:
    """Draws from one product's own generator, many numbers at a time."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._drawn: list[float] = []

    def number(self) -> float:
        """Return a number from 0 to below 1."""
        if not self._drawn:
            self._drawn = self._random.random(256).tolist()
        return self._drawn.pop()

    def chance(self, share: float) -> bool:
        return self.number() < share

    def below(self, count: int) -> int:
        return int(self.number() * count)

    def one(self, choices: Sequence[T]) -> T:
        return choices[int(self.number() * len(choices))]

    def some(self, choices: Sequence[T], count: int) -> list[T]:
        """Return different ones, in the order of the choices."""
        picked: set[int] = set()
        while len(picked) < min(count, len(choices)):
            picked.add(self.below(len(choices)))
        return [choices[at] for at in sorted(picked)]

    def tail(self, least: int, mean: float, most: int) -> int:
        """Return a whole number that is often near the least one and seldom near the most."""
        return min(most, least + int(-np.log1p(-self.number()) * (mean - least)))

    def by_share(self, choices: Sequence[tuple[T, float]]) -> T:
        left = self.number()
        for choice, share in choices:
            left -= share
            if left < 0:
                return choice
        return choices[-1][0]


class _Made:
    """Product in construction."""

    def __init__(self, draw: _Draw, department: Department, thing: Thing) -> None:
        self._draw = draw
        self._department = department
        self._thing = thing
        self._name = draw.one(thing.names)
        self._material = draw.one(department.materials)
        self._before: list[str] = []
        self._having: list[str] = []
        self._serving: list[str] = []
        self.wanted: list[str] = []
        self.attributes: tuple[str, ...] = ()
        if draw.chance(0.42):
            self._before = draw.some(department.before, draw.tail(0, 1.7, 8))
            self._having = draw.some(department.having, draw.tail(0, 1.6, 6))
            self._serving = draw.some(department.serving, draw.tail(0, 1.0, 3))
            if not (self._before or self._having or self._serving):
                self._before = [draw.one(department.before)]
            self.wanted = [*self._before, *self._having, *self._serving]
        if self.wanted or draw.chance(0.8):
            others = [name for name in thing.names if " " in name]
            self.attributes = (*draw.some(others, draw.tail(0, 2.6, 4)), *self.wanted)

    def title(self) -> tuple[str, tuple[str, ...]]:
        """Return the title, and its nouns in lower case."""
        draw = self._draw
        brand = _brand(draw)
        said: list[str] = []
        nouns: list[str] = []

        def say(text: str, *, noun: bool = False) -> None:
            said.append(text)
            if noun:
                nouns.extend(text.lower().replace("-", " - ").replace(" - ", " ").split())

        say(brand, noun=True)
        for adjective in draw.some(words().adjectives, draw.tail(0, 3.2, 9)):
            say(adjective.title())
        for attribute in self._before[:3]:
            say(attribute.title())
        say(self._material.title(), noun=True)
        say(self._name.title(), noun=True)
        if draw.chance(0.7):
            say(f"- {draw.one(words().adjectives).title()}")
            say(draw.one(self._thing.names).title(), noun=True)
        if self._having or draw.chance(0.4):
            say("with")
            say(" ".join([*self._having[:2]] or [draw.one(self._department.having)]).title(), noun=True)
        if self._serving or draw.chance(0.6):
            say("for")
            say(draw.one(self._serving or self._department.serving).title(), noun=True)
            if draw.chance(0.5):
                say("and")
                say(draw.one(self._department.serving).title(), noun=True)
        if draw.chance(0.5):
            say(f", {draw.one(('Pack', 'Set', 'Model', 'Size', 'Edition'))}", noun=False)
            nouns.append(said[-1][2:].lower())
            say(str(1 + draw.below(60)))
        if draw.chance(0.3):
            say(f"({draw.one(words().colours).title()})")
        return " ".join(said).replace(" ,", ","), tuple(nouns)

    def bullet_points(self) -> tuple[str, ...]:
        """Return the list of the features page; the attributes are in its first items."""
        draw = self._draw
        points = []
        for at in range(draw.tail(3, 4.2, 7) + 1):
            text = self.text(draw.tail(1, 2.6, 20))
            if at < len(self.wanted):
                text = f"{self.wanted[at].title()} {self._name}: {text}"
            points.append(text)
        return tuple(points)

    def text(self, sentences: int) -> str:
        """Return running text."""
        draw, department = self._draw, self._department
        said = []
        for _ in range(sentences):
            sentence = draw.one(words().sentences).format_map(
                {
                    "adjective": draw.one(words().adjectives),
                    "thing": self._name,
                    "material": self._material,
                    "attribute": draw.one(self._before or department.before),
                    "place": draw.one(department.serving),
                    "number": 10 + draw.below(90),
                    "other": 2 + draw.below(98),
                }
            )
            said.append(f"{sentence}.")
        return " ".join(said)

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the options; more than half of the products have none."""
        draw, department = self._draw, self._department
        kinds = draw.by_share(((0, 0.577), (1, 0.245), (2, 0.165), (3, 0.013)))
        choices = dict(department.options)
        if department.coloured:
            choices = {"color": words().colours, **choices}
        first, *others = choices
        names = [first] if kinds and draw.chance(0.6) else []
        while len(names) < kinds:
            name = draw.one(others if draw.chance(0.25) else others[:1] or [first])
            name = first if kinds > 1 and first not in names else name
            names.extend([name] if name not in names else [])
        return {name: tuple(draw.some(choices[name], draw.tail(2, 7.2, 45))) for name in names}

    def prices(self) -> tuple[float, ...]:
        """Return a price in dollars, or the ends of a range."""
        draw = self._draw
        if draw.chance(0.2):
            return (100.0,)  # as for products without a price in WebShop
        spread = (draw.number() + draw.number() + draw.number() - 1.5) * 1.8
        low = max(1, round(self._department.price * float(np.exp(spread)))) - 0.01
        low = round(low, 2)
        return (low, round(low * (1.2 + draw.number()), 2)) if draw.chance(0.11) else (low,)

    def instruction(self) -> str:
        """Return what a customer wants, in the manner of WebShop's synthetic instructions."""
        parts = ["Find me", ", ".join(self._before), self._thing.query]
        if self._having:
            parts.append(f"with {', '.join(self._having)}")
        if self._serving:
            parts.append(f"for {', '.join(self._serving)}")
        return " ".join(part for part in parts if part)


def _asin(number: int, seed: int) -> str:
    left = (number * _STRIDE + seed) % _NUMBERS
    digits = []
    for _ in range(9):
        left, digit = divmod(left, 36)
        digits.append(_DIGITS[digit])
    return "G" + "".join(digits)


def _brand(draw: _Draw) -> str:
    syllables = "".join(draw.one(words().onsets) + draw.one(words().vowels) for _ in range(1 + draw.below(2)))
    return (syllables + draw.one(words().codas)).title()
