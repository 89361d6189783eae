"""What one expert did from one state, and tables of many such attempts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

__all__ = ["Attempt", "length_table", "time_table"]

WON = "won"
DEAD_END = "dead end"
"""It is proved that no commands win from there."""
NOT_FOUND = "not won"


@dataclass(frozen=True)
class Attempt:
    """One expert, one state.

    Attributes:
        group: What it is counted with, e.g. a split and where the state comes from.
        task_id: The task.
        outcome: `won`, `dead end` or `not won`.
        turns: Commands from the state on.
        walkthrough: Commands of the task's walkthrough, from its start.
        seconds: Processor time of deciding, all turns together.
    """

    group: str
    task_id: str
    outcome: str
    turns: int
    walkthrough: int
    seconds: float


def length_table(attempts: Sequence[Attempt]) -> Iterator[str]:
    """Yield the lines of a Markdown table: who won, and how the lengths compare with the walkthroughs'."""
    yield "| | states | won | dead ends | not won | commands, mean | walkthrough, mean | shorter | equal | longer |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for group, here in _groups(attempts):
        won = [one for one in here if one.outcome == WON]
        counts = [sum(one.outcome == outcome for one in here) for outcome in (WON, DEAD_END, NOT_FOUND)]
        means = [fmean(one.turns for one in won), fmean(one.walkthrough for one in won)] if won else []
        longer = [one.turns - one.walkthrough for one in won]
        shares = [sum(test) / len(won) for test in _signs(longer)] if won else []
        cells = [str(len(here)), *map(str, counts), *(f"{mean:.2f}" for mean in means), *(f"{s:.1%}" for s in shares)]
        yield f"| {group} | {' | '.join(cells)} |"


def time_table(attempts: Sequence[Attempt]) -> Iterator[str]:
    """Yield the lines of a Markdown table of the seconds an attempt took, in milliseconds."""
    yield "| | median, ms | p95 | p99 | most |"
    yield "|---|--:|--:|--:|--:|"
    for group, here in _groups(attempts):
        seconds = sorted(one.seconds for one in here)
        cells = [1000 * seconds[min(len(seconds) - 1, int(share * len(seconds)))] for share in (0.5, 0.95, 0.99, 1)]
        yield f"| {group} | {' | '.join(f'{cell:.1f}' for cell in cells)} |"


def _groups(attempts: Sequence[Attempt]) -> Iterator[tuple[str, list[Attempt]]]:
    for group in dict.fromkeys(one.group for one in attempts):
        yield group, [one for one in attempts if one.group == group]


def _signs(differences: Sequence[int]) -> tuple[list[bool], list[bool], list[bool]]:
    return [each < 0 for each in differences], [each == 0 for each in differences], [each > 0 for each in differences]
