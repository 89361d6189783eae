"""Cache of open shops with their goals, shared by the environments of this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

from act_gym.engines.webshop.goals import Goals
from act_gym.engines.webshop.shop_names import Named, name_of
from act_gym.errors import EngineError, UsageError
from act_gym.paths import data_dir
from act_gym.splits.webshop_goals import FROZEN, GENERATED, check_frozen, check_generated

if TYPE_CHECKING:
    from act_gym.engines.webshop.catalogue import Shop
    from act_gym.engines.webshop.product import Catalogue, SearchEngine

__all__ = ["OpenShop", "open_for", "shared_goals", "shared_shop"]


@dataclass(frozen=True, slots=True)
class OpenShop:
    """Shop of one environment.

    Attributes:
        catalogue: The requested name.
        products: The catalogue.
        search: The search engine.
        goals: The goals.
        versions: The catalogue, its checksum, its noun model and the search engine.
    """

    catalogue: str
    products: Catalogue
    search: SearchEngine
    goals: Goals
    versions: Mapping[str, str]


def open_for(catalogue: Named, *, human: bool, search_engine: Any = None) -> OpenShop:
    """Return a shop, opened once per process; the search engine may differ at each call.

    Args:
        catalogue: A name or a path, as `open_shop` takes it.
        human: Whether to use the human goals.
        search_engine: See `WebShopEngine`; None for the shop's own.

    Raises:
        MissingDataError: The catalogue is not on this machine.
        CorruptDataError: Its content is wrong.
        UsageError: The search engine cannot be used.
    """
    shop = shared_shop(catalogue)
    goals = shared_goals(catalogue, human=human)
    opened = OpenShop(name_of(catalogue), shop.products, shop.search, goals, _versions(shop))
    if search_engine is None:
        return opened
    name, search = _chosen(search_engine, shop.products)
    return replace(opened, search=search, versions={**opened.versions, "search": name})


def shared_shop(catalogue: Named) -> Shop:
    """Return a shop, opened once in this process."""
    return _shop(name_of(catalogue), data_dir())


def shared_goals(catalogue: Named, *, human: bool) -> Goals:
    """Return the goals of a shop, put in order once in this process."""
    return _goals(name_of(catalogue), data_dir(), human)


@lru_cache(maxsize=8)
def _shop(catalogue: str, folder: Path) -> Shop:  # noqa: ARG001  (a name means another shop in another folder)
    from act_gym.engines.webshop.catalogue import open_shop

    return open_shop(catalogue)


@lru_cache(maxsize=8)
def _goals(catalogue: str, folder: Path, human: bool) -> Goals:
    shop = _shop(catalogue, folder)
    instructions = shop.instructions(human)
    if catalogue == FROZEN:
        found = [(shop.products.product(each.position).asin, each.goals) for each in instructions]
        check_frozen(found, human_goals=human)
    if catalogue == GENERATED and not human:
        products = [shop.products.product(each.position) for each in instructions]
        kinds = [f"{product.category}/{product.query}" for product in products]
        goals = [each.goals for each in instructions]
        check_generated(list(zip(kinds, goals, strict=True)), shop.folder)
    return Goals(shop.products, instructions, human=human)


def _versions(shop: Shop) -> Mapping[str, str]:
    nouns = shop.manifest.get("nouns") or {}
    return {
        "catalogue": shop.name,
        "catalogue_sha256": shop.checksum,
        "nouns": ", ".join(f"{name} {value}" for name, value in nouns.items())
        if isinstance(nouns, Mapping)
        else str(nouns),
        "search": "bm25",
    }


def _chosen(given: Any, products: Catalogue) -> tuple[str, SearchEngine]:
    """Return a search engine and its name: the thing itself, or what it makes of the catalogue."""
    made = given
    if isinstance(given, str):
        module, _, attribute = given.partition(":")
        try:
            made = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as cause:
            raise UsageError(f"search_engine={given!r} is to be module:name of something to import: {cause}") from cause
    if isinstance(made, type) or not hasattr(made, "search"):
        if not callable(made):
            raise UsageError(f"search_engine={given!r} has no search(query, limit) and cannot be called to make one.")
        try:
            made = made(products)
        except TypeError as cause:
            raise UsageError(f"search_engine={given!r} is called with the catalogue, and cannot be: {cause}") from cause
    if not callable(getattr(made, "search", None)):
        raise UsageError(f"search_engine={given!r} gave {made!r}, which has no search(query, limit).")
    name = given if isinstance(given, str) else f"{type(made).__module__}:{type(made).__qualname__}"
    return name, _Checked(name, made, len(products))


class _Checked:
    """User's search engine with checks of its answers."""

    def __init__(self, name: str, inner: SearchEngine, count: int) -> None:
        self._name = name
        self._inner = inner
        self._count = count

    def search(self, query: str, limit: int = 50) -> Sequence[int]:
        """Return what it finds.

        Raises:
            EngineError: That is not positions in the catalogue.
        """
        found = self._inner.search(query, limit)
        try:
            positions = tuple(index(position) for position in found)
        except TypeError as cause:
            raise EngineError(
                f"{self._name} is to find positions in the catalogue; it found {found!r:.200}."
            ) from cause
        if any(not 0 <= position < self._count for position in positions):
            raise EngineError(f"{self._name} found a position outside 0 to {self._count - 1}: {positions!r:.200}.")
        return positions[:limit]
