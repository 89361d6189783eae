"""HTML from plain values, as `act_gym.webshop_site.html` makes it, of text that is made harmless first.

A simulator prints what it likes and a model may write anything, also `</script>`, terminal escapes and
marks that turn the direction of writing. None of it may act on the page or hide on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlencode

from act_gym.webshop_site import html
from act_gym.webshop_site.html import Markup

__all__ = ["Markup", "address", "element", "joined", "plain", "scrolled"]

# Direction marks and isolates, line and paragraph separators, invisible joiners, byte-order mark.
_UNSEEN = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"} | {0x7F: "\u2421", 0x0D: ""}
_CONTROLS |= dict.fromkeys(range(0x80, 0xA0), "\ufffd")


def plain(text: str, limit: int = 0) -> str:
    """Make text harmless to look at: control and direction characters become visible signs.

    Args:
        text: Anything.
        limit: Longer text is cut, and says how much was left out; 0 keeps all.
    """
    left_out = len(text) - limit if limit else 0
    if left_out > 0:
        text = text[:limit]
    text = text.translate(_CONTROLS)
    if not text.isascii():  # most text is, and the rest is not looked at twice
        text = _SURROGATES.sub("\ufffd", text)
        text = _UNSEEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)
    return f"{text} … ({left_out:,} more characters)" if left_out > 0 else text


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element as `act_gym.webshop_site.html.element` does, with harmless children and attributes."""
    harmless = {key: _harmless(value) for key, value in attributes.items()}
    return html.element(name, *map(_harmless, children), **harmless)


def scrolled(table: Markup, name: str) -> Markup:
    """Let a wide table be moved sideways, with the keyboard too."""
    return element("div", table, class_="card scrolled", tabindex="0", role="region", aria_label=name)


def address(view: str, **filters: object) -> str:
    """Return the address of a part of the page that lists episodes or questions, with its filters set."""
    return f"#{view}?{urlencode({name: plain(str(value)) for name, value in filters.items()})}"


def joined(children: Iterable[object]) -> Markup:
    """Return several children in a row, escaped as in `element`; None is left out."""
    return html.joined(map(_harmless, children))


def _harmless(value: object) -> object:
    return value if value is None or isinstance(value, (bool, Markup)) else plain(str(value))
