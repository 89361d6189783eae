"""Where a customer is in the shop: one record from which every page can be shown, and which never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from act_gym.engines.webshop.product import Product
from act_gym.engines.webshop.reward import Score

__all__ = ["SUB_PAGES", "Visit"]

SUB_PAGES = ("Description", "Features", "Reviews", "Attributes")
"""What tells more about a product; the last one is shown where the shop is made to show attributes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One moment of a customer's visit.

    Attributes:
        page: `search`, `results`, `item`, one of `SUB_PAGES`, or `done`.
        url: The page's address in WebShop's manner, which also decides where `< Prev` leads.
        keywords: What was searched for, split at single spaces.
        number: Which page of the results was last shown, from 1; an odd search can make it smaller.
        hits: Positions in the catalogue of all results of that search.
        shown: The products on that page of the results.
        product: The one that was clicked on.
        options: What was chosen of its options, by name.
        seen: Identifiers of the products that were clicked on since the search page.
        score: What the purchase was worth.
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
