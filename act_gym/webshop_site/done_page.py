"""The last page of a visit: what the purchase was worth, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pprint import pformat

from act_gym.engines.webshop.product import Product
from act_gym.webshop_site.html import Markup, element
from act_gym.webshop_site.layout import button, document
from act_gym.webshop_site.sessions import LEFT, Customer

__all__ = ["end_page"]

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
        aria_label="What to do next",
    )
    return document("The end", body, again, footer=_footer(customer), note="" if note == "stale" else note)


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
    """Return what was bought, or was to be bought, under WebShop's identifiers."""
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


def _footer(customer: Customer) -> Markup:
    turns = len(customer.turns)
    saved = f"saved in {customer.file}" if customer.file else "not saved" if turns else "nothing to save"
    return element(
        "footer",
        element("span", f"{turns} action{'s' * (turns != 1)}"),
        element("span", customer.task.id),
        element("span", saved),
    )
