"""Parses rows of WebShop's catalogue into products and instructions.

The rules are those of upstream's `load_products` (`web_agent_site/engine/engine.py`), `get_goals` (`engine/goal.py`)
and `search_engine/convert_product_file_format.py`. The same rows are dropped as upstream. A row that would stop
upstream's start (no title, an invalid price, options of another form) is skipped with its reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from act_gym.engines.webshop.product import Instruction, Product

__all__ = ["MAX_TEXT", "SkippedRow", "document", "human_instructions", "product_of", "synthetic_instruction"]

MAX_TEXT = 1_000_000
"""A row with more characters of text is skipped. The longest of the official 1,000 has 17,399."""

_NO_ATTRIBUTES = ("DUMMY_ATTR",)  # upstream's own stand-in
_DEFAULT_PRICE = 100.0  # dollars, where a row has none
_NOT_OF_A_NUMBER = re.compile(r"[^\d.]")
_MAX_ASIN = 10


class SkippedRow(Exception):  # noqa: N818  (data, not a failure: it is counted)
    """Row without a product; its text is the reason, the same for all rows of that kind."""


def product_of(row: object, entry: object = None) -> Product:
    """Return the product of a row, without nouns.

    Args:
        row: An element of `items_shuffle*.json`.
        entry: The entry in `items_ins_v2*.json` for the row's `asin`, if any.

    Raises:
        SkippedRow: The row has no product.
    """
    if not isinstance(row, dict):
        raise SkippedRow("no object")
    asin = row.get("asin")
    if not isinstance(asin, str) or asin == "nan" or len(asin) > _MAX_ASIN or not (asin.isascii() and asin.isalnum()):
        raise SkippedRow("no identifier of up to ten letters and digits")
    options, images = _options(row.get("customization_options"))
    prices, tag = _prices(row.get("pricing"))
    product = Product(
        asin=asin,
        title=_text(row, "name"),
        category=_text(row, "category"),
        query=_text(row, "query").lower().strip(),
        product_category=_text(row, "product_category"),
        description=_text(row, "full_description", default=""),
        bullet_points=_bullet_points(row.get("small_description")),
        attributes=_attributes(entry),
        options=options,
        option_images=images,
        prices=prices,
        price_tag=tag,
        image=_first_image(row.get("images")),
    )
    _check_texts(product)
    return product


def document(product: Product) -> str:
    """Return the searchable text of a product: title, description, first bullet point and options, lower case."""
    options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in product.options.items())
    first = product.bullet_points[0] if product.bullet_points else ""
    return f"{product.title} {product.description} {first} {options}".lower()


def synthetic_instruction(position: int, product: Product, entry: object) -> Instruction | None:
    """Return the instruction of a product's synthetic goals; None if it has none.

    Args:
        position: The product's position in the catalogue.
        product: The product.
        entry: Its entry in `items_ins_v2*.json`.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("instruction"), str):
        return None
    attributes = _texts(entry.get("instruction_attributes"))
    if not attributes or not _speakable(entry["instruction"]):
        return None
    return Instruction(
        position=position,
        text=entry["instruction"],
        attributes=attributes,
        goals=math.prod(len(values) for values in product.options.values()),
    )


def human_instructions(position: int, entries: object) -> Iterator[Instruction]:
    """Yield the human instructions of a product; skip those without an attribute, as upstream does.

    Args:
        position: The product's position in the catalogue.
        entries: Its entries in `items_human_ins.json`.
    """
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("instruction"), str):
            continue
        attributes, options = _texts(entry.get("instruction_attributes")), _texts(entry.get("instruction_options"))
        if attributes and options is not None and _speakable(entry["instruction"]):
            yield Instruction(position=position, text=entry["instruction"], attributes=attributes, options=options)


def _text(row: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = row.get(key)
    if value is None:
        if default is not None:
            return default
        raise SkippedRow("no title" if key == "name" else f"no {key}")
    if not isinstance(value, str):
        raise SkippedRow(f"{'title' if key == 'name' else key} that is no text")
    return value


def _texts(value: object) -> tuple[str, ...] | None:
    """Return a list of texts as a tuple; None if it is something else."""
    if isinstance(value, list) and all(isinstance(each, str) and _speakable(each) for each in value):
        return tuple(value)
    return None


def _bullet_points(value: object) -> tuple[str, ...]:
    if value is None:
        return ("",)
    points = value if isinstance(value, list) else [value]
    if not all(isinstance(point, str) for point in points):
        raise SkippedRow("bullet points that are no texts")
    return tuple(points)


def _attributes(entry: object) -> tuple[str, ...]:
    if not isinstance(entry, Mapping) or "attributes" not in entry:
        return _NO_ATTRIBUTES
    found = _texts(entry["attributes"])
    if found is None:
        raise SkippedRow("attributes that are no texts")
    return found


def _prices(value: object) -> tuple[tuple[float, ...], str]:
    """Return one price or a range, in dollars, and how pages show it."""
    if not value:
        return (_DEFAULT_PRICE,), f"${_DEFAULT_PRICE}"
    if not isinstance(value, str):
        raise SkippedRow("price that cannot be read")
    try:
        found = [float(Decimal(_NOT_OF_A_NUMBER.sub("", part))) for part in value.split("$")[1:]]
    except InvalidOperation as cause:
        raise SkippedRow("price that cannot be read") from cause
    if not found or not all(map(math.isfinite, found)):
        raise SkippedRow("price that cannot be read")
    if len(found) == 1:
        return (found[0],), f"${found[0]}"
    return (found[0], found[1]), f"${found[0]} to ${found[1]}"


def _options(value: object) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Return the values of each option, and the images of values."""
    if not value:
        return {}, {}
    if not isinstance(value, dict):
        raise SkippedRow("options of another form")
    options: dict[str, tuple[str, ...]] = {}
    images: dict[str, str] = {}
    for name, contents in value.items():
        if contents is None:
            continue
        if not isinstance(contents, list):
            raise SkippedRow("options of another form")
        values = []
        for content in contents:
            if not isinstance(content, dict) or not isinstance(content.get("value"), str):
                raise SkippedRow("options of another form")
            values.append(content["value"].strip().replace("/", " | ").lower())
            image = content.get("image")
            if isinstance(image, str):
                images[values[-1]] = image
            else:
                images.pop(values[-1], None)
        options[name.lower()] = tuple(values)
    return options, images


def _first_image(value: object) -> str:
    return value[0] if isinstance(value, list) and value and isinstance(value[0], str) else ""


def _check_texts(product: Product) -> None:
    """Refuse texts that are far too long, or that UTF-8 cannot encode."""
    texts = list(_all_texts(product))
    if sum(map(len, texts)) > MAX_TEXT:
        raise SkippedRow(f"more than {MAX_TEXT:,} characters")
    if not all(map(_speakable, texts)):
        raise SkippedRow("text that is no Unicode")


def _all_texts(product: Product) -> Iterator[str]:
    yield from (product.asin, product.title, product.category, product.query, product.product_category)
    yield from (product.description, product.image)
    yield from product.bullet_points
    yield from product.attributes
    yield from _flat(product.options.items())
    yield from product.option_images.values()


def _flat(options: Iterable[tuple[str, Sequence[str]]]) -> Iterator[str]:
    for name, values in options:
        yield name
        yield from values


def _speakable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
