"""The shop's pages as HTML, for the observation mode `html`.

The markup is independent of WebShop's. It has the texts of its templates in their order, and the identifiers, classes,
names and values that WebShop and its agents need: `search_input`, `instruction-text`, `product-image`, the classes
`btn`, `product-link`, `product-title`, `product-price`, and a radio button for every value of an option. So
`convert_html_to_text` and `get_available_actions` give the same results. Style, scripts and form URLs are omitted,
because clicking is an action of the environment. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape

from act_gym.engines.webshop.pages import page_of
from act_gym.engines.webshop.product import Product
from act_gym.engines.webshop.session_state import SUB_PAGES, Visit

__all__ = ["html_page"]

_SUB_PAGE_NAMES: Mapping[str, str] = {
    "Description": "description",
    "Features": "bulletpoints",
    "Reviews": "reviews",
    "Attributes": "attributes",
}
"""WebShop's path segments of the sub-pages' buttons."""


def html_page(visit: Visit, instruction: str, *, show_attributes: bool = False) -> str:
    """Return a page as HTML.

    Args:
        visit: The session's state.
        instruction: The instruction.
        show_attributes: Whether a product's page links to its attributes.
    """
    body = "\n".join(_body(visit, instruction, show_attributes=show_attributes))
    return f"<!DOCTYPE html>\n<html>\n<head>\n<title>WebShop</title>\n</head>\n<body>\n{body}\n</body>\n</html>"


def _body(visit: Visit, instruction: str, *, show_attributes: bool) -> Iterator[str]:
    if visit.page == "done":
        yield from _done(visit, instruction)
        return
    if visit.page == "search":
        yield '<div id="logo"><h2>WebShop</h2></div>'
        yield _instruction(instruction, "Instruction: ")
        yield '<input id="search_input" type="text" name="search_query" placeholder="Search..." required>'
        yield _button("Search")
        return
    yield _instruction(instruction, "Instruction:")
    yield _button("Back to Search")
    if visit.page == "results":
        yield from _results(visit)
        return
    assert visit.product is not None
    yield _button("< Prev")
    if visit.page == "item":
        yield from _item(visit.product, visit.options, show_attributes=show_attributes)
    else:
        yield from _sub_page(visit.page, visit.product)


def _results(visit: Visit) -> Iterator[str]:
    yield f"<h3>Page {visit.number} (Total results: {len(visit.hits)})</h3>"
    if visit.number > 1:
        yield _button("< Prev")
    yield _button("Next >")
    for _, product in visit.shown:
        asin = escape(product.asin)
        yield '<div class="list-group-item searched-product">'
        yield f'<img src="{escape(product.image)}" class="result-img">'
        yield f'<h4 class="product-asin"><a class="product-link" href="/item_page/{asin}">{asin}</a></h4>'
        yield _tag("h4", "product-title", product.title)
        yield _tag("h5", "product-price", product.price_tag)
        yield "</div>"


def _item(product: Product, chosen: Mapping[str, str], *, show_attributes: bool) -> Iterator[str]:
    image = next((product.option_images[value] for value in chosen.values() if value in product.option_images), "")
    yield f'<img id="product-image" src="{escape(image or product.image)}" class="item-page-img">'
    for name, values in product.options.items():
        yield f"<h4>{escape(name)}</h4>"
        yield '<div class="radio-toolbar">'
        for number, value in enumerate(values):
            shown, identifier = escape(value), f"radio_{escape(name)}{number}"
            checked = " checked" if chosen.get(name) == value else ""
            yield f'<input type="radio" id="{identifier}" name="{escape(name)}" value="{shown}"{checked}>'
            yield f'<label for="{identifier}">{shown}</label>'
        yield "</div>"
    yield f"<h2>{escape(product.title)}</h2>"
    yield f"<h4>Price: {escape(product.price_tag)}</h4>"
    yield "<h4>Rating: N.A.</h4>"
    for name in SUB_PAGES if show_attributes else SUB_PAGES[:-1]:
        yield f'<div name="{_SUB_PAGE_NAMES[name]}">{_button(name)}</div>'
    yield _button("Buy Now", "purchase")


def _sub_page(name: str, product: Product) -> Iterator[str]:
    if name == "Description":
        yield _tag("p", "product-info", product.description)
    elif name == "Features":
        yield from _list("product-info", product.bullet_points)
    elif name == "Attributes":
        yield from _list("attribute", product.attributes)
        yield _tag("h5", "product-category", product.category)
        yield _tag("h5", "product-query", product.query)
        yield _tag("h5", "product-product_category", product.product_category)


def _done(visit: Visit, instruction: str) -> Iterator[str]:
    assert visit.product is not None
    assert visit.score is not None
    places = {"asin": visit.product.asin, "reward": str(visit.score.reward)}
    for _, text in page_of(visit, instruction).parts:
        identifier = next((place for place, value in places.items() if value == text), "")
        places.pop(identifier, None)
        yield f'<pre id="{identifier}">{escape(text)}</pre>' if identifier else f"<pre>{escape(text)}</pre>"


def _instruction(instruction: str, label: str) -> str:
    return f'<div id="instruction-text"><h4>{label}<br>{escape(instruction)}</h4></div>'


def _button(text: str, more: str = "btn-primary") -> str:
    return f'<button type="submit" class="btn {more}">{escape(text)}</button>'


def _list(name: str, items: Iterable[str]) -> Iterator[str]:
    yield "<ul>"
    yield from (f'<li><p class="{name}"> {escape(item)}</p></li>' for item in items)
    yield "</ul>"


def _tag(tag: str, name: str, text: str) -> str:
    return f'<{tag} class="{name}">{escape(text)}</{tag}>'
