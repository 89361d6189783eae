"""Random commands, to get into states that no expert would."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from act_gym.engines.alfworld.game import Game, Position
from act_gym.types import Task

__all__ = ["random_commands"]


def random_commands(game: Game, task: Task, steps: int, seed: int) -> tuple[list[str], Position]:
    """Draw admissible commands, one after the other, up to where the game is won.

    Args:
        game: The game.
        task: Its task; each has commands of its own.
        steps: How many commands.
        seed: What they are drawn from.

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
