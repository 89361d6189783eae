"""A shop of our own, made from a seed: nothing to download, any size, the same everywhere."""

from act_gym.engines.webshop.catalogue.generated.make import GeneratedProducts

__all__ = ["GeneratedProducts"]
