"""Plays the same random walks in the original WebShop and in ours, and compares everything that they show.

In every state: the modes `text`, `text_rich` and `url`, the available actions in their order, whether the visit has
ended; our HTML, read by the original's own code; at a purchase the reward and its parts. Random purchases are judged
with the original's reward and with ours as well.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from act_gym.engines.webshop.goals import Goal, Goals
from act_gym.engines.webshop.pages import Page
from act_gym.engines.webshop.prices import Prices
from act_gym.engines.webshop.product import Catalogue, Product
from act_gym.engines.webshop.reward import score
from act_gym.engines.webshop.session import Session
from act_gym.engines.webshop.session_state import Visit
from act_gym.engines.webshop.shop_cache import open_for
from act_gym.engines.webshop.webpage import html_page
from act_gym.io.jsonl import RecordWriter
from act_gym.progress import track
from benchmarks.parity.webshop.original import load_original

__all__ = ["Setting", "compare", "random_action"]

_MISTAKES = (
    "buy a shirt",
    "search[]",
    "click[]",
    "Search[a shirt]",
    " search[a shirt]",
    "search[a shirt] please",
    "search[ ]",
    "click[search]",
    "search[b]\n",
    "sea\nrch[b]",
    "click[Buy Now",
    "search[a][b]",
    "search[a]]",
    "click[no such thing]",
    "click[back to search]",
)
_SEARCHES = (
    "zzzz",
    "search_results",
    "item_page lotion",
    "item_sub_page shirt",
    'shirt "large"',
    "done shirt",
    "  two  spaces ",
    "É ½ 漢字 😀",
)


@dataclass(frozen=True)
class Setting:
    """Settings of the random walks.

    Attributes:
        goals: How many goals to walk for.
        steps: Actions for each, at most.
        human: Whether the goals are those that people wrote.
        show_attributes: Whether products' pages lead to their attributes.
        purchases: Number of random purchases to score as well.
        seed: Seed of the goals, actions and purchases.
    """

    goals: int
    steps: int
    purchases: int
    human: bool
    show_attributes: bool
    seed: int


def compare(checkout: Path, data: Path, setting: Setting, out: Path | None) -> tuple[str, bool]:
    """Walk; returns the result as Markdown, and whether anything differs."""
    shop = open_for("1000", human=setting.human)
    random = np.random.default_rng(setting.seed)
    records = []
    with warnings.catch_warnings(), redirect_stdout(StringIO()), RecordWriter(out) if out else nullcontext() as writer:
        warnings.simplefilter("ignore")  # the original uses what its packages have renamed since
        original = load_original(
            checkout,
            data,
            shop.products,
            shop.search,
            shop.goals,
            human=setting.human,
            show_attributes=setting.show_attributes,
        )
        _parse_once(original)
        for index in track(random.integers(len(shop.goals), size=setting.goals).tolist(), "walking"):
            goal = shop.goals.goal(index, Prices())
            session = Session(shop.products, shop.search, Prices(), goal, show_attributes=setting.show_attributes)
            walk = _Walk(original, session, shop.products, random, show_attributes=setting.show_attributes)
            records.append({"goal": index, **walk.run(setting.steps)})
            if writer:
                writer.write(records[-1])
        judged = judge(
            sys.modules["web_agent_site.engine.goal"].get_reward,
            original.server,
            shop.products,
            shop.goals,
            purchases=setting.purchases,
            random=random,
        )
    differs = bool(judged.differences) or any(record["differences"] for record in records)
    return _summary(records, judged), differs


def random_action(page: Page, visit: Visit, goal: Goal, products: Catalogue, random: np.random.Generator) -> str:
    """Return an action to try: mostly one of the page's own, now and then a search, or something wrong."""
    chance = random.random()
    if chance < 0.08:
        return _any_of(_MISTAKES, random)
    if chance < 0.25 or visit.page == "search":
        product = products.product(int(random.integers(len(products))))
        words = product.title.split() or [""]
        start = int(random.integers(len(words)))
        searches = [" ".join(words[start : start + 4]), goal.instruction, goal.product.title]
        searches += [f"<q> {product.query}", f"<c> {product.category}", _any_of(_SEARCHES, random)]
        return f"search[{_any_of(searches, random)}]"
    names = [name for name in page.clickables if name != "buy now" or random.random() < 0.3]
    name = _any_of(names, random) if names else "nothing"
    return f"click[{name.upper() if random.random() < 0.1 else name}]"


