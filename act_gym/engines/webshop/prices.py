"""Prices and price limits, which WebShop draws at random.

A product with a price range costs something between its ends, and a customer's limit is the larger of two of the next
four tens above the price of the product the goal was made from. WebShop draws both from Python's global generator
before it seeds it, so they differ between two starts of its server. Here each is drawn from its own generator, seeded
with the product's identifier, and is the same everywhere. Another server's draws can be given instead.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from act_gym.engines.webshop.product import Catalogue, Product
from act_gym.errors import UsageError

__all__ = ["Prices"]

_SEED = 233  # any number would do; this is the one that WebShop shuffles its goals with
_STEPS = [10.0 * step for step in range(1, 100)]  # the limits there are, in dollars


class Prices:
    """Draws prices and limits.

    Args:
        given: Prices and limits that replace draws, or a JSON file with them: `{"products": {asin: dollars}, "limits":
            {index of a goal: dollars}}`; both are optional. A limit of `Prices.NO_LIMIT` is none.

    Raises:
        UsageError: `given` has another form, or an amount is negative or not a number.
    """

    NO_LIMIT = 1_000_000.0
    """Price limit that means no limit, in dollars."""

    def __init__(self, given: Mapping[str, Any] | str | os.PathLike[str] | None = None) -> None:
        table = _table(given)
        try:
            self._products = {str(asin): float(price) for asin, price in table.get("products", {}).items()}
            self._limits = {int(index): float(limit) for index, limit in table.get("limits", {}).items()}
        except (AttributeError, TypeError, ValueError) as cause:
            raise _no_prices(given) from cause
        for kind, amounts in (("products", self._products), ("limits", self._limits)):
            for name, amount in amounts.items():
                if not 0 <= amount < math.inf:
                    raise UsageError(f"prices= has {amount} for {name} in {kind}; expected dollars, 0 or more.")

    @property
    def given(self) -> bool:
        """Whether any of them is not drawn."""
        return bool(self._products or self._limits)

    @property
    def digest(self) -> str:
        """First 16 digits of the sha256 of the given prices, independent of their spelling in a file."""
        table = [sorted(self._products.items()), sorted(self._limits.items())]
        return sha256(json.dumps(table).encode()).hexdigest()[:16]

    def check(self, products: Catalogue, goals: int) -> None:
        """Check that the products and goals of the given prices exist.

        Args:
            products: The shop's products.
            goals: The number of its goals.

        Raises:
            UsageError: One does not exist.
        """
        for asin in self._products:
            if products.position(asin) is None:
                raise UsageError(f"prices= has a price for the product {asin}, which this catalogue does not sell.")
        for index in self._limits:
            if not 0 <= index < goals:
                raise UsageError(f"prices= has a limit for goal {index}; this catalogue has goals 0 to {goals - 1}.")

    def price(self, product: Product) -> float:
        """Return what a product costs, in dollars: the price, or one from its range."""
        known = self._products.get(product.asin)
        if known is not None:
            return known
        if len(product.prices) == 1:
            return product.prices[0]
        low, high = product.prices[:2]
        return low + (high - low) * _drawn(product.asin, 0)

    def upper(self, product: Product, number: int, *, goal: int) -> float:
        """Return the price limit of a goal, in dollars.

        Args:
            product: The goal's product.
            number: Distinguishes several goals of that product.
            goal: The goal's index.
        """
        known = self._limits.get(goal)
        if known is not None:
            return known
        price = self.price(product)
        above = [step for step in _STEPS if step > price][:4]
        if len(above) < 2:
            return self.NO_LIMIT
        return above[_larger_of_two(len(above), _drawn(product.asin, 1 + number))]


@lru_cache(maxsize=1 << 14)
def _drawn(asin: str, number: int) -> float:
    """Return a number from 0 to 1, a product's first, second and so on; 15 µs, of which nearly all is for seeding."""
    seed = (_SEED << 64) + (crc32(asin.encode()) << 32) + number
    return float(np.random.Generator(np.random.PCG64(seed)).random())


def _larger_of_two(count: int, drawn: float) -> int:
    """Return the larger of two different numbers below `count`, each pair of which is as likely as the others."""
    pair = int(drawn * (count * (count - 1) // 2))
    larger = 1
    while pair >= larger:
        pair -= larger
        larger += 1
    return larger


def _table(given: Mapping[str, Any] | str | os.PathLike[str] | None) -> Mapping[str, Any]:
    if given is None:
        return {}
    if isinstance(given, str | os.PathLike):
        try:
            given = json.loads(Path(given).read_text(encoding="utf-8"))
        except (OSError, ValueError) as cause:
            raise UsageError(f"prices= is a JSON file; {given!r} could not be read: {cause}") from cause
    if not isinstance(given, Mapping) or set(given) - {"products", "limits"}:
        raise _no_prices(given)
    return given


def _no_prices(given: object) -> UsageError:
    return UsageError(
        f"prices= holds dollars, as {{'products': {{asin: price}}, 'limits': {{index of a goal: price}}}}; "
        f"got {given!r}."
    )
