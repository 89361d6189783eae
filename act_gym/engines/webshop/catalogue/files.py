"""A catalogue in WebShop's files: the products, what they are asked for by, and what people asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_gym.engines.webshop.catalogue.build import Item
from act_gym.engines.webshop.catalogue.noun_chunks import NounFinder
from act_gym.engines.webshop.catalogue.rows import SkippedRow, product_of
from act_gym.engines.webshop.catalogue.stream import read_array
from act_gym.errors import CorruptDataError, MissingDataError
from act_gym.io.download import file_sha256
from act_gym.progress import byte_bar

__all__ = ["CatalogueFiles"]


@dataclass(frozen=True)
class CatalogueFiles:
    """The files of one catalogue: a `Source` of a folder.

    Attributes:
        products: `items_shuffle.json`, or one like it.
        attributes: `items_ins_v2.json`, or one like it; without it products have no attributes and there are no
            goals put together from options.
        people: `items_human_ins.json`; without it there are no goals that people wrote.
        processes: How many processes share the work.
        model: The package of the spaCy model that finds nouns; None for the small English one.
        sums: The sha256 of those files whose sum is known, by `products`, `attributes` and `people`. Where it is not
            given, a file is known by its size and the time of its last change.
        notes: What else the manifest shall say.
    """

    products: Path
    attributes: Path | None = None
    people: Path | None = None
    processes: int = 1
    model: str | None = None
    sums: Mapping[str, str] | None = None
    notes: Mapping[str, Any] | None = None

    @staticmethod
    def beside(products: Path, processes: int = 1) -> CatalogueFiles:
        """Return a catalogue with those other files that lie beside its products under WebShop's names."""

        def first(*names: str) -> Path | None:
            paths = (products.with_name(name) for name in names if name != products.name)
            return next((path for path in paths if path.is_file()), None)

        attributes = first(products.name.replace("items_shuffle", "items_ins_v2"), "items_ins_v2.json")
        return CatalogueFiles(products, attributes, first("items_human_ins.json"), processes)

    def paths(self) -> dict[str, Path]:
        """Return the files that there are, by what they hold."""
        every = {"products": self.products, "attributes": self.attributes, "people": self.people}
        return {role: path for role, path in every.items() if path is not None}

    @property
    def identity(self) -> Mapping[str, Any]:
        """The files' sums where they are known, else where they are, how long, and when they were last changed.

        And the model that finds nouns, where one was chosen.
        """
        found: dict[str, Any] = {}
        for role, path in self.paths().items():
            if self.sums is not None:
                found[role] = {"sha256": self.sums[role]}
                continue
            try:
                about = path.stat()
            except OSError as cause:
                raise MissingDataError(f"Cannot read the catalogue {path}: {cause.strerror or cause}.") from cause
            found[role] = {"path": str(path.resolve()), "size": about.st_size, "changed": about.st_mtime_ns}
        chosen = {"nouns": self.model} if self.model else {}
        return {"kind": "files", **chosen, **found}

    @property
    def finder(self) -> NounFinder:
        """Finds the nouns of titles."""
        return NounFinder(self.model, self.processes)

    def details(self) -> Mapping[str, Any]:
        """Return the files' sums and what else is to be said of them."""
        sums = self.sums or {role: file_sha256(path) for role, path in self.paths().items()}
        return {"sha256": dict(sums), **(self.notes or {})}

    def items(self, first: int) -> Iterator[Item]:
        """Yield the rows but the first ones, in order."""
        attributes = _table(self.attributes) if self.attributes else {}
        people = _table(self.people) if self.people else {}
        size = self.products.stat().st_size
        with byte_bar(f"Reading {self.products.name}") as show:
            for number, row in enumerate(read_array(self.products, lambda done: show(done, size))):
                if number >= first:
                    yield _item(row, attributes, people)


def _item(row: object, attributes: Mapping[str, Any], people: Mapping[str, Any]) -> Item:
    asin = row.get("asin") if isinstance(row, dict) else None
    entry = attributes.get(asin) if isinstance(asin, str) else None
    try:
        product = product_of(row, entry)
    except SkippedRow as reason:
        return Item(None, str(reason))
    return Item(product, entry=entry, people=people.get(product.asin))


def _table(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as cause:
        raise CorruptDataError(
            f"{path} is no JSON: {cause}. Fetch it again: act-gym download webshop --force"
        ) from cause
    if not isinstance(found, dict):
        raise CorruptDataError(f"{path} is no JSON object with products' identifiers as names.")
    return found
