"""Routes: maps URLs to pages and actions.

| address | | |---|---| | `/` | the list of tasks | | `/start` | POST: lets a visitor in | | `/NAME` | a visitor's
search page; a new visitor if it is five lower-case letters, or contains `fixed` and ends in `_12` | |
`/search/NAME/TURN`, `/click/NAME/TURN`, `/choose/NAME/TURN` | POST: an action | | `/item_page/NAME/TURN/ASIN` | the
link to a product, also an action | | `/search_results/NAME/TURN` and `item_page`, `item_sub_page`, `done` likewise |
the visitor's current page | | `/leave/NAME` | POST: ends the visit | | `/static/FILE` | style, script and signs |

The names of sessions and pages are WebShop's. A visit cannot go back, like an episode: TURN counts its actions, and a
request from an earlier page does nothing and redirects to the current one. This module uses no sockets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import PurePath

from act_gym.errors import CorruptDataError, EngineError
from act_gym.webshop_site.html import document, element
from act_gym.webshop_site.pages import LONGEST_SEARCH, page, tasks_page
from act_gym.webshop_site.sessions import Customer, Customers

__all__ = ["Request", "Response", "Site", "error_page"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ANY = re.compile(r"[a-z]{5}")  # what WebShop's own browser environment calls a session
_FIXED = re.compile(r"(?=.*fixed).*_([0-9]{1,9})")  # the number of a goal
_UNSAID = re.compile(r"[\[\]\s]+")  # ends an action's argument, and no search looks at it
_SEEN = {"results": "search_results", "item": "item_page", "done": "done"}  # every other page is an `item_sub_page`
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Request:
    """Request of a browser.

    Attributes:
        method: `GET` or `POST`.
        path: The URL's path in parts, decoded.
        query: The query parameters, by name.
        form: The form fields, in order.
        from_here: Whether the request comes from a page of this shop, or from no page.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    form: Sequence[tuple[str, str]] = ()
    from_here: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """Response: a page or a file, or a redirect to `location`; `cookie` admits the visitor."""

    status: int = 200
    body: str | bytes = ""
    type: str = "text/html; charset=utf-8"
    location: str = ""
    cookie: bool = False


