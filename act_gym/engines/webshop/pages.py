"""Pages of the shop: their texts and clickable elements, without HTML.

WebShop fills HTML templates (`web_agent_site/templates`) and takes the text out of them again with BeautifulSoup
(`web_agent_site/envs/web_agent_text_env.py`). Here a page is the list of the resulting texts, in their order;
`benchmarks/parity/webshop/` compares the two. The parser's treatment of white space is kept: a text of spaces only is
present and empty, one with a line break among them is absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from act_gym.engines.webshop.product import Product
from act_gym.engines.webshop.session_state import SUB_PAGES, Visit

__all__ = ["Clickable", "Page", "Part", "page_of"]

_SPACES = " \n\t\f\r"


class Part(NamedTuple):
    """One piece of text of a page.

    Attributes:
        kind: `text`, `button`, `label` for a value of an option, or `link` for a product.
        text: The text, as on the page.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Clickable:
    """Effect of a click beyond its name: a product, a value of an option, or neither."""

    product: Product | None = None
    option: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Content of a page.

    Attributes:
        parts: Its texts in order.
        clickables: The arguments of `click[…]`, lower case, in WebShop's order; `search` is included, but not
            clickable.
        search_bar: Whether it has one.
    """

    parts: tuple[Part, ...]
    clickables: Mapping[str, Clickable]
    search_bar: bool = False

    def text(self) -> str:
        """Return the mode `text`: the texts, separated."""
        return " [SEP] ".join([part.text.strip() for part in self.parts])

    def rich_text(self, visit: Visit) -> str:
        """Return the mode `text_rich`: a line for each text, with buttons and chosen values marked.

        As in WebShop, a value counts as chosen if the URL contains it in quotes: also if it is the name of a chosen
        option or was searched for in quotes, and not if it is not ASCII.
        """
        lines, clicked = [], []
        for kind, text in self.parts:
            if kind == "button":
                line = f"[button] {text} [button_]"
            elif kind == "label" and f'"{text}"' in visit.url:
                line = f"  [clicked button] {text} [clicked button_]"
                clicked.append(f"You have clicked {text}.\n")
            elif kind == "label":
                line = f"  [button] {text} [button_]"
            elif kind == "link":
                before = "clicked " if text in visit.seen else ""
                line = f"\n[{before}button] {text} [{before}button_]"
            else:
                line = text
            lines.append(f"{line}\n")
        return "".join([*reversed(clicked), *lines])


def page_of(visit: Visit, instruction: str, *, show_attributes: bool = False) -> Page:
    """Return the content of a page.

    Args:
        visit: The session's state.
        instruction: The instruction.
        show_attributes: Whether a product's page links to its attributes.
    """
    if visit.page == "search":
        parts = [_text("WebShop"), _text("Instruction: "), _text(instruction), _button("Search")]
        return Page(_visible(parts), {"search": Clickable()}, search_bar=True)
    if visit.page == "done":
        return Page(_visible(list(_done(visit))), {})
    head = [_text("Instruction:"), _text(instruction), _button("Back to Search")]
    if visit.page == "results":
        return _results(visit, head)
    assert visit.product is not None
    head.append(_button("< Prev"))
    if visit.page == "item":
        return _item(visit.product, head, show_attributes=show_attributes)
    return Page(_visible([*head, *_SUB_PAGES[visit.page](visit.product)]), _buttons(head))


def _results(visit: Visit, parts: list[Part]) -> Page:
    parts.append(_text(f"Page {visit.number} (Total results: {len(visit.hits)})"))
    if visit.number > 1:
        parts.append(_button("< Prev"))
    parts.append(_button("Next >"))
    clickables = _buttons(parts)
    for _, product in visit.shown:
        parts += (Part("link", product.asin), _text(product.title), _text(product.price_tag))
        clickables[product.asin.lower()] = Clickable(product=product)
    return Page(_visible(parts), clickables)


def _item(product: Product, parts: list[Part], *, show_attributes: bool) -> Page:
    more = [_button(name) for name in (SUB_PAGES if show_attributes else SUB_PAGES[:-1])]
    buy = _button("Buy Now")
    clickables = _buttons([*parts, *more, buy])
    for name, values in product.options.items():
        parts.append(_text(name))
        for value in values:
            parts.append(Part("label", value))
            clickables[value] = Clickable(option=name)
    parts += (_text(product.title), _text(f"Price: {product.price_tag}"), _text("Rating: N.A."), *more, buy)
    return Page(_visible(parts), clickables)


def _description(product: Product) -> Iterator[Part]:
    yield _text(product.description)


def _features(product: Product) -> Iterator[Part]:
    yield from (_text(f" {point}") for point in product.bullet_points)


def _reviews(_: Product) -> Iterator[Part]:
    yield from ()  # WebShop reads none either


def _attributes(product: Product) -> Iterator[Part]:
    yield from (_text(f" {attribute}") for attribute in product.attributes)
    yield from map(_text, (product.category, product.query, product.product_category))


_SUB_PAGES: Mapping[str, Callable[[Product], Iterator[Part]]] = dict(
    zip(SUB_PAGES, (_description, _features, _reviews, _attributes), strict=True)
)


def _done(visit: Visit) -> Iterator[Part]:
    """Yield the parts of the last page: the text environment fills in only the purchase and the reward."""
    assert visit.product is not None
    assert visit.score is not None
    nothing = "None"
    yield from map(_text, ("Thank you for shopping with us!", "Your code: ", nothing))
    yield from map(_text, (" (Paste it in your MTurk interface.)", "Purchased", "asin", visit.product.asin))
    yield from map(_text, ("options", _as_json(visit.options)))
    for name in ("attrs", "category", "query", "product category"):
        yield from map(_text, (name, nothing))
    yield from map(_text, ("Target", "asin", "options", "attrs", "price upper", "instuction text"))
    yield from map(_text, ("category", "product category", "query", "Goal ", nothing, "Reward"))
    yield from map(_text, ("Your score (min 0.0, max 1.0)", str(visit.score.reward), "Reward Details ", nothing))


def _as_json(options: Mapping[str, str]) -> str:
    """Return options as Flask writes them into a page: sorted, in ASCII, without what has a meaning in HTML."""
    text = json.dumps(dict(options), sort_keys=True)
    for letter in "<>&'":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _text(text: str) -> Part:
    return Part("text", text)


def _button(text: str) -> Part:
    return Part("button", text)


def _buttons(parts: list[Part]) -> dict[str, Clickable]:
    return {part.text.lower(): _PLAIN for part in parts if part.kind == "button"}


_PLAIN = Clickable()


def _visible(parts: list[Part]) -> tuple[Part, ...]:
    """Leave out texts that are not there for WebShop's parser, and shorten those of spaces alone to one."""
    found = []
    for part in parts:
        if part.text.strip(_SPACES):
            found.append(part)
        elif part.text and "\n" not in part.text:
            found.append(Part(part.kind, " "))
    return tuple(found)
