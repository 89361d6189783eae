"""Catalogue folder: memory-mapped, read-only, shared by all processes.

```
manifest.json      contents: format, source, counts, skipped rows, the nouns' model, sizes and sums
products.jsonl     one product per line, an array of values in the order of `_pack`
products.index     the offset of each line, and the end of the last one, as little-endian unsigned 64-bit numbers
asins, positions   sorted identifiers of ten bytes each; their positions in the catalogue, as 32-bit numbers
synthetic.jsonl    instructions of the synthetic goals, with .index
human.jsonl        human instructions, with .index
search/            the search index
```

`build.py` builds such a folder.
"""

from __future__ import annotations

import json
import mmap
import struct
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, overload

from act_gym.engines.webshop.product import Instruction, Product
from act_gym.errors import CorruptDataError, MissingDataError
from act_gym.io.download import file_sha256

__all__ = [
    "ASIN_WIDTH",
    "FORMAT",
    "MANIFEST",
    "Instructions",
    "LineWriter",
    "Lines",
    "Products",
    "mapped",
    "pack",
    "read_manifest",
    "unpack",
    "verify",
]

_PAIR = struct.Struct("<QQ")
_ONE = struct.Struct("<Q")


class Lines:
    """Lines of a file, by number.

    Args:
        folder: The folder of the two files.
        name: Their name without the extension.

    Raises:
        CorruptDataError: The two files do not match.
        OSError: They cannot be read.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.jsonl"
        self._content = mapped(self._path)
        self._index = mapped(folder / f"{name}.index")
        self._count = len(self._index) // _ONE.size - 1
        if self._count < 0 or _ONE.unpack_from(self._index, self._count * _ONE.size)[0] != len(self._content):
            raise CorruptDataError(f"{self._path} is not as long as its index says.")

    def __len__(self) -> int:
        return self._count

    def read(self, number: int) -> Any:
        """Return a line's content.

        Raises:
            IndexError: There is no such line.
            CorruptDataError: It is no JSON.
        """
        if not 0 <= number < self._count:
            raise IndexError(f"{self._path.name} has {self._count:,} lines; there is no line {number}.")
        start, end = _PAIR.unpack_from(self._index, number * _ONE.size)
        try:
            return json.loads(self._content[start:end])
        except ValueError as cause:
            raise CorruptDataError(f"{self._path} is damaged at byte {start:,}: {cause}.") from cause


class LineWriter:
    """Appends lines to such a file, from the saved position of an earlier run.

    Args:
        folder: The folder of the two files.
        name: Their name without the extension.
        lines: The number of present lines to keep.
        size: The size of these lines in bytes.
    """

    def __init__(self, folder: Path, name: str, *, lines: int = 0, size: int = 0) -> None:
        self._content = _from(folder / f"{name}.jsonl", size)
        self._index = _from(folder / f"{name}.index", (lines + 1) * _ONE.size if lines else 0)
        self.lines, self.size = lines, size
        if not lines:
            self._index.write(_ONE.pack(0))

    def write(self, content: Any) -> None:
        """Append a line."""
        line = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._content.write(line)
        self.size += len(line)
        self.lines += 1
        self._index.write(_ONE.pack(self.size))

    def files(self) -> tuple[IO[bytes], IO[bytes]]:
        """Return the two files that it writes."""
        return self._content, self._index


def mapped(path: Path) -> mmap.mmap | bytes:
    """Return a file's bytes without reading them; changes to the file are not to be made."""
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            return b""  # nothing cannot be mapped
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _from(path: Path, size: int) -> IO[bytes]:
    """Open a file for writing behind its first bytes."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    file.seek(size)
    return file


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
