"""Start page: the list of tasks."""

from __future__ import annotations

from collections.abc import Sequence

from act_gym.webshop_site.html import Markup, button, document, element
from act_gym.webshop_site.sessions import Customers, Offer

__all__ = ["PAGE_SIZE", "tasks_page"]

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
        _table(offers),
        _pages(number, last),
        header=element("header", element("h1", "WebShop", id="logo")),
        note=note,
    )


def _by_number() -> Markup:
    field = element("input", id="task", name="task", inputmode="numeric", autocomplete="off", required=True, size=7)
    label = element("label", "Task number", for_="task")
    return element("form", label, field, element("button", "Start", class_="plain"), method="post", action="/start")


def _table(offers: Sequence[Offer]) -> Markup:
    names = ("Task", "Instruction", "Department", "Best score", "")
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in names)))
    return element("table", head, element("tbody", *map(_row, offers)), class_="tasks")


def _row(offer: Offer) -> Markup:
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


def _pages(number: int, last: int) -> Markup | None:
    if last == 1:
        return None
    before = element("a", "Earlier", href=f"/?page={number - 1}", rel="prev") if number > 1 else None
    after = element("a", "Later", href=f"/?page={number + 1}", rel="next") if number < last else None
    here = element("span", f"Page {number:,} of {last:,}")
    return element("nav", before, here, after, class_="pages", aria_label="Pages of the list")