class Site:
    """Answers requests of those who have been let in.

    Args:
        customers: Who is in the shop.
    """

    def __init__(self, customers: Customers) -> None:
        self._customers = customers

    def answer(self, request: Request) -> Response:
        """Return the response; no request raises an error."""
        first = request.path[0] if request.path else ""
        if first == "static" and request.method == "GET":
            return _static(request.path[1:])
        with self._customers.lock:
            if request.method == "POST":
                return self._post(request, first)
            return self._get(request, first)

    def _get(self, request: Request, first: str) -> Response:
        note, rest = request.query.get("note", ""), request.path[1:]
        if not first:
            number = request.query.get("page", "1")
            at = int(number) if number.isascii() and number.isdigit() and len(number) < 9 else 1
            return Response(body=tasks_page(self._customers, at, note))
        if not rest:
            return self._session(first, note)
        customer = self._customers.find(rest[0])
        if customer is None or first not in ("search_results", "item_page", "item_sub_page", "done"):
            return error_page(404)
        if first == "item_page" and len(rest) == 3:
            if not request.from_here:
                return error_page(403)
            return self._do(customer, rest[1], f"click[{rest[2].lower()}]")
        address = _address(customer)
        if "/" + "/".join(request.path) != address:
            return _stale(customer)
        return Response(body=page(customer, self._customers.limit, note))

    def _session(self, name: str, note: str) -> Response:
        """Show a visitor's search page, and let a visitor in whom WebShop would let in under that name."""
        if not _NAME.fullmatch(name):
            return error_page(404)
        customer = self._customers.find(name)
        fixed = _FIXED.fullmatch(name)
        if customer is None or (customer.stop and (fixed or _ANY.fullmatch(name))):
            if fixed is None and (_ANY.fullmatch(name) is None or name in _ACTIONS):
                return error_page(404)
            return self._start(fixed[1] if fixed else "", name)
        if _address(customer) != f"/{name}":
            return Response(303, location=_address(customer))
        return Response(body=page(customer, self._customers.limit, note))

    def _post(self, request: Request, first: str) -> Response:
        if not request.from_here:
            return error_page(403)
        fields, rest = dict(reversed(request.form)), request.path[1:]
        if request.path == ("start",):
            return self._start(fields.get("task", "").strip())
        customer = self._customers.find(rest[0]) if rest else None
        if customer is None or len(rest) != _ACTIONS.get(first):
            return error_page(404)
        if first == "leave":
            self._customers.leave(customer)
            return Response(303, location=_address(customer))
        if first == "search":
            query = _UNSAID.sub(" ", fields.get("search_query", "")[:LONGEST_SEARCH]).strip()
            if not query:
                return self._do(customer, rest[1], "", absent="empty")
            return self._do(customer, rest[1], f"search[{query}]")
        if first == "click":
            return self._do(customer, rest[1], f"click[{fields.get('click', '').lower()}]")
        return self._do(customer, rest[1], f"click[{request.form[0][1]}]" if request.form else "")

    def _start(self, wanted: str, name: str = "") -> Response:
        task = self._customers.task(wanted) if wanted else self._customers.any_task()
        if task is None:
            return Response(303, location="/?note=task")
        try:
            customer = self._customers.enter(task, name)
        except (EngineError, CorruptDataError) as error:
            return error_page(500, str(error))
        if name:
            return Response(body=page(customer, self._customers.limit))
        return Response(303, location=_address(customer))

    def _do(self, customer: Customer, turn: str, action: str, *, absent: str = "absent") -> Response:
        """Carry out an action of the present page; anything else does nothing, so it is no turn."""
        if customer.stop or turn != str(len(customer.turns)):
            return _stale(customer)
        # A visit begins with a search, and there is no search bar on other pages.
        searched = action.startswith("search[") and customer.visit.page == "search"
        if not (searched or action in customer.commands):
            return Response(303, location=f"{_address(customer)}?note={absent}")
        self._customers.act(customer, action)
        return Response(303, location=_address(customer))


_ACTIONS: Mapping[str, int] = {"start": 0, "leave": 1, "search": 2, "click": 2, "choose": 2}
"""Actions sent by POST, with the number of further path parts."""


def error_page(status: int, text: str = "") -> Response:
    """Return an error page.

    Args:
        status: 400 to 500.
        text: The text; by default the meaning of the status.
    """
    title, usual = _ERRORS.get(status, _ERRORS[400])
    body = element("article", element("h1", title), element("p", text or usual))
    return Response(status, document(title, body))


_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("Not understood", "The request cannot be read."),
    403: ("Closed", "Open the address that act-gym shop has printed: the key to this shop is in it."),
    404: ("Nothing here", "There is no such page in this shop, or the visit is over."),
    405: ("Not understood", "Pages are read with GET, and actions sent with POST."),
    411: ("Not understood", "The request does not say how long it is."),
    413: ("Too much", "The request is longer than any of this shop's forms."),
    415: ("Not understood", "The request is not a form."),
    500: ("The shop failed", "The reason is in the terminal in which act-gym shop runs."),
}


def _stale(customer: Customer) -> Response:
    note = "" if customer.stop else "?note=stale"
    return Response(303, location=_address(customer) + note)


def _address(customer: Customer) -> str:
    """Return where a visitor is."""
    if customer.stop:
        return f"/done/{customer.name}/{len(customer.turns)}"
    name = customer.visit.page
    if name == "search":
        return f"/{customer.name}"
    return f"/{_SEEN.get(name, 'item_sub_page')}/{customer.name}/{len(customer.turns)}"


def _static(path: Sequence[str]) -> Response:
    name = path[0] if len(path) == 1 else ""
    found = _files().get(name)
    if found is None:
        return error_page(404)
    return Response(body=found, type=f"{_TYPES[PurePath(name).suffix]}; charset=utf-8")


@cache
def _files() -> Mapping[str, bytes]:
    """Return everything that is served as it is; nothing else on this machine can be asked for."""
    folder = files("act_gym.webshop_site") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if PurePath(file.name).suffix in _TYPES}
