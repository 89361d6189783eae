"""WebShop's reward of a purchase (`web_agent_site/engine/goal.py`, `get_reward`), part by part.

The reward is the share of wanted attributes, options and price, times the match of the product type. Its oddities are
kept, because published numbers contain them:

- A wanted option of a synthetic goal is compared as Python prints the pair, `('size', 'large')`, with the chosen value
  reduced to its colour. So an option such as `standard`, which contains `tan`, cannot be satisfied by choosing it, and
  the goal cannot reach 1.0.
- Nouns of the wanted title count as often as they occur, those of the bought title once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from act_gym.engines.webshop.goals import Goal
from act_gym.engines.webshop.product import Product

__all__ = ["COLOURS", "Score", "attribute_found", "colour_of", "option_chosen", "score", "token_set_ratio"]


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


_NO_WORD = re.compile(r"\W")
_DROPPED = dict.fromkeys(range(128, 256))  # letters such as é; those beyond, such as ő, stay


@lru_cache(maxsize=1 << 16)
def token_set_ratio(one: str, other: str) -> int:
    """Return how alike two texts are by the words they share and those they do not, 0 to 100.

    Case, punctuation, order and repetition of words do not count. Where one text has all the words of the
    other, and there are any, it is 100.
    """
    words, others = _words(one), _words(other)
    if not words or not others:
        return 0
    shared = " ".join(sorted(words & others))
    first = f"{shared} {' '.join(sorted(words - others))}".strip()
    second = f"{shared} {' '.join(sorted(others - words))}".strip()
    return max(_ratio(shared, first), _ratio(shared, second), _ratio(first, second))


def _words(text: str) -> frozenset[str]:
    return frozenset(_NO_WORD.sub(" ", text.translate(_DROPPED)).lower().split())


def _ratio(one: str, other: str) -> int:
    if one == other:
        return 100
    if not one or not other:
        return 0
    return round(100 * SequenceMatcher(None, one, other).ratio())


_ALIKE = 85  # texts that are more alike than this count as the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Reward of a purchase with its parts.

    Attributes:
        reward: 0 to 1.
        parts: Under WebShop's own names: `r_type`, `r_att`, `w_att`, `query_match`, `category_match`, `title_score`,
            `r_price`, `w_price`, and, if options are wanted, `r_option` and `w_option`; `r_` for a reward, `w_` for its
            weight, all from 0 to 1.
    """

    reward: float
    parts: Mapping[str, float | bool]


def score(goal: Goal, product: Product, options: Mapping[str, str], price: float) -> Score:
    """Score a purchase.

    Args:
        goal: The goal.
        product: The product bought.
        options: The chosen values of its options, by name.
        price: Its price in dollars.
    """
    kind = _type_parts(goal.product, product)
    attributes = sum(attribute_found(wanted, product) for wanted in goal.attributes)
    wanted_options = goal.option_texts
    matched = sum(option_chosen(wanted, options.values()) for wanted in wanted_options)
    affordable = price <= goal.price_upper
    whole = len(goal.attributes) + len(wanted_options) + 1
    reward = (attributes + matched + affordable) / whole * kind["r_type"]
    parts = {
        "r_type": kind["r_type"],
        "r_att": attributes / len(goal.attributes),
        "w_att": len(goal.attributes) / whole,
        "query_match": kind["query_match"],
        "category_match": kind["category_match"],
        "title_score": kind["title_score"],
    }
    if wanted_options:
        parts |= {"r_option": matched / len(wanted_options), "w_option": len(wanted_options) / whole}
    return Score(reward=reward, parts=parts | {"r_price": affordable, "w_price": 1 / whole})


def attribute_found(wanted: str, product: Product) -> bool:
    """Return whether a product has an attribute: among its own, or word by word in its texts."""
    return any(token_set_ratio(own, wanted) > _ALIKE for own in product.attributes) or (
        wanted in product.title.lower()
        or wanted in " ".join(product.bullet_points).lower()
        or wanted in product.description.lower()
    )


def option_chosen(wanted: str | tuple[str, str], chosen: Iterable[str]) -> bool:
    """Return whether one of the chosen values is the wanted one.

    Args:
        wanted: A value, or a pair of an option's name and a value.
        chosen: Values.
    """
    text = _comparable(wanted)
    return any(token_set_ratio(colour_of(value), text) > _ALIKE for value in chosen)


@lru_cache(maxsize=1 << 14)
def _comparable(wanted: str | tuple[str, str]) -> str:
    """Return what WebShop compares: of a pair, the first colour that is one of the two, or the pair as printed."""
    if isinstance(wanted, str):
        return colour_of(wanted)
    return next((colour for colour in COLOURS if colour in wanted), str(wanted))


def _type_parts(wanted: Product, bought: Product) -> dict[str, float | bool]:
    same_query = bought.query == wanted.query
    same_category = len(_path(bought.product_category) & _path(wanted.product_category)) >= 2
    shared = len(set(bought.nouns) & set(wanted.nouns))
    title = shared / len(wanted.nouns) if wanted.nouns else 0.2
    fit = 1.0 if same_query or same_category or title > 0.2 else 0.5
    if title < 0.1:
        fit = 0.1
    if title == 0:
        fit = 0.0
    return {"r_type": fit, "query_match": same_query, "category_match": same_category, "title_score": title}


def _path(product_category: str) -> set[str]:
    return {part.strip() for part in product_category.split("›")}
