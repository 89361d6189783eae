"""The colours that the reward takes for one another: the first of this list that a value contains stands for it.

The names and their order are WebShop's (`web_agent_site/engine/normalize.py`, `COLOR_SET`); the order
decides, so `heather grey` counts as `grey`. It looks inside words: `standard` counts as `tan`.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["COLOURS", "colour_of"]

_NAMES = """
alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy camel camo
caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral cranberry cream
crystal dark denim eggplant elephant espresso fuchsia gold granite grape graphite grass gray green grey heather
indigo ivory ivy khaki lavender lemon leopard light lilac lime magenta maroon mauve merlot midnight mint mocha
multicolor mushroom mustard natural navy nude olive orange peach pewter pink plum purple rainbow red rose royal
rust sand sapphire seashell silver skull slate steel stone stonewash sunflower tan taupe teal tiger turquoise
violet walnut wheat white wine yellow
"""

COLOURS = tuple(_NAMES.split())


@lru_cache(maxsize=1 << 14)
def colour_of(value: str) -> str:
    """Return the first of `COLOURS` that the value contains, or the value itself."""
    return next((colour for colour in COLOURS if colour in value), value)
