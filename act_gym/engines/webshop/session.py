"""Session logic: transitions between pages, as in WebShop's `SimServer` and `WebAgentTextEnv.step`.

States are immutable, so an earlier state can be kept and restored. WebShop's behaviour is kept, also its oddities
(`docs/webshop-parity.md` lists them):

- A search works on every page. Its words are lower-cased. An action must begin with its name; text after the last
  bracket is ignored.
- If two options have a value of the same name, a click chooses it for the later option. A value with a button's name
  acts as the button.
- Choosing a product, and going back to the results, resets the chosen options; sub-pages keep them.
- `< Prev` depends on the words in the page's URL, which include the query.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from act_gym.engines.webshop.pages import Clickable, Page, page_of
from act_gym.engines.webshop.reward import score
from act_gym.engines.webshop.session_state import SUB_PAGES, Visit

if TYPE_CHECKING:
    from act_gym.engines.webshop.goals import Goal
    from act_gym.engines.webshop.prices import Prices
    from act_gym.engines.webshop.product import Catalogue, Product, SearchEngine

__all__ = ["ADDRESS", "HITS", "PAGE_SIZE", "Session", "parse_action"]

ADDRESS = "http://127.0.0.1:3000"
"""Base URL in WebShop's pages."""

HITS = 50
"""The most results that a search for words has."""

PAGE_SIZE = 10
"""Results on one page."""

_SCANNED = 20_000  # the largest catalogue that is read through for `<a>`, `<c>` and `<q>`

_ADDRESSES = ("search_results", "item_page", "item_sub_page", "done")  # in the order in which they are looked for

_SUB_PAGES: Mapping[str, str] = {name.lower(): name for name in SUB_PAGES}


class Session:
    """One customer with one goal.

    Args:
        products: The catalogue.
        search: The search engine.
        prices: The prices.
        goal: The goal.
        show_attributes: Whether a product's page links to its attributes.
    """

    def __init__(
        self,
        products: Catalogue,
        search: SearchEngine,
        prices: Prices,
        goal: Goal,
        *,
        show_attributes: bool = False,
    ) -> None:
        self.goal = goal
        self._products = products
        self._search = search
        self._prices = prices
        self._show_attributes = show_attributes

    def start(self) -> Visit:
        """Return the search page."""
        return Visit(page="search", url=f"{ADDRESS}/{self.goal.index}")

    def page(self, visit: Visit) -> Page:
        """Return what a page shows."""
        return page_of(visit, self.goal.instruction, show_attributes=self._show_attributes)

    def act(self, visit: Visit, action: str, clickables: Mapping[str, Clickable]) -> Visit | None:
        """Return the state after an action, None if the page lacks the action.

        Args:
            visit: The current state.
            action: Any string.
            clickables: The clickable elements of the page.
        """
        name, argument = parse_action(action)
        if name == "search" and argument:
            return self._results(visit, tuple(argument.split(" ")))
        if name == "click" and argument in clickables and argument != "search":
            return self._click(visit, argument, clickables[argument])
        return None

    def _click(self, visit: Visit, name: str, clicked: Clickable) -> Visit:
        where = next((part for part in _ADDRESSES if part in visit.url), "")
        if name == "buy now":
            return self._done(visit)
        if name == "back to search":
            return self.start()
        if name == "next >" and where == "search_results":
            return self._list(visit, visit.number + 1)
        if name == "< prev" and where == "search_results":
            return self._list(visit, visit.number - 1)
        if name == "< prev" and where == "item_sub_page":
            return self._item(visit)
        if name == "< prev" and where == "item_page":
            return self._list(visit, visit.number)
        if name in _SUB_PAGES:
            return self._sub_page(visit, _SUB_PAGES[name])
        if clicked.product is not None:
            product = clicked.product
            return self._item(replace(visit, product=product, seen=visit.seen | {product.asin}))
        if clicked.option:
            return self._item(replace(visit, options={**visit.options, clicked.option: name}))
        return self._item(visit)

    def _results(self, visit: Visit, keywords: tuple[str, ...]) -> Visit | None:
        hits = self._find(keywords)
        return None if hits is None else self._list(replace(visit, keywords=keywords, hits=tuple(hits)), 1)

    def _list(self, visit: Visit, number: int) -> Visit:
        shown = visit.hits[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]  # before the first page, from the end
        return Visit(
            page="results",
            url=f"{ADDRESS}/search_results/{self.goal.index}/{'+'.join(visit.keywords)}/{number}",
            keywords=visit.keywords,
            number=number,
            hits=visit.hits,
            shown=tuple((position, self._products.product(position)) for position in shown),
            seen=visit.seen,
        )

    def _item(self, visit: Visit) -> Visit:
        asin = _product(visit).asin
        url = (
            f"{ADDRESS}/item_page/{self.goal.index}/{asin}/{'+'.join(visit.keywords)}/{visit.number}/"
            f"{json.dumps(dict(visit.options))}"
        )
        return replace(visit, page="item", url=url)

    def _sub_page(self, visit: Visit, name: str) -> Visit:
        asin = _product(visit).asin
        url = (
            f"{ADDRESS}/item_sub_page/{self.goal.index}/{asin}/{'+'.join(visit.keywords)}/{visit.number}/"
            f"{name}/{dict(visit.options)}"
        )
        return replace(visit, page=name, url=url)

    def _done(self, visit: Visit) -> Visit:
        product = _product(visit)
        found = score(self.goal, product, visit.options, self._prices.price(product))
        url = f"{ADDRESS}/done/{self.goal.index}/{product.asin}/{dict(visit.options)}"
        return replace(visit, page="done", url=url, score=found)

    def _find(self, keywords: Sequence[str]) -> Iterable[int] | None:
        """Return positions for a search; the first keyword may be one of WebShop's marks.

        `<r>` is for 50 products at random, `<a>`, `<c>` and `<q>` for those with an attribute, in a department,
        found by a query. Without its word `<c>` cannot be carried out. Large catalogues know only `<r>`.
        """
        mark, rest = keywords[0], keywords[1:]
        count = len(self._products)
        if mark == "<r>":
            random = np.random.default_rng([self.goal.index, crc32(" ".join(rest).encode("utf-8", "replace"))])
            return (int(at) for at in random.choice(count, min(HITS, count), replace=False))
        if mark in ("<a>", "<c>", "<q>") and count <= _SCANNED:
            if mark == "<c>":
                return self._having("category", rest[0].strip()) if rest else None
            return self._having("query" if mark == "<q>" else "attributes", " ".join(rest).strip())
        return self._search.search(" ".join(keywords), HITS)

    def _having(self, what: str, wanted: str) -> list[int]:
        found = []
        for position in range(len(self._products)):
            value = getattr(self._products.product(position), what)
            if wanted in value if what == "attributes" else wanted == value:
                found.append(position)
        return found


def parse_action(action: str) -> tuple[str, str]:
    """Return the name and the lower-cased argument of `name[argument]`; no argument for another form.

    As in WebShop, only the first line counts, the argument is between the last brackets that can enclose one, and text
    after them is ignored.
    """
    line = action.partition("\n")[0]
    end = line.rfind("]")
    start = line.rfind("[", 0, max(end - 1, 0))
    return (line[:start], line[start + 1 : end].lower()) if start > 0 else (action, "")


def _product(visit: Visit) -> Product:
    assert visit.product is not None
    return visit.product
