"""Agent that makes mistakes on purpose, so that demonstrations include recoveries."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from act_gym.agent import AgentAction, AgentInput
from act_gym.errors import UsageError
from agents.baselines import RandomAgent
from agents.placeholders import has_blank

__all__ = ["MistakenAgent"]

_SALT = 0x0B1457E5  # separates these draws from those of an agent with the same seed
_TRIES = 16


class MistakenAgent:
    """Plays a random admissible command, or, with probability `share`, a command that is not admissible.

    The mistakes are typical of language models: a missing word (`take mug from desk 2`), parts of two commands (`go to
    mug 1`), or an earlier command that no longer works. If the benchmark lists no commands, it plays like
    `RandomAgent`.

    Args:
        share: The share of turns with a mistake, 0–1.

    Raises:
        UsageError: `share` is outside 0–1.
    """

    cheap = True

    def __init__(self, share: float) -> None:
        if not 0 <= share <= 1:
            raise UsageError(f"share is the share of turns with a mistake, 0 to 1; got {share}.")
        self.share = share
        self._random = RandomAgent()

    @property
    def name(self) -> str:
        """The name, with the share unless it is 0."""
        return f"mistaken:{self.share:g}" if self.share else self._random.name

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Draw one command for each input, with a generator seeded by seed, task and turn."""
        return [self._one(view) for view in views]

    def _one(self, view: AgentInput) -> AgentAction:
        random = np.random.default_rng([_SALT, view.seed % 2**64, crc32(view.task.id.encode()), len(view.history)])
        if random.random() < self.share and (mistake := _mistake(view, random)):
            return AgentAction(action=mistake, response=mistake)
        return self._random.act([view])[0]


def _mistake(view: AgentInput, random: np.random.Generator) -> str:
    """Return a command that is not admissible; empty if none is found."""
    listed = [command for command in view.admissible_commands if not has_blank(command)]
    if not listed:
        return ""
    admissible = set(listed)
    played = list(dict.fromkeys(turn.action for turn in view.history if turn.action))
    for _ in range(_TRIES):
        kind = random.integers(3)
        words = listed[random.integers(len(listed))].split()
        if kind == 0 and played:
            words = played[random.integers(len(played))].split()
        elif kind == 1:
            numbers = [place for place, word in enumerate(words) if word.isdigit()]
            del words[numbers[0] if len(numbers) else random.integers(len(words))]
        else:
            other = listed[random.integers(len(listed))].split()
            words = words[: 1 + random.integers(len(words))] + other[1 + random.integers(len(other)) :]
        command = " ".join(words)
        if command and command not in admissible:
            return command
    return ""
