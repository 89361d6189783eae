"""Reader of AgentGym's published WebShop trajectories (`AgentTraj-L`, Xi et al. 2024).

A line is a conversation: instructions and an acknowledgement, then observations and replies in turn, each reply a
thought and an action. They were played on the original server with 1,000 products and its synthetic goals;
`webshop_455` is its session 455. They end with a purchase, without its reward.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from act_gym.engines.webshop.prices import Prices
from act_gym.errors import CorruptDataError
from act_gym.io.jsonl import read_records

__all__ = ["Trajectory", "read_trajectories"]

_REPLY = re.compile(r"\s*Thought:(?P<thought>.*?)Action:(?P<action>.*)", re.DOTALL)
_ITEM = re.compile(r"webshop_(\d{1,7})")
_LIMIT = re.compile(r", and price lower than (\d+\.\d\d) dollars")


@dataclass(frozen=True)
class Trajectory:
    """One line of the file.

    Attributes:
        item: Its name in the source.
        goal: The goal's index.
        observations: The source's observations, from the search page, without the last page.
        replies: The source agent's reply to each.
        thoughts: The reasoning in each reply.
        actions: The action in each reply.
    """

    item: str
    goal: int
    observations: tuple[str, ...]
    replies: tuple[str, ...]
    thoughts: tuple[str, ...]
    actions: tuple[str, ...]

    @property
    def price_upper(self) -> float:
        """The limit that the source's server had drawn, in dollars, as the instruction names it."""
        found = _LIMIT.search(self.observations[0])
        return float(found[1]) if found else Prices.NO_LIMIT


def read_trajectories(file: Path) -> Iterator[Trajectory]:
    """Yield the trajectories of a file.

    Raises:
        RunError: The file cannot be read.
        CorruptDataError: A line is not a trajectory of WebShop.
    """
    for line, record in enumerate(read_records(file), start=1):
        try:
            item = record["item_id"]
            number = _ITEM.fullmatch(item)
            if number is None:
                raise ValueError(f"{item!r} is no name of a trajectory of WebShop")
            values = [str(turn["value"]) for turn in record["conversations"][2:]]
            yield _trajectory(item, int(number[1]), values)
        except (KeyError, IndexError, TypeError, ValueError) as cause:
            raise CorruptDataError(
                f"{file}, line {line}, is not a trajectory of WebShop: {cause!r}. Get AgentTraj-L's file again."
            ) from cause


def _trajectory(item: str, goal: int, values: Sequence[str]) -> Trajectory:
    observations, replies = tuple(values[0::2]), tuple(values[1::2])
    parts = [found for found in map(_REPLY.fullmatch, replies) if found is not None]
    if not replies or len(parts) != len(replies) or len(observations) != len(replies):
        raise ValueError("observations and replies of a thought and an action do not take turns")
    return Trajectory(
        item=item,
        goal=goal,
        observations=observations,
        replies=replies,
        thoughts=tuple(part["thought"].strip() for part in parts),
        actions=tuple(part["action"].strip() for part in parts),
    )
