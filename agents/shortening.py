"""Shortens an observation for a prompt, and keeps the names of a page's buttons whole.

WebShop's pages are the ones with buttons: `click[buy now]` is possible where `Buy Now` is on the page. Their last
buttons are at the end of the text, so a plain cut hides what an agent has to click.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["shorten", "shorten_alone"]

_SEPARATOR = " [SEP] "
_MARKUP = re.compile(r"<[^<>\n]*>")
_MARKS = re.compile(r"\[(?:clicked )?button_?\]")
_TARGET = re.compile(r"\w+\[(.*)\]", re.DOTALL)
_MARK = " …"
_BUTTON = 100  # characters; texts of a page that are not longer are kept like buttons
_READABLE = 24  # characters; a shorter rest of a text says little, and then the marks of buttons go first


@dataclass(frozen=True)
class _Piece:
    text: str
    name: str  # without marks and markup
    button: bool


def shorten(text: str, limit: int, commands: Sequence[str] = ()) -> str:
    """Return an observation of at most `limit` characters; each cut is marked.

    Of a page with buttons, the other texts are shortened, the longest most. Where that does not do, or the page is
    HTML, the marks of its buttons and its tags go as well. Only where the names alone are longer, so is the result.
    Any other observation loses its end.

    Args:
        text: The observation.
        limit: Characters.
        commands: What the simulator accepts now, such as `click[buy now]`; looked at only for a page that is too long.
    """
    text = text.strip()
    if len(text) <= limit:
        return text
    separator = _SEPARATOR if _SEPARATOR in text else "\n"
    is_html = _MARKUP.match(text) is not None
    pieces = _pieces(text, separator, commands) if separator == _SEPARATOR or is_html or _MARKS.search(text) else []
    if not any(piece.button for piece in pieces):
        return text[:limit].rstrip() + _MARK
    if not is_html:
        length = _longest([piece.text for piece in pieces], [piece.button for piece in pieces], separator, limit)
        if length >= _READABLE:
            return separator.join(piece.text if piece.button else _cut(piece.text, length) for piece in pieces)
    pieces = [piece for piece in pieces if piece.name]
    length = _longest([piece.name for piece in pieces], [piece.button for piece in pieces], separator, limit)
    shown = (piece.name if piece.button else _cut(piece.name, length) for piece in pieces)
    return separator.join(part for part in shown if part)


def shorten_alone(text: str, limit: int) -> str:
    """Return an observation of at most `limit` characters by what it shows alone, whatever is possible now.

    A conversation shows an observation again in every later turn, when its commands are no longer known. Of a page the
    short texts are kept, as its buttons are short.
    """
    names = text.split(_SEPARATOR)
    return shorten(text, limit, [f"click[{name}]" for name in names if len(name) <= _BUTTON] if names[1:] else ())


def _pieces(text: str, separator: str, commands: Sequence[str]) -> list[_Piece]:
    targets = {" ".join(found[1].lower().split()) for command in commands if (found := _TARGET.fullmatch(command))}
    pieces = []
    for part in text.split(separator):
        name = html.unescape(_MARKS.sub(" ", _MARKUP.sub(" ", part))).strip()
        pieces.append(_Piece(part, name, " ".join(name.lower().split()) in targets))
    return pieces


def _longest(texts: Sequence[str], whole: Sequence[bool], separator: str, limit: int) -> int:
    """Return to how many characters each text may be cut, those that stay whole apart, so that all fit; 0 if none."""
    room = limit - len(separator) * (len(texts) - 1)
    room -= sum(len(text) for text, stays in zip(texts, whole, strict=True) if stays)
    lengths = sorted(len(text) for text, stays in zip(texts, whole, strict=True) if not stays)
    for index, length in enumerate(lengths):
        share = room // (len(lengths) - index)
        if share < length:
            return max(0, share)
        room -= length
    return limit


def _cut(text: str, length: int) -> str:
    """Return a text of at most `length` characters, with the mark where it is cut."""
    if len(text) <= length:
        return text
    return text[: length - len(_MARK)].rstrip() + _MARK if length > len(_MARK) else ""
