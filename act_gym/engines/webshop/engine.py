"""WebShop engine: states, scores and admissible commands.

The rules are in `session.py`, the pages in `pages.py`, the reward in `reward.py`. Products and search come from an
index folder that all environments and processes share.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from act_gym.engines.webshop.expert import go_on, solve
from act_gym.engines.webshop.pages import Page
from act_gym.engines.webshop.prices import Prices
from act_gym.engines.webshop.product import SearchEngine
from act_gym.engines.webshop.session import Session, parse_action
from act_gym.engines.webshop.session_state import Visit
from act_gym.engines.webshop.shop_cache import OpenShop, open_for
from act_gym.engines.webshop.shop_names import Named, name_of
from act_gym.engines.webshop.webpage import html_page
from act_gym.errors import EngineError, UnknownNameError
from act_gym.types import StepResult, Task

__all__ = ["OBSERVATION_MODES", "SEARCH_TEMPLATE", "WebShopEngine"]

OBSERVATION_MODES = ("text", "text_rich", "html", "url")
"""How pages are shown: texts with `[SEP]` between them, lines with marked buttons, HTML, or the address alone."""

SEARCH_TEMPLATE = "search[<query>]"
"""Admissible command on a page with a search bar; the agent fills in `<query>`."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """Immutable state of an episode."""

    session: Session
    visit: Visit


class WebShopEngine:
    """One customer of a shop.

    Args:
        catalogue: `1000` or `full` for WebShop's own products, which are downloaded, `generated` for products made
            from a seed, or a path of an index folder or of a catalogue in WebShop's format.
        human_goals: Whether the goals are those that people wrote, and not those put together from attributes.
        observation_mode: One of `OBSERVATION_MODES`.
        show_attrs: Whether a product's page leads to its attributes.
        search_engine: Finds products instead of the shop's own BM25: an object with `search(query, limit)` that
            returns positions in the catalogue; or `module:name` of something, or something itself, that makes one when
            it is called with the catalogue.
        prices: Prices that are not to be drawn, or a JSON file with them; see `Prices`.

    Raises:
        UnknownNameError: There is no such observation mode.
        UsageError: The prices or the search engine cannot be used.
    """

    def __init__(
        self,
        *,
        catalogue: Named = "1000",
        human_goals: bool = False,
        observation_mode: str = "text",
        show_attrs: bool = False,
        search_engine: str | SearchEngine | Any = None,
        prices: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    ) -> None:
        if observation_mode not in OBSERVATION_MODES:
            raise UnknownNameError("observation mode of WebShop", observation_mode, OBSERVATION_MODES)
        self._catalogue = catalogue
        self._human = human_goals
        self._mode = observation_mode
        self._show_attributes = show_attrs
        self._search_engine = search_engine
        self._prices = Prices(prices)
        self._shop: OpenShop | None = None
        self._now: _Moment | None = None
        self._page: Page | None = None

    @property
    def goal(self) -> str:
        """The instruction; empty before the first `reset`."""
        return self._now.session.goal.instruction.strip() if self._now else ""

    @property
    def versions(self) -> Mapping[str, str]:
        """The catalogue and its checksum, which nouns it holds, and what finds products."""
        settings = {
            "goals": "human" if self._human else "synthetic",
            "prices": f"given, sha256 {self._prices.digest}" if self._prices.given else "drawn",
            "observation_mode": self._mode,
        }
        return {**(self._shop.versions if self._shop else {"catalogue": str(self._catalogue)}), **settings}

    @property
    def session(self) -> Session:
        """The running customer: the goal, and what pages show.

        Raises:
            EngineError: No task is loaded.
        """
        return self._running().session

    @property
    def visit(self) -> Visit:
        """Where the customer is.

        Raises:
            EngineError: No task is loaded.
        """
        return self._running().visit

    def reset(self, task: Task) -> StepResult:
        """Show the search page of a goal.

        Raises:
            MissingDataError: The catalogue is not on this machine.
            CorruptDataError: It is not what it should be.
            EngineError: It has no such goal.
        """
        self._now = self._page = None
        shop = self._opened(task.payload.get("catalogue", self._catalogue))
        index = int(task.payload["goal"])
        if not 0 <= index < len(shop.goals):
            raise EngineError(f"{task.id}: this catalogue has {len(shop.goals):,} goals; there is no goal {index}.")
        goal = shop.goals.goal(index, self._prices)
        session = Session(shop.products, shop.search, self._prices, goal, show_attributes=self._show_attributes)
        return self._go(_Moment(session, session.start()))

    def step(self, command: str) -> StepResult:
        """Execute `search[…]` or `click[…]`; anything else, or an action that the page lacks, changes nothing."""
        moment = self._running()
        visit = moment.session.act(moment.visit, command, self._shown().clickables)
        if visit is None:
            return self._state(moment, action_valid=False)
        return self._go(_Moment(moment.session, visit))

    def admissible_commands(self) -> tuple[str, ...]:
        """Return `SEARCH_TEMPLATE` where there is a search bar, and every click that can be carried out."""
        page = self._shown()
        clicks = [f"click[{name}]" for name in page.clickables if name != "search" and _can_be_said(name)]
        return tuple(sorted([*clicks, SEARCH_TEMPLATE] if page.search_bar else clicks))

    def details(self) -> Mapping[str, Any]:
        """Return the further keys of `info`: WebShop's own `available_actions`, and the parts of the reward.

        `reward_info` is empty before a purchase.
        """
        page = self._shown()
        score = self._running().visit.score
        return {
            "available_actions": {"has_search_bar": page.search_bar, "clickables": list(page.clickables)},
            "reward_info": dict(score.parts) if score else {},
        }

    def expert_commands(self) -> tuple[str, ...]:
        """Return commands that buy the target product. Privileged: the goal was made from that product.

        Raises:
            EngineError: No task is loaded, or its goal cannot be reached with that product.
        """
        return solve(self._running().session)

    def plan(self) -> tuple[str, ...]:
        """Return commands that buy the target product from the current page; empty if it is bought. Privileged.

        Raises:
            EngineError: No task is loaded, another product was bought, or the goal cannot be reached.
        """
        moment = self._running()
        return go_on(moment.session, moment.visit)

    def fingerprint(self) -> Any:
        """Return the page, the options chosen on it, and the pages before it."""
        return self._running().visit

    def snapshot(self) -> Any:
        """Return the current state; it costs nothing."""
        return self._running()

    def restore(self, snapshot: Any) -> StepResult:
        """Go back to a state of this engine or another one."""
        self._now, self._page = snapshot, None
        return self._state(snapshot, observation="")

    def close(self) -> None:
        """Let go of the shop, which stays open for others."""
        self._now = self._page = self._shop = None

    def _opened(self, catalogue: Named) -> OpenShop:
        if self._shop is None or self._shop.catalogue != name_of(catalogue):
            shop = open_for(catalogue, human=self._human, search_engine=self._search_engine)
            self._prices.check(shop.products, len(shop.goals))
            self._shop = shop
        return self._shop

    def _running(self) -> _Moment:
        if self._now is None:
            raise EngineError("No task is loaded. Reset the environment first.")
        return self._now

    def _shown(self) -> Page:
        if self._page is None:
            moment = self._running()
            self._page = moment.session.page(moment.visit)
        return self._page

    def _go(self, moment: _Moment) -> StepResult:
        self._now, self._page = moment, None
        return self._state(moment)

    def _state(self, moment: _Moment, *, action_valid: bool = True, observation: str | None = None) -> StepResult:
        reward = moment.visit.score.reward if moment.visit.score else 0.0
        return StepResult(
            observation=self._observation(moment) if observation is None else observation,
            score=reward,
            raw_score=reward,
            success=reward == 1.0,
            terminated=moment.visit.score is not None,
            action_valid=action_valid,
        )

    def _observation(self, moment: _Moment) -> str:
        if self._mode == "text":
            return self._shown().text()
        if self._mode == "text_rich":
            return self._shown().rich_text(moment.visit)
        if self._mode == "url":
            return moment.visit.url
        return html_page(moment.visit, moment.session.goal.instruction, show_attributes=self._show_attributes)


def _can_be_said(name: str) -> bool:
    """Return whether an option's name survives WebShop's action pattern, which stops at line ends and brackets."""
    return name.isalnum() or parse_action(f"click[{name}]") == ("click", name)
