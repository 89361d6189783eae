"""A scripted expert: commands that buy what a goal wants. Privileged, as it knows the product the goal was made from.

It searches with the words that a customer would use, first the attributes, the kind of product and the options, then
the whole instruction, in the end the product's own title, and takes the first search that lists the product on its
first page, or else the one that lists it earliest. Then it chooses the wanted options and buys. The searching is done
before the episode, so the commands that are returned hold only the search that worked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import TYPE_CHECKING

from act_gym.engines.webshop.reward import option_chosen
from act_gym.engines.webshop.session import PAGE_SIZE, parse_action
from act_gym.errors import EngineError

if TYPE_CHECKING:
    from act_gym.engines.webshop.goals import Goal
    from act_gym.engines.webshop.session import Session

__all__ = ["solve"]

_TRIED = 200  # at most so many ways to choose the options are looked at

_PRICE = re.compile(r", and price lower than [\d.]+ dollars$")
_UNSAID = re.compile(r"[\[\]\s]+")  # what a search cannot hold, or need not


def solve(session: Session) -> tuple[str, ...]:
    """Return commands from the search page to a purchase of reward 1.0; all of them are admissible.

    Raises:
        EngineError: No search lists the product, or buying it is not worth 1.0 whatever is chosen.
    """
    goal = session.goal
    way = _way_to_product(session)
    for choices in islice(_choices(goal), _TRIED):
        commands = (*way, *(f"click[{value}]" for value in choices), "click[buy now]")
        if _worth(session, commands) == 1.0:
            return commands
    raise EngineError(
        f"The expert knows no purchase of {goal.product.asin} that is worth 1.0 for goal {goal.index}, which was made "
        f"from it: {goal.instruction!r}. WebShop's reward cannot be had for some options; see docs/webshop-parity.md."
    )


def _way_to_product(session: Session) -> tuple[str, ...]:
    goal, start = session.goal, session.start()
    clickables = session.page(start).clickables
    found: tuple[int, str] | None = None
    for query in _queries(goal):
        results = session.act(start, f"search[{query}]", clickables)
        if results is None or goal.position not in results.hits:
            continue
        page = results.hits.index(goal.position) // PAGE_SIZE
        if found is None or page < found[0]:
            found = page, query
        if page == 0:
            break
    if found is None:
        raise EngineError(
            f"The expert finds no search that lists {goal.product.asin}, the product of goal {goal.index}."
        )
    page, query = found
    return (f"search[{query}]", *["click[next >]"] * page, f"click[{goal.product.asin.lower()}]")


def _queries(goal: Goal) -> Iterator[str]:
    """Yield what to search for, from what a customer would say to what only the shop knows."""
    wanted, kind = " ".join(goal.attributes), goal.product.query
    values = goal.options.values() if isinstance(goal.options, Mapping) else goal.options
    title = goal.product.title
    for text in (
        f"{wanted} {kind}",
        f"{wanted} {kind} {' '.join(values)}",
        _PRICE.sub("", goal.instruction),
        f"{' '.join(goal.product.nouns)} {kind}",
        " ".join(title.split()[:8]),
        title,
        f"{title} {wanted} {' '.join(values)}",
    ):
        query = _UNSAID.sub(" ", text).strip().lower()
        if query and not query.startswith("<"):
            yield query


def _choices(goal: Goal) -> Iterator[list[str]]:
    """Yield lists of values to click on, each of which has one for every wanted option, the wanted ones first.

    A value belongs to the last option that has it, and an option has one value at a time.
    """
    options = goal.product.options
    owner = {value: name for name, values in options.items() for value in values if _clickable(value)}
    fitting = []
    for wanted in goal.option_texts:
        exact = wanted if isinstance(wanted, str) else wanted[1]
        fitting.append(sorted((v for v in owner if option_chosen(wanted, [v])), key=lambda value: value != exact))
    for values in product(*fitting):
        chosen = {owner[value]: value for value in values}
        if set(values) == set(chosen.values()):
            yield list(chosen.values())


def _clickable(value: str) -> bool:
    """Return whether clicking on a value can choose it: it has to come through, and not to be a button's name."""
    return value not in _BUTTONS and parse_action(f"click[{value}]") == ("click", value)


_BUTTONS = frozenset(
    ("search", "back to search", "< prev", "next >", "description", "features", "reviews", "attributes", "buy now")
)


def _worth(session: Session, commands: tuple[str, ...]) -> float:
    visit = session.start()
    for command in commands:
        after = session.act(visit, command, session.page(visit).clickables)
        if after is None:
            return 0.0
        visit = after
    return visit.score.reward if visit.score else 0.0
