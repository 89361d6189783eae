"""Attempts of an expert from random states: one record an attempt, and tables of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from zlib import crc32

import numpy as np

from act_gym.engines.alfworld.game import Game, Position
from act_gym.types import Task

__all__ = ["DEAD_END", "NOT_FOUND", "WON", "Attempt", "agreement", "length_table", "random_commands", "time_table"]


def random_commands(game: Game, task: Task, steps: int, seed: int) -> tuple[list[str], Position]:
    """Draw admissible commands, one after the other, up to where the game is won.

    Args:
        game: The game.
        task: Its task; each has commands of its own.
        steps: How many commands.
        seed: Seed of the draw.

    Returns:
        The commands and the state they lead to.
    """
    generator = np.random.default_rng([seed, crc32(task.id.encode())])
    here, drawn = game.start, list[str]()
    while len(drawn) < steps and not here.won:
        commands = game.commands(here)
        drawn.append(commands[int(generator.integers(len(commands)))])
        here = game.after(here, game.bindings(here)[drawn[-1]])
    return drawn, here


WON = "won"
NOT_FOUND = "not won"
DEAD_END = "dead end"
"""It is proved that no commands win from there."""


@dataclass(frozen=True)
class Attempt:
    """One expert, one state.

    Attributes:
        group: Row of the table, e.g. a split and where the state comes from.
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
        cells = [
            str(len(here)),
            *(str(sum(one.outcome == each for one in here)) for each in (WON, DEAD_END, NOT_FOUND)),
        ]
        if won:
            cells += [f"{fmean(one.turns for one in won):.2f}", f"{fmean(one.walkthrough for one in won):.2f}"]
            cells += [f"{fmean(test):.1%}" for test in _signs([one.turns - one.walkthrough for one in won])]
        yield f"| {group} | {' | '.join(cells + ['–'] * (9 - len(cells)))} |"


def time_table(attempts: Sequence[Attempt]) -> Iterator[str]:
    """Yield the lines of a Markdown table of the seconds an attempt took, in milliseconds."""
    yield "| | median, ms | p95 | p99 | most |"
    yield "|---|--:|--:|--:|--:|"
    for group, here in _groups(attempts):
        seconds = sorted(one.seconds for one in here)
        cells = [1000 * seconds[min(len(seconds) - 1, int(share * len(seconds)))] for share in (0.5, 0.95, 0.99, 1)]
        yield f"| {group} | {' | '.join(f'{cell:.1f}' for cell in cells)} |"


def agreement(attempts: Sequence[Attempt], one: str, other: str) -> str:
    """Compare in a sentence the lengths of two groups on the tasks that both won."""
    turns = [
        {each.task_id: each.turns for each in attempts if each.group == group and each.outcome == WON}
        for group in (one, other)
    ]
    differences = [length - turns[1][task_id] for task_id, length in turns[0].items() if task_id in turns[1]]
    shorter, equal, longer = map(sum, _signs(differences))
    return (
        f"Of {len(differences)} states that both won, “{one}” was shorter in {shorter}, equal in {equal} and longer in "
        f"{longer} than “{other}”."
    )


def _groups(attempts: Sequence[Attempt]) -> Iterator[tuple[str, list[Attempt]]]:
    for group in dict.fromkeys(one.group for one in attempts):
        yield group, [one for one in attempts if one.group == group]


def _signs(differences: Sequence[int]) -> tuple[list[bool], list[bool], list[bool]]:
    return [each < 0 for each in differences], [each == 0 for each in differences], [each > 0 for each in differences]
