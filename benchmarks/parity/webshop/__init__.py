"""Parity of our WebShop with the original: with published trajectories, and with its code in one process.

    python -m benchmarks.parity webshop --trajectories webshop.jsonl
    python -m benchmarks.parity webshop --original WebShop/ --data items/ --goals 200

The first plays published trajectories again, action by action (`published.py`). The second runs the original's text
environment, Flask templates and BeautifulSoup and all, plays the same random walks on both and judges the
same purchases (`walks.py`). Both need the catalogue 1000.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from act_gym.config import parse
from act_gym.errors import UsageError

__all__ = ["WebShopParityConfig", "main"]


@dataclass(frozen=True)
class WebShopParityConfig:
    """Compare our WebShop with the original; the exit status is 1 where anything differs."""

    trajectories: Path | None = None
    """AgentGym's trajectories of WebShop, a JSON object a line."""
    original: Path | None = None
    """A checkout of github.com/princeton-nlp/WebShop. It needs flask, beautifulsoup4 and thefuzz==0.19.0; search,
    prices and the nouns of titles are ours, so that nothing else has to be installed."""
    data: Path | None = None
    """With --original: the folder of items_shuffle_1000.json, items_ins_v2_1000.json and items_human_ins.json."""
    goals: int = 100
    """With --original: how many goals to walk for."""
    steps: int = 40
    """With --original: how many actions for each goal, at most."""
    purchases: int = 2000
    """With --original: number of random purchases to score as well."""
    human_goals: bool = False
    """With --original: whether the goals are those that people wrote."""
    show_attrs: bool = False
    """With --original: whether products' pages lead to their attributes."""
    seed: int = 0
    """With --original: what goals and actions are drawn from."""
    out: Path | None = None
    """A file of records, one for each trajectory or walk."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    from benchmarks.parity.webshop import published, walks

    program = "python -m benchmarks.parity webshop"
    arguments = parse(WebShopParityConfig, sys.argv[1:] if argv is None else argv, program=program)
    if (arguments.trajectories is None) == (arguments.original is None):
        raise UsageError("Give --trajectories FILE or --original FOLDER, one of them.")
    if arguments.trajectories is not None:
        found, differs = published.compare(arguments.trajectories, arguments.out)
    else:
        assert arguments.original is not None
        if arguments.data is None:
            raise UsageError("--original needs --data FOLDER, with the files of the catalogue.")
        if arguments.goals < 1 or arguments.steps < 1 or arguments.purchases < 0:
            raise UsageError("--goals and --steps are at least 1, and --purchases is 0 or more.")
        setting = walks.Setting(
            goals=arguments.goals,
            steps=arguments.steps,
            purchases=arguments.purchases,
            human=arguments.human_goals,
            show_attributes=arguments.show_attrs,
            seed=arguments.seed,
        )
        found, differs = walks.compare(arguments.original, arguments.data, setting, arguments.out)
    sys.stdout.write(found)
    return int(differs)
