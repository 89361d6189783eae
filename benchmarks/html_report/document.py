"""One page in one file: its frame, its style, its scripts and its data. It loads nothing.

A content policy holds the browser to that: no address may be asked for anything, only this very style and
these very scripts count (by their sha256), and no script may make markup of text. Data is in blocks
that a browser does not read before a script asks for one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from benchmarks.html_report.markup import Markup, element, joined

__all__ = ["data_block", "document"]

_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def document(
    title: str,
    body: Iterable[object],
    *,
    styles: Sequence[str],
    scripts: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    blocks: Iterable[str] = (),
) -> Iterable[str]:
    """Yield a whole page, piece by piece, for it may be large.

    Args:
        title: For the window; escaped.
        body: Visible elements, in order.
        styles: Names of files in `static`, joined in this order.
        scripts: Likewise; they share one scope and run when everything before them has been read.
        data: A JSON value for each id that a script looks for.
        blocks: Compressed data by number, in base64: `block-0`, `block-1`, …
    """
    style, script = (_joined_files(names) for names in (styles, scripts))
    if script:
        script = f'"use strict";\n(() => {{\n{script}}})();\n'
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Markup(style)),
    )
    yield f'<!doctype html>\n<html lang="en">{head}\n<body>{joined(body)}\n'
    for name, value in (data or {}).items():
        yield data_block(name, value) + "\n"
    for number, block in enumerate(blocks):
        yield f'<script type="text/plain" id="block-{number}">{block}</script>\n'
    yield f"<script>{script}</script>\n</body></html>\n" if script else "</body></html>\n"


def data_block(name: str, value: Any) -> str:
    """Return an element that holds a JSON value and cannot be ended by its content."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return f'<script type="application/json" id="{name}">{text.translate(_ESCAPES)}</script>'


def _joined_files(names: Iterable[str]) -> str:
    folder = files("benchmarks.html_report") / "static"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _policy(style: str, script: str) -> str:
    policy = f"default-src 'none'; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    trusted = "require-trusted-types-for 'script'; trusted-types 'none'"
    return f"{policy}; script-src {_hash(script)}; {trusted}" if script else policy


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
