"""HTML pages of the shop, from the state of the environment's engine.

They have the texts of WebShop's own pages in their order, and the identifiers, classes, names and values by which its
agents find elements: `search_input`, `instruction-text`, `product-image`, the classes `btn`, `product-link`,
`product-title`, `product-price`, and a radio button for every value of an option. Only these have the class `btn`.
WebShop's pictures are on other servers; here each department has an icon.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pprint import pformat
from urllib.parse import quote

from act_gym.engines.webshop.pages import Clickable
from act_gym.engines.webshop.product import Product
from act_gym.engines.webshop.session_state import SUB_PAGES
from act_gym.webshop_site.html import Markup, button, document, element, joined
from act_gym.webshop_site.sessions import LEFT, Customer, Customers, Offer

__all__ = ["LONGEST_SEARCH", "PAGE_SIZE", "end_page", "page", "tasks_page"]

_PARTS = (("Attributes", "r_att", "w_att"), ("Options", "r_option", "w_option"), ("Price", "r_price", "w_price"))


def end_page(customer: Customer, note: str = "") -> str:
    """Return the page after a purchase, after the last turn, or after leaving.

    Args:
        customer: Whose visit has ended.
        note: See `document`.
    """
    if customer.visit.score is not None:
        title, explained = "Thank you for shopping with us!", _purchase(customer)
    elif customer.stop == "env_error":
        title, explained = "The shop failed", [element("p", customer.error)]
    elif customer.error == LEFT:
        title, explained = "You have left the shop", [element("p", "Nothing was bought.")]
    else:
        title, explained = "No actions left", [element("p", "The visit has ended, and nothing was bought.")]
    body = element(
        "article",
        element("h1", title, id="thankyou"),
        element("div", _reward(customer.info["score"]), *explained, id="stats"),
        class_="ending",
    )
    again = element(
        "nav",
        button("Another task", "/start", style="plain strong"),
        element("a", "All tasks", href="/", class_="plain"),
        aria_label="Next steps",
    )
    return document("The end", body, again, footer=_done_footer(customer), note="" if note == "stale" else note)


def _reward(reward: float) -> Markup:
    text = "Your score (min 0.0, max 1.0)"
    bar = element("meter", min="0", max="1", low="0.5", high="0.99", optimum="1", value=reward, aria_label=text)
    return element("div", text, element("pre", reward), bar, id="reward")


def _purchase(customer: Customer) -> list[Markup]:
    visit, goal = customer.visit, customer.session.goal
    assert visit.product is not None
    assert visit.score is not None
    parts, bought = visit.score.parts, visit.product
    wanted = goal.options if isinstance(goal.options, Mapping) else list(goal.options)
    return [
        _table(parts),
        element("p", "The reward is what was wanted and found, by weight, times how well the type of product fits."),
        element("div", _side("Purchased", bought, "", visit.options), _wanted(customer, wanted), class_="sides"),
        element(
            "details",
            element("summary", "Reward Details"),
            element("div", element("pre", pformat(dict(parts), sort_dicts=False)), id="reward_info"),
        ),
    ]


def _table(parts: Mapping[str, float | bool]) -> Markup:
    rows = [
        _row(name, float(parts[reward]), f"{float(parts[weight]):.0%}")
        for name, reward, weight in _PARTS
        if reward in parts
    ]
    alike = [
        "found by the same search" if parts["query_match"] else "",
        "in the same department" if parts["category_match"] else "",
        f"titles share {float(parts['title_score']):.0%} of their nouns",
    ]
    rows.append(_row("Type", float(parts["r_type"]), "×", "; ".join(each for each in alike if each)))
    columns = ("Part", "Fulfilled", "Weight")
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in columns)))
    return element("table", element("caption", "Parts of the reward"), head, element("tbody", *rows))


def _row(name: str, share: float, weight: str, remark: str = "") -> Markup:
    return element(
        "tr",
        element("th", name, element("span", remark) if remark else None, scope="row"),
        element("td", f"{share:.0%}", class_="good" if share == 1 else "bad"),
        element("td", weight),
    )


def _wanted(customer: Customer, options: Mapping[str, str] | Sequence[str]) -> Markup:
    goal = customer.session.goal
    return _side(
        "Target",
        goal.product,
        "goal-",
        options,
        _fact("attrs", "goal-attrs", ", ".join(goal.attributes)),
        _fact("price upper", "goal-price", f"{goal.price_upper:.2f}"),
        _fact("instruction text", "goal-instruction-text", goal.instruction),
    )


def _side(
    title: str, product: Product, prefix: str, options: Mapping[str, str] | Sequence[str], *more: Markup
) -> Markup:
    """Return the product bought, or the target product, under WebShop's identifiers."""
    kind = prefix or "purchased-"
    chosen = dict(options) if isinstance(options, Mapping) else options
    return element(
        "section",
        element("h2", title),
        element("p", product.title, dir="auto"),
        _fact("asin", f"{prefix}asin", product.asin),
        _fact("options", f"{prefix}options", json.dumps(chosen, ensure_ascii=False)),
        *more,
        _fact("price", f"{kind}price-tag", product.price_tag),
        _fact("category", f"{kind}category", product.category),
        _fact("query", f"{kind}query", product.query),
        _fact("product category", f"{kind}pc", product.product_category),
    )


