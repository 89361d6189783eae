"""Commands for parity tests: mostly admissible ones, sometimes a mistake that an agent might make."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["random_command"]

_WRONG = 0.1
"""The share of commands that are not taken from the admissible ones as they are."""

_MISTAKES: tuple[Callable[[str], str], ...] = (
    lambda command: f"{command} 99",
    lambda command: command.rpartition(" ")[0],
    lambda command: command.upper(),
    lambda command: command.replace(" ", "  "),
    lambda command: command.replace(" ", "\t"),
    lambda command: f" \t{command}\n",
    lambda command: f"{command}\u00a0",
    lambda command: f"{command}.",
    lambda command: f"{command}\n{command}",
    lambda command: command.replace("e", "\u0435"),  # the Cyrillic one
    lambda command: f"{command}\ud800",
    lambda command: f"{command}\0",
)

_NONSENSE = ("", " ", "dance", "take {o} from {r}", "go to", "examine nothing 1")


def random_command(
    admissible: Sequence[str], earlier: Sequence[str], random: np.random.Generator, *, wrong: float = _WRONG
) -> str:
    """Return a command to try.

    Args:
        admissible: Commands of the current state, drawn uniformly.
        earlier: Commands of earlier states.
        random: Decides.
        wrong: How often to return a distorted command or an earlier one, 0 to 1.
    """
    if admissible and random.random() >= wrong:
        return _any_of(admissible, random)
    mistake = int(random.integers(len(_MISTAKES) + 3))
    if admissible and mistake < len(_MISTAKES):
        return _MISTAKES[mistake](_any_of(admissible, random))
    return _any_of(earlier or _NONSENSE, random) if mistake % 2 else _any_of(_NONSENSE, random)


def _any_of(commands: Sequence[str], random: np.random.Generator) -> str:
    return commands[int(random.integers(len(commands)))]
