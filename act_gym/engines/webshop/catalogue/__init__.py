"""Catalogues: WebShop's own, or a generated one, as folders shared by all processes."""

from act_gym.engines.webshop.catalogue.rows import document
from act_gym.engines.webshop.catalogue.shop import OFFICIAL, Shop, open_shop, shops_folder

__all__ = ["OFFICIAL", "Shop", "document", "open_shop", "shops_folder"]