def _fact(name: str, identifier: str, value: str) -> Markup:
    return element("div", name, element("pre", value), id=identifier, class_="fact")


def _done_footer(customer: Customer) -> Markup:
    turns = len(customer.turns)
    saved = f"saved in {customer.file}" if customer.file else "not saved" if turns else "nothing to save"
    return element(
        "footer",
        element("span", f"{turns} action{'s' * (turns != 1)}"),
        element("span", customer.task.id),
        element("span", saved),
    )


LONGEST_SEARCH = 1000
"""Letters in a search."""

_SIGNS = ("beauty", "electronics", "fashion", "garden", "grocery")
_PLACES: Mapping[str, str] = dict(zip(SUB_PAGES, ("description", "bulletpoints", "reviews", "attributes"), strict=True))


def page(customer: Customer, limit: int, note: str = "") -> str:
    """Return the page that a visitor is on.

    Args:
        customer: Who.
        limit: How many turns a visit has.
        note: See `document`.
    """
    if customer.stop:
        return end_page(customer, note)
    name = customer.visit.page
    title, parts = _PAGES.get(name, _sub_page)(customer)
    header = element("header", element("h1", "WebShop", id="logo")) if name == "search" else None
    return document(title, *parts, header=header, footer=_footer(customer, limit), note=note)


def _search(customer: Customer) -> tuple[str, list[Markup]]:
    field = element(
        "input",
        id="search_input",
        class_="form-control",
        type="text",
        name="search_query",
        placeholder="Search...",
        aria_label="What are you looking for?",
        maxlength=LONGEST_SEARCH,
        autocomplete="off",
        required=True,
        autofocus=True,
    )
    form = element(
        "form",
        field,
        element("button", "Search", class_="btn btn-success", type="submit"),
        id="form-buscar",
        role="search",
        method="post",
        action=f"/search/{_place(customer)}",
    )
    return "Search", [_instruction(customer, "Instruction: "), form]


def _results(customer: Customer) -> tuple[str, list[Markup]]:
    visit = customer.visit
    back = element("nav", _click(customer, "Back to Search", "btn-success"), aria_label="Back")
    counted = element("h1", f"Page {visit.number} (Total results: {len(visit.hits)})")
    turning = [_click(customer, "< Prev")] if visit.number > 1 else []
    pages = element("nav", *turning, _click(customer, "Next >"), class_="turning", aria_label="Pages of results")
    cards = joined(_card(customer, number, product) for number, (_, product) in enumerate(visit.shown))
    found = element("ol", cards, class_="results") if cards else element("p", class_="results nothing")
    return "Results", [_instruction(customer), back, element("div", counted, pages, class_="heading"), found]


