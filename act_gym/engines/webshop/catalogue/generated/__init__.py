"""Generated catalogue: made from a seed, without a download, in any size, the same on every machine."""

from act_gym.engines.webshop.catalogue.generated.make import GeneratedProducts

__all__ = ["GeneratedProducts"]
