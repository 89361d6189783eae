"""The original WebShop in this process: its code as it is, without what it needs only to find and to understand.

Its engine, templates, goals, reward and text environment run unchanged. Substitutes for packages that it imports: for
pyserini the shop's own search, for spaCy the nouns that are stored with the products, and empty modules for torch,
gym, cleantext and rank_bm25, which the text environment does not call.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from act_gym.engines.webshop.goals import Goals
from act_gym.engines.webshop.prices import Prices
from act_gym.engines.webshop.product import Catalogue, SearchEngine
from act_gym.errors import MissingDataError, MissingDependencyError, UsageError

__all__ = ["load_original"]

_ENVIRONMENT = "web_agent_site.envs.web_agent_text_env"
_PRODUCTS = 1000


def load_original(
    checkout: Path,
    data: Path,
    products: Catalogue,
    search: SearchEngine,
    goals: Goals,
    *,
    human: bool,
    show_attributes: bool,
) -> Any:
    """Return a `WebAgentTextEnv` of the original over the same products, with our prices.

    Args:
        checkout: The folder of the original's repository.
        data: The folder of the catalogue's files.
        products: Our catalogue, for the nouns of titles.
        search: The search engine that both use.
        goals: Ours, for the prices in their instructions; it is checked that nothing else in them differs.
        human: Whether the goals are those that people wrote.
        show_attributes: Whether products' pages lead to their attributes.

    Raises:
        MissingDependencyError: A package that the original runs on is not installed.
        MissingDataError: There is no original, or no data.
        UsageError: The original has other goals than we.
    """
    for package in ("flask", "bs4", "thefuzz"):
        if importlib.util.find_spec(package) is None:
            cure = "pip install flask beautifulsoup4 thefuzz==0.19.0"
            raise MissingDependencyError(f"{package}, which the original WebShop needs,", command=cure)
    if importlib.util.find_spec("Levenshtein") is not None:
        raise UsageError("thefuzz counts otherwise with python-Levenshtein. Run: pip uninstall python-Levenshtein")
    _provide(products, search)
    module = _import(checkout, data)
    server = module.SimServer(
        "http://127.0.0.1:3000",
        module.DEFAULT_FILE_PATH,
        num_products=_PRODUCTS,
        human_goals=human,
        show_attrs=show_attributes,
    )
    _share_prices(server, products, goals)
    return module.WebAgentTextEnv(observation_mode="text", server=server, show_attrs=show_attributes)


def _provide(products: Catalogue, search: SearchEngine) -> None:
    nouns = {product.title: product.nouns for product in map(products.product, range(len(products)))}

    class Searcher:
        """Takes the place of pyserini's."""

        def __init__(self, folder: str) -> None: ...

        def search(self, query: str, k: int) -> list[Any]:
            return [SimpleNamespace(docid=position) for position in search.search(query, k)]

        def doc(self, position: int) -> Any:
            return SimpleNamespace(raw=lambda: json.dumps({"id": products.product(position).asin}))

    def parse(title: str) -> list[Any]:
        return [SimpleNamespace(text=noun, pos_="NOUN") for noun in nouns[title]]

    contents: Mapping[str, Mapping[str, Any]] = {
        "cleantext": {},
        "gym": {"Env": object},
        "pyserini": {},
        "pyserini.search": {},
        "pyserini.search.lucene": {"LuceneSearcher": Searcher},
        "rank_bm25": {"BM25Okapi": None},
        "spacy": {"load": lambda _: parse},
        "torch": {},
    }
    for name, values in contents.items():
        sys.modules[name] = module = ModuleType(name)
        module.__dict__.update(values)


def _import(checkout: Path, data: Path) -> Any:
    source = checkout / "web_agent_site" / "envs" / "web_agent_text_env.py"
    for path in (source, data / "items_shuffle_1000.json"):
        if not path.is_file():
            raise MissingDataError(f"There is no {path}. --original is a checkout of princeton-nlp/WebShop.")
    sys.path.insert(0, str(checkout))
    settings: Any = importlib.import_module("web_agent_site.utils")
    settings.DEFAULT_FILE_PATH = str(data / "items_shuffle_1000.json")
    settings.DEFAULT_ATTR_PATH = str(data / "items_ins_v2_1000.json")
    settings.HUMAN_ATTR_PATH = str(data / "items_human_ins.json")
    package = ModuleType("web_agent_site.envs")  # its own would import selenium
    package.__path__ = [str(source.parent)]
    sys.modules["web_agent_site.envs"] = package
    return importlib.import_module(_ENVIRONMENT)


def _share_prices(server: Any, products: Catalogue, goals: Goals) -> None:
    prices = Prices()
    server.product_prices = {
        product.asin: prices.price(product) for product in map(products.product, range(len(products)))
    }
    if len(server.goals) != len(goals):
        raise UsageError(f"The original has {len(server.goals):,} goals and this catalogue {len(goals):,}.")
    for index, theirs in enumerate(server.goals):
        ours = goals.goal(index, prices)
        options = dict(ours.options) if isinstance(ours.options, Mapping) else list(ours.options)
        mine = (ours.product.asin, list(ours.attributes), options, _words(ours.instruction))
        if mine != (theirs["asin"], theirs["attributes"], theirs["goal_options"], _words(theirs["instruction_text"])):
            raise UsageError(f"Goal {index} is {theirs} in the original, and here {ours}.")
        theirs["instruction_text"], theirs["price_upper"] = ours.instruction, ours.price_upper


def _words(instruction: str) -> str:
    return instruction.partition(", and price lower than ")[0]
