"""Catalogue folder: memory-mapped, read-only, shared by all processes.

```
manifest.json      contents: format, source, counts, skipped rows, the nouns' model, sizes and sums
products.jsonl     one product per line, an array of values in the order of `_pack`
products.index     the offset of each line
asins, positions   sorted identifiers of ten bytes each; their positions in the catalogue, as 32-bit numbers
synthetic.jsonl    instructions of the synthetic goals, with .index
human.jsonl        human instructions, with .index
search/            the search index
```

`build.py` builds such a folder.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

from act_gym.engines.webshop.catalogue.store import Lines, mapped
from act_gym.engines.webshop.product import Instruction, Product
from act_gym.errors import CorruptDataError, MissingDataError
from act_gym.io.download import file_sha256

__all__ = ["ASIN_WIDTH", "FORMAT", "MANIFEST", "Instructions", "Products", "pack", "read_manifest", "unpack", "verify"]

FORMAT = 1
"""Grows whenever older folders can no longer be read."""

MANIFEST = "manifest.json"

ASIN_WIDTH = 10

_CHECKED = 4 << 20  # bytes; of longer files only the length is looked at when a folder is opened
_POSITION = struct.Struct("<I")
_KEPT = 4096  # decoded products that a process keeps: all of the small catalogue, some 30 MB of the large one


class Products:
    """The products of a folder: a `Catalogue`.

    Args:
        folder: The folder.

    Raises:
        CorruptDataError: Its files do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        self._lines = Lines(folder, "products")
        self._asins = mapped(folder / "asins")
        self._positions = mapped(folder / "positions")
        self._count = len(self._lines)
        self.product = lru_cache(_KEPT)(self._read)
        """Return the product at a position, from 0; raises `IndexError` where there is none."""
        if len(self._asins) != self._count * ASIN_WIDTH or len(self._positions) != self._count * _POSITION.size:
            raise CorruptDataError(f"{folder / 'asins'} does not hold the identifiers of {self._count:,} products.")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Product]:
        return map(self._read, range(self._count))

    def position(self, asin: str) -> int | None:
        """Return the position of a product; None if it is absent."""
        wanted = asin.encode("utf-8", "replace").ljust(ASIN_WIDTH, b"\0")
        at = bisect_left(range(self._count), wanted, key=self._asin)
        if at == self._count or self._asin(at) != wanted:
            return None
        found: int = _POSITION.unpack_from(self._positions, at * _POSITION.size)[0]
        return found

    def _asin(self, at: int) -> bytes:
        return self._asins[at * ASIN_WIDTH : (at + 1) * ASIN_WIDTH]

    def _read(self, position: int) -> Product:
        return unpack(self._lines.read(position))


class Instructions(Sequence[Instruction]):
    """Instructions of a folder, in the order of the products; lazy.

    Args:
        folder: The folder.
        human: The human ones instead of the synthetic ones.
    """

    def __init__(self, folder: Path, *, human: bool) -> None:
        self._lines = Lines(folder, "human" if human else "synthetic")

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Instruction: ...
    @overload
    def __getitem__(self, index: slice) -> list[Instruction]: ...
    def __getitem__(self, index: int | slice) -> Instruction | list[Instruction]:
        """Return an instruction by its number."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        position, text, attributes, options, goals = self._lines.read(range(len(self))[index])
        return Instruction(
            position=position, text=text, attributes=tuple(attributes), options=tuple(options), goals=goals
        )


def pack(product: Product) -> list[Any]:
    """Return a product as JSON values, in the order in which `unpack` expects them."""
    return [
        product.asin,
        product.title,
        product.category,
        product.query,
        product.product_category,
        product.description,
        product.bullet_points,
        product.attributes,
        product.options,
        product.option_images,
        product.prices,
        product.price_tag,
        product.image,
        product.nouns,
    ]


def unpack(values: Sequence[Any]) -> Product:
    """Return the product of which `pack` made these values."""
    asin, title, category, query, path, description, points, attributes, options, images, prices, tag, image, nouns = (
        values
    )
    return Product(
        asin=asin,
        title=title,
        category=category,
        query=query,
        product_category=path,
        description=description,
        bullet_points=tuple(points),
        attributes=tuple(attributes),
        options={name: tuple(each) for name, each in options.items()},
        option_images=images,
        prices=tuple(prices),
        price_tag=tag,
        image=image,
        nouns=tuple(nouns),
    )


def read_manifest(folder: Path, *, cure: str) -> Mapping[str, Any]:
    """Check a folder's files and return its manifest.

    Small files are compared by checksum, files above a few megabytes by length.

    Args:
        folder: The folder.
        cure: The remedy for the message, as a sentence.

    Raises:
        MissingDataError: The folder or its manifest does not exist.
        CorruptDataError: The format is different, or files are missing or truncated.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise MissingDataError(f"There is no catalogue in {folder}. {cure}") from cause
    except (OSError, ValueError) as cause:
        raise CorruptDataError(f"Cannot read {path}: {cause}. {cure}") from cause
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise CorruptDataError(f"{folder} has format {found}; this version reads format {FORMAT}. {cure}")
    for name, expected in manifest.get("files", {}).items():
        try:
            size = (folder / name).stat().st_size
        except OSError as cause:
            raise CorruptDataError(f"{folder / name} is missing. {cure}") from cause
        if size != expected["size"]:
            raise CorruptDataError(f"{folder / name} has {size:,} bytes; expected {expected['size']:,}. {cure}")
        checked = size <= _CHECKED and not name.startswith("search/")  # the search index looks after itself
        if checked and file_sha256(folder / name) != expected["sha256"]:
            raise CorruptDataError(f"{folder / name} is not what it was when it was built. {cure}")
    return manifest


def verify(folder: Path) -> None:
    """Read all of a folder and compare it with the sums in its manifest.

    Raises:
        MissingDataError: There is no such folder.
        CorruptDataError: Something is not as it was when it was built.
    """
    for name, expected in read_manifest(folder, cure="")["files"].items():
        if file_sha256(folder / name) != expected["sha256"]:
            raise CorruptDataError(f"{folder / name} has changed since it was built. Build it again.")
