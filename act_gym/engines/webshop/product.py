"""Products and instructions, and the protocols of a catalogue and a search engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Catalogue", "Instruction", "Product", "SearchEngine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product.

    Attributes:
        asin: Its identifier, up to ten letters and digits, unique in a catalogue.
        title: Its name, as pages show it.
        category: The department, e.g. `beauty`.
        query: The query that found it when the catalogue was made, lower case, e.g. `console tables`.
        product_category: The path through the departments, its parts separated by `›`.
        description: Running text; may be empty.
        bullet_points: The list on its features page.
        attributes: The attributes for the reward, e.g. `machine wash`.
        options: For each option its values, e.g. `{"size": ("small", "large")}`, lower case.
        option_images: The address of an image for those option values that have one.
        prices: In dollars: one, or the lower and upper end of a range.
        price_tag: The price as pages show it, e.g. `$13.99 to $24.89`.
        image: The address of its main image.
        nouns: The nouns of its title in lower case, which the reward's title score compares.
    """

    asin: str
    title: str
    category: str
    query: str
    product_category: str
    description: str
    bullet_points: tuple[str, ...]
    attributes: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    option_images: Mapping[str, str] = field(default_factory=dict)
    prices: tuple[float, ...] = (100.0,)
    price_tag: str = "$100.0"
    image: str = ""
    nouns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Instruction, from which goals of a product are made.

    Attributes:
        position: The product's position in the catalogue.
        text: The text, without options and price.
        attributes: The wanted attributes; at least one.
        options: The wanted values of options, for a human instruction.
        goals: Its number of goals: 1 for a human one, else one for every combination of the product's options, so 1
            without options and 0 if an option has no value.
    """

    position: int
    text: str
    attributes: tuple[str, ...]
    options: tuple[str, ...] = ()
    goals: int = 1


class Catalogue(Protocol):
    """All products of a shop, in an order that never changes. It is only read, and by many at once."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def product(self, position: int) -> Product:
        """Return the product at a position, from 0.

        Raises:
            IndexError: There is none.
        """
        ...

    def position(self, asin: str) -> int | None:
        """Return the position of a product; None if it is absent."""
        ...


class SearchEngine(Protocol):
    """Search engine of a shop."""

    def search(self, query: str, limit: int = 50) -> Sequence[int]:
        """Return positions in the catalogue, the best first, at most `limit` of them."""
        ...
