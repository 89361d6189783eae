"""Mixture of an expert and another agent, with every state labelled by the expert: DAgger's rollout policy.

Source: Ross, Gordon, Bagnell, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online
Learning" (2011). With a random agent as the player, it gives demonstrations with detours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np

from act_gym.agent import Agent, AgentAction, AgentInput, Failure, Stream, StreamingAgent
from act_gym.errors import AgentError, UsageError
from act_gym.rollout import BatchStream
from agents.baselines import RandomAgent
from agents.placeholders import has_blank

__all__ = ["MistakenAgent", "MixtureAgent"]


_MISTAKES_SALT = 0x0B1457E5  # separates these draws from those of an agent with the same seed
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
        random = np.random.default_rng(
            [_MISTAKES_SALT, view.seed % 2**64, crc32(view.task.id.encode()), len(view.history)]
        )
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


_SALT = 0x0DA66E12  # separates these draws from those of an agent with the same seed


class MixtureAgent:
    """Plays the expert's action with probability `beta`, else the player's; labels each state with the expert's.

    A state that the expert cannot label, e.g. because the goal is out of reach, has no label; the player acts there. A
    draw depends on the episode's seed, the task and the turn.

    Args:
        expert: The agent that labels.
        player: The agent that plays the other turns.
        beta: Share of turns that the expert plays, 0–1.

    Raises:
        UsageError: `beta` is outside 0–1.
    """

    def __init__(self, expert: Agent, player: Agent, beta: float) -> None:
        if not 0 <= beta <= 1:
            raise UsageError(f"beta is the share of turns that the expert plays, 0 to 1; got {beta}.")
        self.expert, self.player, self.beta = expert, player, beta

    @property
    def name(self) -> str:
        """Both names and the share, or the name of the only one that plays."""
        if self.beta in (0.0, 1.0):
            return self.expert.name if self.beta else self.player.name
        return f"mixture:{self.beta:g}*{self.expert.name}+{1 - self.beta:g}*{self.player.name}"

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Return a labelled action for each input."""
        begun = [self.begin(view) for view in views]
        asked = [view for view, (_, is_expert) in zip(views, begun, strict=True) if not is_expert]
        played = iter(self.player.act(asked) if asked else ())
        return [
            _expert_choice(label) if is_expert else replace(next(played), label=label) for label, is_expert in begun
        ]

    def stream(self, size: int) -> Stream:
        """Open a stream for several episodes; see `StreamingAgent`."""
        return _MixtureStream(self, size)

    def begin(self, view: AgentInput) -> tuple[str, bool]:
        """Return a state's label (empty if the expert has none), and whether the expert plays it."""
        try:
            label = self.expert.act([view])[0].action
        except AgentError:
            return "", False
        entropy = [_SALT, view.seed % 2**64, crc32(view.task.id.encode()), len(view.history)]
        return label, bool(np.random.default_rng(entropy).random() < self.beta)


class _MixtureStream:
    """The player's stream; the expert answers some turns at once."""

    def __init__(self, agent: MixtureAgent, size: int) -> None:
        self._agent = agent
        player = agent.player
        self._stream = player.stream(size) if isinstance(player, StreamingAgent) else BatchStream(player)
        self._labels: dict[int, str] = {}
        self._ready: list[tuple[int, AgentAction | Failure]] = []

    def ask(self, number: int, view: AgentInput) -> None:
        label, is_expert = self._agent.begin(view)
        if is_expert:
            self._ready.append((number, _expert_choice(label)))
        else:
            self._labels[number] = label
            self._stream.ask(number, view)

    def answers(self) -> Iterable[tuple[int, AgentAction | Failure]]:
        ready, self._ready = self._ready, []
        if ready:
            return ready
        return [
            (number, replace(answer, label=self._labels.pop(number)) if isinstance(answer, AgentAction) else answer)
            for number, answer in self._stream.answers()
        ]

    def close(self) -> None:
        self._stream.close()
        self._labels, self._ready = {}, []


def _expert_choice(label: str) -> AgentAction:
    return AgentAction(action=label, response=label, label=label)
