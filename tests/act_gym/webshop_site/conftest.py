"""Two shops that are really built, and a server that really runs."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from act_gym.engines.webshop.catalogue.build import Item, build
from act_gym.engines.webshop.catalogue.generated import GeneratedProducts
from act_gym.engines.webshop.product import Product
from act_gym.webshop_site.serve import ShopConfig, customers_of
from act_gym.webshop_site.server import ShopServer
from act_gym.webshop_site.sessions import Customers

NASTY = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>\" onload='x' "
    "&amp; \x1b[31m \u202eevil\u200b {{7*7}}"
)

SAYABLE = NASTY.lower().replace("[", "(")  # as the value of an option: an action cannot hold brackets


class NastyProducts:
    """A catalogue of somebody who means ill, as a source of a folder."""

    finder = None
    processes = 1

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "nasty"}

    def details(self) -> Mapping[str, Any]:
        return {}

    def items(self, first: int) -> Iterator[Item]:
        for number in range(first, 3):
            yield Item(
                Product(
                    asin=f"B<\"'&{number}",
                    title=f"hammer {NASTY}",
                    category=NASTY,
                    query=NASTY,
                    product_category=f"{NASTY} › ../../etc",
                    description=NASTY,
                    bullet_points=(NASTY, "</ul>"),
                    attributes=(NASTY.lower(),),
                    options={
                        NASTY: (NASTY.lower(), SAYABLE, "search", "buy now", "x [y]", "a\nb", "plain", "click"),
                        "token": ("twice", "'); drop table"),
                        "": ("twice",),
                    },
                    option_images={"plain": "https://evil.example/x.png"},
                    price_tag=NASTY,
                    image="https://evil.example/y.png",
                    nouns=("hammer",),
                ),
                entry={"instruction": f"Find me {NASTY}", "instruction_attributes": [NASTY.lower()]},
            )


@dataclass
class Running:
    """A shop that is open, and what it is made of."""

    server: ShopServer
    customers: Customers
    address: str
    out: Path


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop of our own."""
    place = tmp_path_factory.mktemp("shops") / "stock"
    build(place, GeneratedProducts(60))
    return place


@pytest.fixture(scope="session")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose every text wants to do harm."""
    place = tmp_path_factory.mktemp("shops") / "nasty"
    build(place, NastyProducts())
    return place


@contextmanager
def opened(arguments: ShopConfig) -> Iterator[Running]:
    """Open a shop in this process until the block ends; visits that go on are left and saved then."""
    customers = customers_of(arguments)
    with ShopServer(customers, arguments.port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Running(server, customers, server.address(), arguments.out)
        finally:
            server.shutdown()
            thread.join()
            customers.close()


@pytest.fixture
def open_shop(stock: Path, tmp_path: Path) -> Callable[..., Any]:
    """Returns a function that opens a shop: our own, if no catalogue is named."""

    def shop(**settings: Any) -> Any:
        settings = {"catalogue": str(stock), "out": tmp_path / "demonstrations", "env": "act/WebShop"} | settings
        return opened(ShopConfig(**settings))

    return shop
