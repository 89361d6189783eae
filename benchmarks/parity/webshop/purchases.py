"""Judges the same random purchases with the original's reward and with ours, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from act_gym.engines.webshop.goals import Goals
from act_gym.engines.webshop.prices import Prices
from act_gym.engines.webshop.product import Catalogue, Product
from act_gym.engines.webshop.reward import score

__all__ = ["Judged", "judge"]


@dataclass
class Judged:
    """Result of the comparison.

    Attributes:
        purchases: How many were judged.
        rewards: The different rewards among them.
        differences: Descriptions of purchases with another reward.
    """

    purchases: int = 0
    rewards: set[float] = field(default_factory=set)
    differences: list[str] = field(default_factory=list)


def judge(
    get_reward: Any,
    server: Any,
    products: Catalogue,
    goals: Goals,
    *,
    purchases: int,
    random: np.random.Generator,
) -> Judged:
    """Judge random purchases: a third of the wanted product, a third of its kind, a third of any, with random options.

    Args:
        get_reward: The original's.
        server: The original's, with our prices.
        products: Our catalogue.
        goals: Our goals, the server's in the same order.
        purchases: How many.
        random: Decides.
    """
    found = Judged()
    prices = Prices()
    kinds: dict[str, list[int]] = {}
    for position in range(len(products)):
        kinds.setdefault(products.product(position).query, []).append(position)
    for number in range(purchases):
        index = int(random.integers(len(goals)))
        goal = goals.goal(index, prices)
        of_kind = kinds[goal.product.query]
        choices: Sequence[int] = ([goal.position], of_kind, range(len(products)))[number % 3]
        product = products.product(choices[int(random.integers(len(choices)))])
        options = _options(product, goal.options if number % 2 else {}, random)
        price = prices.price(product)
        theirs, parts = get_reward(
            server.product_item_dict[product.asin], server.goals[index], price=price, options=options, verbose=True
        )
        ours = score(goal, product, options, price)
        found.purchases += 1
        found.rewards.add(ours.reward)
        if (theirs, parts) != (ours.reward, dict(ours.parts)):
            found.differences.append(
                f"goal {index}, {product.asin} with {options}: theirs {theirs} {parts}, ours {ours.reward} {ours.parts}"
            )
    return found


def _options(product: Product, wanted: object, random: np.random.Generator) -> dict[str, str]:
    """Return chosen options: those that are wanted where the product has them, the others at random or not at all."""
    chosen = {}
    for name, values in product.options.items():
        if not values or random.random() < 0.2:
            continue
        own = wanted.get(name) if isinstance(wanted, Mapping) else None
        chosen[name] = own if own in values else values[int(random.integers(len(values)))]
    return chosen