def _card(customer: Customer, number: int, product: Product) -> Markup:
    title = f"title-{number}"
    link = element(
        "a",
        product.asin,
        class_="product-link",
        href=f"/item_page/{_place(customer)}/{quote(product.asin, safe='', errors='replace')}",
        aria_describedby=title,
    )
    seen = " seen" if product.asin in customer.visit.seen else ""
    return element(
        "li",
        _picture(product, class_="result-img"),
        element("p", link, class_="product-asin"),
        element("h2", product.title, class_="product-title", id=title, dir="auto"),
        element("p", product.price_tag, class_="product-price"),
        class_=f"list-group-item searched-product{seen}",
    )


def _item(customer: Customer) -> tuple[str, list[Markup]]:
    product = customer.visit.product
    assert product is not None
    shown = customer.session.page(customer.visit)
    buttons = {part.text.lower() for part in shown.parts if part.kind == "button"}
    clickables = {name: each for name, each in shown.clickables.items() if name not in buttons}
    names = [name for name in SUB_PAGES if name.lower() in buttons]
    more = [element("div", _click(customer, name), name=_PLACES[name]) for name in names]
    options = [_option(customer, name, values, clickables) for name, values in product.options.items()]
    body = element(
        "article",
        _picture(product, id="product-image", class_="item-page-img"),
        element("div", *options, class_="options") if options else None,
        element(
            "div",
            element("h1", product.title, dir="auto"),
            element("p", f"Price: {product.price_tag}", class_="price"),
            element("p", "Rating: N.A.", class_="rating"),
            class_="about",
        ),
        element("nav", *more, class_="more", aria_label="More about the product"),
        element("div", _click(customer, "Buy Now", "btn-lg purchase"), class_="buying"),
        class_="item",
    )
    return "Product", [_instruction(customer), _back(customer), body]


def _option(customer: Customer, name: str, values: Sequence[str], clickables: Mapping[str, Clickable]) -> Markup:
    """Return the form of one option; it is separate, so that it sends only the value.

    Some values of real catalogues cannot be chosen by an action either (`docs/webshop-parity.md`): those that belong to
    another option, too, or have a button's name, or contain brackets. They are shown, but cannot be clicked.
    """
    radios = []
    for at, value in enumerate(values):
        identifier = f"radio_{name}{at}"
        there = clickables.get(value) == Clickable(option=name) and f"click[{value}]" in customer.commands
        radios.append(
            element(
                "input",
                type="radio",
                id=identifier,
                name=name or "option",  # without a name it would not be sent
                value=value,
                checked=customer.visit.options.get(name) == value,
                disabled=not there,
            )
        )
        hint = None if there else "No action chooses this value."
        radios.append(element("label", value, for_=identifier, title=hint, dir="auto"))
    choices = element("div", *radios, class_="radio-toolbar")
    return element(
        "form",
        element("fieldset", element("legend", name), choices, element("button", "Choose", class_="choose")),
        class_="option",
        method="post",
        autocomplete="off",
        action=f"/choose/{_place(customer)}",
    )


def _sub_page(customer: Customer) -> tuple[str, list[Markup]]:
    visit = customer.visit
    product = visit.product
    assert product is not None
    if visit.page == "Description":
        texts = element("p", product.description, class_="product-info", dir="auto")
    elif visit.page == "Attributes":
        attributes = [element("li", element("p", f" {each}", class_="attribute")) for each in product.attributes]
        paths = [
            element("p", getattr(product, name), class_=f"product-{name}")
            for name in ("category", "query", "product_category")
        ]
        texts = joined([element("ul", *attributes), *paths])
    else:  # WebShop reads no reviews
        points = product.bullet_points if visit.page == "Features" else ()
        texts = element("ul", *(element("li", element("p", f" {each}", class_="product-info")) for each in points))
    body = element(
        "article",
        element("h1", visit.page),
        element("div", texts, class_="card-body", name=_PLACES[visit.page]),
        class_="sub-page",
    )
    return visit.page, [_instruction(customer), _back(customer), body]