class _Walk:
    """One walk on both sides."""

    def __init__(
        self,
        original: Any,
        session: Session,
        products: Catalogue,
        random: np.random.Generator,
        *,
        show_attributes: bool,
    ) -> None:
        self._original = original
        self._session = session
        self._products = products
        self._random = random
        self._show_attributes = show_attributes
        self._history: list[str] = []
        self._differences: list[str] = []
        self._pages: Counter[str] = Counter()

    def run(self, steps: int) -> dict[str, Any]:
        """Walk until something is bought; returns a record."""
        original, session = self._original, self._session
        original.server.user_sessions.clear()
        original.reset(session=session.goal.index)
        visit = session.start()
        reward = None
        for _ in range(steps):
            page = session.page(visit)
            self._pages[visit.page] += 1
            html = html_page(visit, session.goal.instruction, show_attributes=self._show_attributes)
            self._same(dict(self._theirs(html)), dict(self._ours(page, visit)))
            if visit.page == "done":
                break
            action = random_action(page, visit, session.goal, self._products, self._random)
            self._history.append(action)
            visit = session.act(visit, action, page.clickables) or visit
            _, theirs, done, _ = original.step(action)
            reward = visit.score.reward if visit.score else 0.0
            parts = original.server.user_sessions[original.session].get("verbose_info", {})
            self._same(
                {"done": done, "reward": theirs, "parts": parts},
                {
                    "done": visit.page == "done",
                    "reward": reward,
                    "parts": dict(visit.score.parts) if visit.score else {},
                },
            )
        return {"pages": dict(self._pages), "reward": reward, "differences": self._differences[:3]}

    def _theirs(self, our_html: str) -> Iterator[tuple[str, Any]]:
        browser = self._original.browser
        html = browser.page_source
        yield "url", browser.current_url
        yield from self._read(html, "")
        browser.page_source = our_html
        yield from self._read(our_html, " of our HTML")
        browser.page_source = html

    def _read(self, html: str, suffix: str) -> Iterator[tuple[str, Any]]:
        yield f"text{suffix}", self._original.convert_html_to_text(html, simple=True)
        yield f"text_rich{suffix}", self._original.convert_html_to_text(html, simple=False)
        yield f"actions{suffix}", self._original.get_available_actions()

    def _ours(self, page: Page, visit: Visit) -> Iterator[tuple[str, Any]]:
        yield "url", visit.url
        for suffix in ("", " of our HTML"):
            yield f"text{suffix}", page.text()
            yield f"text_rich{suffix}", page.rich_text(visit)
            yield f"actions{suffix}", {"has_search_bar": page.search_bar, "clickables": list(page.clickables)}

    def _same(self, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        for what, value in theirs.items():
            if ours[what] != value:
                self._differences.append(f"{what} after {self._history}\n  theirs: {value!r}\n  ours:   {ours[what]!r}")


def _parse_once(original: Any) -> None:
    """Keep what BeautifulSoup makes of the last pages; the original parses one again for everything it asks of it."""
    parse = lru_cache(maxsize=8)(original._parse_html)
    original._parse_html = lambda html=None: parse(original.browser.page_source if html is None else html)


def _any_of(items: Sequence[str], random: np.random.Generator) -> str:
    return items[int(random.integers(len(items)))]


def _summary(records: Sequence[Mapping[str, Any]], judged: Judged) -> str:
    pages: Counter[str] = Counter()
    for record in records:
        pages.update(record["pages"])
    differing = [record for record in records if record["differences"]]
    rewards = [record["reward"] for record in records if record["pages"].get("done")]
    lines = ["| random walks | |", "|---|--:|", f"| walks | {len(records):,} |"]
    lines += [f"| states | {pages.total():,} |"]
    lines += [f"| of these {name} | {count:,} |" for name, count in pages.most_common()]
    lines += [f"| purchases | {len(rewards):,} |", f"| different rewards among them | {len(set(rewards)):,} |"]
    lines += [f"| walks with a difference | {len(differing):,} |"]
    lines += [f"| random purchases scored as well | {judged.purchases:,} |"]
    lines += [f"| different rewards among these | {len(judged.rewards):,} |"]
    lines += [f"| judged otherwise | {len(judged.differences):,} |"]
    lines += judged.differences[:10]
    for record in differing[:10]:
        lines += ["", f"goal {record['goal']}:", *record["differences"]]
    return "\n".join(lines) + "\n"


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
