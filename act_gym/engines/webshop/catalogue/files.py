"""WebShop's catalogue files: products, attributes and human goals, read as streams with little memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_gym.engines.webshop.catalogue.build import Item
from act_gym.engines.webshop.catalogue.noun_chunks import NounFinder
from act_gym.engines.webshop.catalogue.rows import SkippedRow, product_of
from act_gym.errors import CorruptDataError, MissingDataError
from act_gym.io.download import file_sha256
from act_gym.progress import byte_bar

__all__ = ["MAX_ELEMENT", "CatalogueFiles", "read_array"]


MAX_ELEMENT = 64 << 20
"""An element with more characters is taken for a file that is not what it should be."""

_BLOCK = 4 << 20
_SPACE = re.compile(r"[ \t\n\r]*")


def read_array(path: Path, report: Callable[[int], None] | None = None) -> Iterator[object]:
    """Yield the elements of the array in a file.

    Args:
        path: The file.
        report: Called periodically with the number of bytes read.

    Raises:
        CorruptDataError: The file is not a JSON array, is truncated, or has trailing content.
        OSError: It cannot be read.
    """
    scan = _Scan(path, report)
    with path.open("rb") as file:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        while block := file.read(_BLOCK):
            yield from scan.feed(decoder.decode(block))
            scan.advance(len(block))
        yield from scan.feed(decoder.decode(b"", final=True), last=True)
    scan.finish()


class _Scan:
    """Buffer of an array that is being read."""

    def __init__(self, path: Path, report: Callable[[int], None] | None) -> None:
        self._path = path
        self._report = report
        self._decode = json.JSONDecoder().raw_decode
        self._rest = ""
        self._wanted = 0  # how long the rest has to be before another try is worth it
        self._bytes = 0
        self._count = 0
        self._before = "["  # expected before the next element; empty after the array

    def advance(self, count: int) -> None:
        self._bytes += count
        if self._report:
            self._report(self._bytes)

    def feed(self, text: str, *, last: bool = False) -> Iterator[object]:
        """Add text and yield the elements that are complete with it."""
        text = self._rest + text
        if len(text) < self._wanted and not last:
            self._rest = text
            return
        at = 0
        while True:
            start = self._skip(text, at)
            if start is None:
                break
            try:
                element, end = self._decode(text, start)
            except (ValueError, RecursionError) as cause:
                self._judge(len(text) - start, cause, last=last)
                break
            if not last and self._may_go_on(text, end):
                break
            at, self._before, self._wanted = end, ",", 0
            self._count += 1
            yield element
        self._rest = text[at:] if self._before else ""

    def finish(self) -> None:
        if self._before:
            raise self._corrupt("it ends before the array does")

    def _skip(self, text: str, at: int) -> int | None:
        """Return where the next element begins; None if that is not there yet, or there is none."""
        at = self._over_space(text, at)
        if not self._before:
            if at < len(text):
                raise self._corrupt("something stands behind the array")
            return None
        if at == len(text):
            return None
        if text[at] == "]" and self._before == ",":
            self._close(text, at)
            return None
        if self._count == 0 and self._before == "[" and text[at] == "\ufeff":
            at = self._over_space(text, at + 1)
        if at == len(text) or text[at] != self._before:
            raise self._corrupt(f"expected {self._before!r}, found {text[at : at + 20]!r}")
        at = self._over_space(text, at + 1)
        if at < len(text) and text[at] == "]" and self._before == "[":
            self._close(text, at)
            return None
        return at if at < len(text) else None

    def _close(self, text: str, at: int) -> None:
        self._before = ""
        if text[at + 1 :].strip(" \t\n\r"):
            raise self._corrupt("something stands behind the array")

    @staticmethod
    def _may_go_on(text: str, end: int) -> bool:
        """Return whether an element may be incomplete: a number such as `1`, `1.` or `1e+` at the end of the buffer."""
        return len(text) - end < 3 and text[end : end + 1] not in (",", "]")

    @staticmethod
    def _over_space(text: str, at: int) -> int:
        found = _SPACE.match(text, at)
        assert found is not None
        return found.end()

    def _judge(self, length: int, cause: Exception, *, last: bool) -> None:
        """Wait for more of an element that is incomplete, or say that it is none."""
        if last or length > MAX_ELEMENT or isinstance(cause, RecursionError):
            raise self._corrupt(f"{type(cause).__name__}: {cause}") from cause
        self._wanted = 2 * length  # so that a long element is not tried again with every block

    def _corrupt(self, why: str) -> CorruptDataError:
        return CorruptDataError(
            f"{self._path} is no JSON array that can be read: behind element {self._count:,}, near byte "
            f"{self._bytes:,}: {why}. Fetch the file again: act-gym download webshop --force"
        )


@dataclass(frozen=True)
class CatalogueFiles:
    """Files of one catalogue: a `Source` of a folder.

    Attributes:
        products: `items_shuffle.json`, or one like it.
        attributes: `items_ins_v2.json`, or one like it; without it, there are no attributes and no synthetic goals.
        people: `items_human_ins.json`; without it, there are no human goals.
        processes: The number of processes.
        model: The package of the spaCy model for nouns; None for the small English one.
        sums: The known sha256 of files, by `products`, `attributes` and `people`. Other files are identified by size
            and modification time.
        notes: Further entries for the manifest.
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
        """Return a catalogue with the other files in the folder of its products, under WebShop's names."""

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
        """Identity: the known sums of the files, else their paths, sizes and modification times.

        With the noun model, if one was chosen.
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
