"""HTML from plain values: whatever is not markup already is made harmless and escaped.

A simulator prints what it likes and a model may write anything, also `</script>`, terminal escapes and
marks that turn the direction of writing. None of it may act on the page or hide on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

__all__ = ["Markup", "element", "joined", "plain"]

_VOID = frozenset({"meta", "br", "input"})
# Direction marks and isolates, line and paragraph separators, invisible joiners, byte-order mark.
_UNSEEN = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"} | {0x7F: "\u2421", 0x0D: ""}
_CONTROLS |= dict.fromkeys(range(0x80, 0xA0), "\ufffd")


class Markup(str):
    """Text that is HTML and must not be escaped again."""

    __slots__ = ()


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
    """Return an element; children and attribute values are escaped unless they are `Markup`.

    Args:
        name: The tag.
        *children: Joined in order; None is left out.
        **attributes: A final underscore is dropped (`class_`), others become hyphens; None and False
            are left out, True gives the bare name.
    """
    words = [name]
    for key, value in attributes.items():
        attribute = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(attribute)
        elif value is not None and value is not False:
            words.append(f'{attribute}="{escape(plain(str(value)), quote=True)}"')
    opened = f"<{' '.join(words)}>"
    return Markup(opened if name in _VOID else f"{opened}{joined(children)}</{name}>")


def joined(children: Iterable[object]) -> Markup:
    """Return several children in a row, escaped as in `element`; None is left out."""
    return Markup("".join(_inside(child) for child in children if child is not None))


def _inside(child: object) -> str:
    return str(child) if isinstance(child, Markup) else escape(plain(str(child)), quote=False)
