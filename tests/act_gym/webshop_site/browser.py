"""A browser without windows and scripts: it keeps cookies, follows redirects, and sends the forms of its page."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlencode, urlsplit


@dataclass
class Form:
    """A form of a page: where it goes, its hidden fields, its buttons, its fields."""

    action: str
    hidden: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[str] = field(default_factory=list)
    fields: list[dict[str, str | None]] = field(default_factory=list)


class Content(HTMLParser):
    """What a page holds.

    Attributes:
        forms: Its forms.
        links: The addresses of products, by their texts.
        tags: Its tags with their attributes, as they were opened.
        under: The text under an identifier.
        texts: Its visible texts in order, without space around them.
        clickables: What WebShop's browser environment would click on: texts of `btn`, of links, and values of options.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.under: dict[str, str] = {}
        self.texts: list[str] = []
        self.clickables: set[str] = set()
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert len(found) == len(attrs)
        self.tags.append((tag, found))
        if tag == "form":
            self.forms.append(Form(found["action"] or ""))
        if tag == "input" and found.get("type") == "hidden":
            self.forms[-1].hidden.append((found["name"] or "", found["value"] or ""))
        elif tag == "input":
            self.forms[-1].fields.append(found)
            self.clickables |= {found["value"] or ""} if found.get("type") == "radio" else set()
        if tag not in ("br", "img", "input", "link", "meta"):
            self._open.append((tag, found))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, attributes in self._open:
            if attributes.get("id"):
                self.under[attributes["id"]] = self.under.get(attributes["id"], "") + data
        tag, attributes = self._open[-1] if self._open else ("", {})
        classes = (attributes.get("class") or "").split()
        if data.strip() and tag != "title":
            self.texts.append(data.strip())
        if {"btn", "product-link"} & set(classes):
            self.clickables.add(data)
        if tag == "button":
            self.forms[-1].buttons.append(data)
        if tag == "a" and attributes.get("class") == "product-link":
            self.links[data] = attributes["href"] or ""


class Browser:
    """One visitor of a shop."""

    def __init__(self, address: str, *, enter: bool = True) -> None:
        parts = urlsplit(address)
        self.host = parts.netloc
        self.cookie = ""
        self.status, self.html, self.path, self.headers = 0, "", "", {}
        if enter:
            self.get(f"{parts.path}?{parts.query}")

    @property
    def content(self) -> Content:
        return Content(self.html)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> HTTPResponse:
        """Send one request and read its answer, without following it."""
        connection = HTTPConnection(self.host, timeout=30)
        sent = {"Cookie": self.cookie} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {name: value for name, value in sent.items() if value})
        answer = connection.getresponse()
        self.status, self.path, self.headers = answer.status, path, dict(answer.getheaders())
        self.html = answer.read().decode()
        connection.close()
        return answer

    def get(self, path: str, **headers: str) -> "Browser":
        self.ask("GET", path, **headers)
        return self._follow()

    def post(self, path: str, *fields: tuple[str, str], **headers: str) -> "Browser":
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{self.host}"} | headers
        self.ask("POST", path, urlencode(fields).encode(), **headers)
        return self._follow()

    def press(self, text: str) -> "Browser":
        """Press the button with a text."""
        form = next(form for form in self.content.forms if text in form.buttons)
        return self.post(form.action, *form.hidden)

    def search(self, query: str) -> "Browser":
        form = next(form for form in self.content.forms if "Search" in form.buttons)
        (box,) = form.fields
        assert box["id"] == "search_input"
        return self.post(form.action, (box["name"] or "", query))

    def choose(self, value: str) -> "Browser":
        """Choose a value of an option, if it can be chosen."""
        for form in self.content.forms:
            for one in form.fields:
                if one.get("type") == "radio" and one["value"] == value and "disabled" not in one:
                    return self.post(form.action, (one["name"] or "", value))
        raise LookupError(value)

    def do(self, action: str) -> "Browser":
        """Do on the page what an action of the environment says."""
        name, _, argument = action.partition("[")
        argument = argument.removesuffix("]")
        if name == "search":
            return self.search(argument)
        content = self.content
        links = {asin.lower(): href for asin, href in content.links.items()}
        if argument in links:
            return self.get(links[argument])
        buttons = {text.lower(): text for form in content.forms for text in form.buttons if text != "Leave"}
        return self.press(buttons[argument]) if argument in buttons else self.choose(argument)

    def _follow(self) -> "Browser":
        for _ in range(5):
            if "Set-Cookie" in self.headers:
                self.cookie = self.headers["Set-Cookie"].partition(";")[0]
            if self.status != 303:
                return self
            self.ask("GET", self.headers["Location"])
        raise AssertionError(f"{self.path} leads nowhere.")
