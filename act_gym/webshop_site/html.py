"""HTML from plain values: whatever is not markup already is escaped.

What a catalogue says is shown as it is, also its odd letters: an agent that reads the page is to read the very words
that the environment has. They stay within their own block, so a mark that turns the direction of writing ends with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["Markup", "element", "joined"]

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
