"""Scripted WebShop expert: commands that buy the target product. Privileged.

It searches with the words of a customer, first attributes, kind of product and options, then the whole instruction, and
last the product's title. It takes the first search that lists the product on its first page, or else the one that lists
it earliest. Then it chooses the wanted options and buys. It searches before the episode, so the returned commands
contain only the search that worked.
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
    from act_gym.engines.webshop.session_state import Visit

__all__ = ["go_on", "solve"]

_TRIED = 200  # at most so many ways to choose the options are looked at

_PRICE = re.compile(r", and price lower than [\d.]+ dollars$")
_UNSAID = re.compile(r"[\[\]\s]+")  # what a search cannot hold, or need not


def solve(session: Session) -> tuple[str, ...]:
    """Return commands from the search page to a purchase of reward 1.0; all of them are admissible.

    Raises:
        EngineError: No search lists the product, or buying it is not worth 1.0 whatever is chosen.
    """
    goal = session.goal
    commands = _bought_after(session, session.start(), _way_to_product(session))
    if commands is not None:
        return commands
    raise EngineError(
        f"The expert knows no purchase of {goal.product.asin} that is worth 1.0 for goal {goal.index}, which was made "
        f"from it: {goal.instruction!r}. WebShop's reward cannot be had for some options; see docs/webshop-parity.md."
    )


def go_on(session: Session, visit: Visit) -> tuple[str, ...]:
    """Return commands from any page to a purchase of reward 1.0, none after one.

    From a page that lists or shows the product they take the shortest way, from others a new search.

    Raises:
        EngineError: As `solve`; or something else has been bought.
    """
    if visit.score is not None:
        if visit.score.reward == 1.0:
            return ()
        raise EngineError(f"Something was bought that is worth {visit.score.reward:.3f}, and that is the end.")
    near = _way_from(session, visit)
    commands = None if near is None else _bought_after(session, visit, near)
    if commands is not None:
        return commands
    return solve(session) if visit.page == "search" else ("click[back to search]", *solve(session))


def _way_from(session: Session, visit: Visit) -> tuple[str, ...] | None:
    """Return the way to the wanted product's page from pages that show it, or that are of a search that found it."""
    goal = session.goal
    if visit.product is not None and visit.product.asin == goal.product.asin:
        return () if visit.page == "item" else ("click[< prev]",)
    if visit.page != "results" or goal.position not in visit.hits:
        return None
    pages = visit.hits.index(goal.position) // PAGE_SIZE + 1 - visit.number
    turn = "click[next >]" if pages > 0 else "click[< prev]"
    return (*[turn] * abs(pages), f"click[{goal.product.asin.lower()}]")


def _bought_after(session: Session, start: Visit, way: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the way with the choices and the purchase after it that are worth 1.0; None if there are none."""
    item = _played(session, start, way)
    if item is None or item.page != "item":
        return None
    for choices in islice(_choices(session.goal), _TRIED):
        left = [value for value in choices if value not in item.options.values()]
        commands = (*(f"click[{value}]" for value in left), "click[buy now]")
        done = _played(session, item, commands)
        if done is not None and done.score is not None and done.score.reward == 1.0:
            return (*way, *commands)
    return None


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
    """Yield search queries, from a customer's words to the product's title."""
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
    """Return whether a click on a value can choose it: it must survive parsing and not be a button's name."""
    return value not in _BUTTONS and parse_action(f"click[{value}]") == ("click", value)


_BUTTONS = frozenset(
    ("search", "back to search", "< prev", "next >", "description", "features", "reviews", "attributes", "buy now")
)


def _played(session: Session, visit: Visit, commands: tuple[str, ...]) -> Visit | None:
    for command in commands:
        after = session.act(visit, command, session.page(visit).clickables)
        if after is None:
            return None
        visit = after
    return visit
