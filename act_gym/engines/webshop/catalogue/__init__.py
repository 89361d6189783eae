"""What a shop sells: WebShop's catalogues, or one of our own, as folders that all processes read together."""

from act_gym.engines.webshop.catalogue.rows import document
from act_gym.engines.webshop.catalogue.shop import OFFICIAL, Shop, open_shop, shops_folder

__all__ = ["OFFICIAL", "Shop", "document", "open_shop", "shops_folder"]
