"""Session state: an immutable record from which every page can be rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from act_gym.engines.webshop.product import Product
from act_gym.engines.webshop.reward import Score

__all__ = ["SUB_PAGES", "Visit"]

SUB_PAGES = ("Description", "Features", "Reviews", "Attributes")
"""Sub-pages of a product; the last one exists only if the shop shows attributes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """State of a session.

    Attributes:
        page: `search`, `results`, `item`, one of `SUB_PAGES`, or `done`.
        url: The page's URL in WebShop's form, which also decides the target of `< Prev`.
        keywords: The query, split at single spaces.
        number: The last page of results shown, from 1; an odd search can make it smaller.
        hits: Positions in the catalogue of all results.
        shown: The products on that page of the results.
        product: The product clicked on.
        options: The chosen values of its options, by name.
        seen: Identifiers of the products clicked on since the search page.
        score: The reward of the purchase.
    """

    page: str
    url: str
    keywords: tuple[str, ...] = ()
    number: int = 1
    hits: tuple[int, ...] = ()
    shown: tuple[tuple[int, Product], ...] = ()
    product: Product | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    score: Score | None = None
