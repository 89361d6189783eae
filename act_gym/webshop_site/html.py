"""HTML from plain values, and the layout that all pages share; text that is not markup is escaped.

A catalogue's text is shown unchanged, because an agent on the page must read the same words as in the environment. Each
text has its own block, so a character that changes the direction of writing affects only this text.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["Markup", "button", "document", "element", "joined"]


_VOID = frozenset({"br", "img", "input", "link", "meta"})


class Markup(str):
    """Text that is HTML and must not be escaped again."""

    __slots__ = ()


def element(tag: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element; children and the values of attributes are escaped, children that are `Markup` are not.

    Args:
        tag: Its name.
        *children: Joined in order; None is left out.
        **attributes: A final underscore is dropped (`class_`), others become hyphens; None and False are left out,
            True gives the bare name.
    """
    words = [tag]
    for key, value in attributes.items():
        name = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(name)
        elif value is not None and value is not False:
            words.append(f'{name}="{escape(str(value), quote=True)}"')
    opened = f"<{' '.join(words)}>"
    return Markup(opened if tag in _VOID else f"{opened}{joined(children)}</{tag}>")


def joined(children: Iterable[object]) -> Markup:
    """Return several children in a row, escaped as in `element`; None is left out."""
    return Markup("".join(_inside(child) for child in children if child is not None))


def _inside(child: object) -> str:
    return child if isinstance(child, Markup) else escape(str(child), quote=False)


NOTES = {
    "stale": "That was on an earlier page. The visit continues here; earlier actions cannot be taken back.",
    "absent": "There is no such button on this page.",
    "empty": "Write what you are looking for.",
    "task": "This shop has no such task.",
}
"""Notes above a page's content; URLs contain only their keys, so that no text of a URL is shown."""


def document(
    title: str, *body: object, header: Markup | None = None, footer: Markup | None = None, note: str = ""
) -> str:
    """Return a whole page.

    Args:
        title: The title of the window; not escaped text.
        *body: Its content.
        header: The content above; None for the link to the list of tasks.
        footer: The content below.
        note: A key of `NOTES`; anything else shows no note.
    """
    said = element("p", NOTES[note], class_="note", role="status") if note in NOTES else None
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title} – WebShop"),
        element("link", rel="icon", href="/static/bag.svg", type="image/svg+xml"),
        element("link", rel="stylesheet", href="/static/shop.css"),
        element("script", src="/static/shop.js", defer=True),
    )
    above = element("header", element("a", "WebShop", class_="brand", href="/")) if header is None else header
    page = element("html", head, element("body", above, element("main", said, *body), footer), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def button(text: str, action: str, *fields: tuple[str, str], style: str = "btn-primary", label: str = "") -> Markup:
    """Return a form that is one button.

    Args:
        text: The text on the button.
        action: The URL.
        *fields: The names and values it sends.
        style: Its further class; without `btn` if it is not an action of the environment.
        label: Its accessible name, if different from the text.
    """
    classes = f"btn {style}" if style.startswith("btn") else style
    hidden = joined(element("input", type="hidden", name=name, value=value) for name, value in fields)
    pressed = element("button", text, type="submit", class_=classes, aria_label=label or None)
    return element("form", hidden, pressed, method="post", action=action)
