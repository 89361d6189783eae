"""Goals of a shop, in WebShop's order, constructed on demand.

WebShop (`web_agent_site/engine/goal.py`) writes a goal for every combination of the options of every product that has
an instruction, or one for every human instruction, and shuffles them with the seed 233. The first 500 are its test
goals, the next 1,000 its development goals, the others are for training. Only the order is stored, as numbers; a goal
is constructed in microseconds.

The only difference from WebShop is the draw of prices, which there depends on the process's earlier draws.
"""

from __future__ import annotations

import random
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from act_gym.engines.webshop.prices import Prices
from act_gym.engines.webshop.product import Catalogue, Instruction, Product

__all__ = ["FOLDS", "Goal", "Goals", "combination", "combinations", "fold_of", "order"]

FOLDS: Mapping[str, tuple[int, int | None]] = {"test": (0, 500), "dev": (500, 1500), "train": (1500, None)}
"""Where each fold starts and stops among the shuffled goals."""

_SHUFFLE_SEED = 233


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Goal of one episode.

    Attributes:
        index: Its index among the shuffled goals, from 0: WebShop's session number.
        product: The product that the goal was made from.
        position: The product's position in the catalogue.
        instruction: The instruction, with the price.
        attributes: The wanted attributes; at least one.
        options: The wanted options: by name for a synthetic goal, values alone for a person's.
        price_upper: The price limit in dollars; 1,000,000 if the instruction has none.
    """

    index: int
    product: Product
    position: int
    instruction: str
    attributes: tuple[str, ...]
    options: Mapping[str, str] | tuple[str, ...]
    price_upper: float

    @property
    def option_texts(self) -> tuple[str | tuple[str, str], ...]:
        """The wanted options one by one: pairs of name and value, or values."""
        return tuple(self.options.items()) if isinstance(self.options, Mapping) else self.options


class Goals:
    """All goals of a shop, shuffled. Any number of environments share them.

    Args:
        products: The catalogue.
        instructions: The instructions, in the order of the catalogue.
        human: Whether people wrote the instructions: then each is one goal and contains its options.
    """

    def __init__(self, products: Catalogue, instructions: Sequence[Instruction], *, human: bool) -> None:
        self._products = products
        self._instructions = instructions
        self._human = human
        self._ends = list(accumulate(instruction.goals for instruction in instructions))
        self._order = order(self._ends[-1] if self._ends else 0)

    def __len__(self) -> int:
        return len(self._order)

    def goal(self, index: int, prices: Prices) -> Goal:
        """Return a goal by its place after the shuffle.

        Args:
            index: From 0.
            prices: Draws the limit.

        Raises:
            IndexError: There is none.
        """
        at = range(len(self))[index]
        number, instruction = self.instruction(at)
        product = self._products.product(instruction.position)
        upper = prices.upper(product, number if self._human else 0, goal=at)
        price_text = f", and price lower than {upper:.2f} dollars" if upper < Prices.NO_LIMIT else ""
        if self._human:
            options: Mapping[str, str] | tuple[str, ...] = instruction.options
            text = instruction.text.strip(".") + price_text
        else:
            first = self._ends[number - 1] if number else 0
            options = combination(product.options, self._order[at] - first)
            option_text = ", and ".join(f"{name}: {value}" for name, value in options.items())
            text = f"{instruction.text}{' with ' + option_text if option_text else ''}{price_text}"
        return Goal(
            index=at,
            product=product,
            position=instruction.position,
            instruction=text,
            attributes=instruction.attributes,
            options=options,
            price_upper=upper,
        )

    def weights(self) -> list[float]:
        """Return how often WebShop draws each goal where none is asked for: rare attributes more often."""
        if self._human:
            return [1.0] * len(self)
        counts: Counter[str] = Counter()
        for instruction in self._instructions:
            for attribute in instruction.attributes:
                counts[attribute] += instruction.goals
        found = []
        for at in range(len(self)):
            attributes = self.instruction(at)[1].attributes
            found.append(sum(1.0 / counts[attribute] for attribute in attributes) / len(attributes))
        return found

    def instruction(self, index: int) -> tuple[int, Instruction]:
        """Return the instruction of a goal, and its number among the instructions."""
        number = bisect_right(self._ends, self._order[index])
        return number, self._instructions[number]


def order(count: int) -> Sequence[int]:
    """Return where each of that many goals was before WebShop shuffled them; 1 µs for each."""
    numbers = array("I", range(count))
    random.Random(_SHUFFLE_SEED).shuffle(numbers)
    return numbers


def fold_of(index: int) -> str:
    """Return the official fold of a goal: `test`, `dev` or `train`."""
    return next(name for name, (_, stop) in FOLDS.items() if stop is None or index < stop)


def combinations(options: Mapping[str, Sequence[str]]) -> int:
    """Return in how many ways a product can be chosen."""
    return prod(len(values) for values in options.values())


def combination(options: Mapping[str, Sequence[str]], number: int) -> dict[str, str]:
    """Return one way to choose a product, counted from 0: names in their order, the last one changes fastest."""
    chosen: dict[str, str] = {}
    for name in sorted(options, reverse=True):
        number, at = divmod(number, len(options[name]))
        chosen[name] = options[name][at]
    return {name: chosen[name] for name in sorted(options)}