_PAGES: Mapping[str, Callable[[Customer], tuple[str, list[Markup]]]] = {
    "search": _search,
    "results": _results,
    "item": _item,
}


def _instruction(customer: Customer, label: str = "Instruction:") -> Markup:
    text = element("h4", label, element("br"), customer.session.goal.instruction, role="paragraph")
    return element("section", text, id="instruction-text", aria_label="Instruction")


def _back(customer: Customer) -> Markup:
    buttons = _click(customer, "Back to Search", "btn-success"), _click(customer, "< Prev")
    return element("nav", *buttons, aria_label="Back")


def _click(customer: Customer, text: str, style: str = "btn-primary") -> Markup:
    return button(text, f"/click/{_place(customer)}", ("click", text.lower()), style=style)


def _picture(product: Product, **attributes: str) -> Markup:
    sign = product.category if product.category in _SIGNS else "bag"
    return element("img", src=f"/static/{sign}.svg", alt="", **attributes)


def _footer(customer: Customer, limit: int) -> Markup:
    left = limit - len(customer.turns)
    return element(
        "footer",
        element("span", f"{left} of {limit} actions left", class_="few" if left <= limit // 4 else None),
        element("span", customer.task.id),
        button("Leave", f"/leave/{customer.name}", style="plain", label="Leave the shop without buying"),
    )


def _place(customer: Customer) -> str:
    """Return the visitor and the turn for a URL; forms of an earlier page do nothing."""
    return f"{customer.name}/{len(customer.turns)}"


PAGE_SIZE = 50
"""Tasks on one page."""


def tasks_page(customers: Customers, number: int, note: str = "") -> str:
    """Return a page of the list of tasks.

    Args:
        customers: Of the shop.
        number: Which page, from 1; beyond the last one it is the last one.
        note: See `document`.
    """
    last = max(1, -(-len(customers.tasks) // PAGE_SIZE))
    number = min(max(number, 1), last)
    offers = customers.offers((number - 1) * PAGE_SIZE, PAGE_SIZE)
    return document(
        "Tasks",
        element("p", f"{len(customers.tasks):,} customers of {customers.env_id} want something. Choose one and shop."),
        element("div", button("Start a random task", "/start", style="plain strong"), _by_number(), class_="begin"),
        _tasks_table(offers),
        _list_pages(number, last),
        header=element("header", element("h1", "WebShop", id="logo")),
        note=note,
    )


def _by_number() -> Markup:
    field = element("input", id="task", name="task", inputmode="numeric", autocomplete="off", required=True, size=7)
    label = element("label", "Task number", for_="task")
    return element("form", label, field, element("button", "Start", class_="plain"), method="post", action="/start")


def _tasks_table(offers: Sequence[Offer]) -> Markup:
    names = ("Task", "Instruction", "Department", "Best score", "")
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in names)))
    return element("table", head, element("tbody", *map(_task_row, offers)), class_="tasks")


def _task_row(offer: Offer) -> Markup:
    number = str(offer.task.payload["goal"])
    done = "" if offer.best is None else f"{offer.best:.2f}"
    start = button("Start", "/start", ("task", offer.task.id), style="plain", label=f"Start task {number}")
    return element(
        "tr",
        element("th", number, scope="row"),
        element("td", offer.instruction, class_="wanted", dir="auto"),
        element("td", offer.task.task_type, class_="kind"),
        element("td", done, class_="good" if offer.best == 1 else None),
        element("td", start),
    )


def _list_pages(number: int, last: int) -> Markup | None:
    if last == 1:
        return None
    before = element("a", "Earlier", href=f"/?page={number - 1}", rel="prev") if number > 1 else None
    after = element("a", "Later", href=f"/?page={number + 1}", rel="next") if number < last else None
    here = element("span", f"Page {number:,} of {last:,}")
    return element("nav", before, here, after, class_="pages", aria_label="Pages of the list")
