"""Opens a shop by its name or path; builds generated shops."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from act_gym.engines.webshop.catalogue.build import Source, build
from act_gym.engines.webshop.catalogue.files import CatalogueFiles
from act_gym.engines.webshop.catalogue.folder import MANIFEST, Instructions, Products, read_manifest
from act_gym.engines.webshop.catalogue.generated import GeneratedProducts
from act_gym.engines.webshop.product import Catalogue, Instruction, SearchEngine
from act_gym.engines.webshop.search import SearchIndex
from act_gym.engines.webshop.shop_names import Named, name_of
from act_gym.errors import CorruptDataError, DataError, UnknownNameError
from act_gym.paths import data_dir

__all__ = ["OFFICIAL", "Shop", "generated", "open_shop", "shops_folder"]

OFFICIAL = ("1000", "full")
"""WebShop's own catalogues, which have to be downloaded."""

_GENERATED = re.compile(r"generated(?:-([1-9][0-9]{0,7})(?:-([0-9]{1,9}))?)?")
_COUNT = 1000  # products of `generated`


@dataclass(frozen=True)
class Shop:
    """Open shop, shared by any number of environments and processes.

    Attributes:
        name: The requested name.
        folder: Its folder.
        manifest: Its manifest; `manifest["nouns"]` is the noun model.
        products: The products.
        search: The search engine.
    """

    name: str
    folder: Path
    manifest: Mapping[str, Any]
    products: Catalogue
    search: SearchEngine
    _instructions: dict[bool, Instructions] = field(default_factory=dict, repr=False, compare=False)

    @property
    def checksum(self) -> str:
        """A sha256 of everything in the folder, as hexadecimal digits."""
        sums = [f"{name} {about['sha256']}\n" for name, about in sorted(self.manifest["files"].items())]
        return sha256("".join(sums).encode()).hexdigest()

    def instructions(self, human: bool) -> Sequence[Instruction]:
        """Return the instructions, in the order of the products; lazy.

        Args:
            human: The human ones instead of the synthetic ones.
        """
        if human not in self._instructions:
            self._instructions[human] = Instructions(self.folder, human=human)
        return self._instructions[human]


def open_shop(catalogue: Named = "1000") -> Shop:
    """Open a shop.

    Args:
        catalogue: `1000` or `full` for WebShop's own, which need a download; `generated`, `generated-<products>` or
            `generated-<products>-<seed>` for a generated one, built at its first use; or the path of an index folder,
            or of a catalogue in WebShop's format, whose index is built at its first use.

    Raises:
        MissingDataError: The catalogue is not on this machine.
        CorruptDataError: Its content is wrong.
        UnknownNameError: No shop or file has that name.
        MissingDependencyError: The index must be built, but the noun model is not installed.
    """
    name = name_of(catalogue)
    if name in OFFICIAL:
        cure = (
            f"Run: act-gym download webshop --catalogue {name}. Or play in a shop that needs no download: "
            'catalogue="generated".'
        )
        return _open(name, shops_folder() / name, cure)
    made = generated(name)
    if made:
        return _open_current(name, *made)
    path = Path(name).expanduser()
    if path.is_dir():
        return _open(name, path, f"Expected the folder of a catalogue, with a {MANIFEST} in it.")
    if path.is_file():
        whole = path.resolve()
        place = shops_folder() / f"{whole.stem}-{sha256(str(whole).encode()).hexdigest()[:12]}"
        return _open_current(name, place, CatalogueFiles.beside(whole))
    raise UnknownNameError("catalogue of WebShop, file or folder", name, [*OFFICIAL, "generated"])


def generated(name: str, processes: int = 1) -> tuple[Path, GeneratedProducts] | None:
    """Return the folder and the source of a generated shop; None if the name is not of a generated shop."""
    found = _GENERATED.fullmatch(name)
    if not found:
        return None
    count, seed = int(found[1] or _COUNT), int(found[2] or 0)
    place = shops_folder() / (f"generated-{count}" + (f"-{seed}" if seed else ""))
    return place, GeneratedProducts(count, seed, processes)


def shops_folder() -> Path:
    """Return the folder of all shops."""
    return data_dir() / "webshop"


def _open_current(name: str, place: Path, source: Source) -> Shop:
    """Open a folder after building it, if it is not there, damaged, or of another source."""
    try:
        if read_manifest(place, cure="")["source"] == source.identity:
            return _open(name, place, "")
    except DataError:
        pass
    build(place, source)
    return _open(name, place, "Delete it to have it built again.")


def _open(name: str, folder: Path, cure: str) -> Shop:
    manifest = read_manifest(folder, cure=cure)
    try:
        return Shop(name, folder, manifest, Products(folder), SearchIndex(folder / "search"))
    except DataError as error:
        raise CorruptDataError(f"{error} {cure}".strip()) from error
