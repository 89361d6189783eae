"""Baselines without a model: random and expert, the floor and the ceiling of every table."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from act_gym.agent import AgentAction, AgentInput
from act_gym.errors import AgentError, EngineError, UsageError
from agents.placeholders import fill, has_blank

__all__ = ["ExpertAgent", "RandomAgent"]

_IDLE = {"ScienceWorld": "look around"}
_WORDS = 4


class RandomAgent:
    """Draws an admissible command uniformly; `look around` if none is listed.

    A placeholder in a command, e.g. a search query, is filled with up to four random words of the goal.
    """

    name = "random"
    cheap = True

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Draw one command for each input, with a generator seeded by seed, task and turn."""
        return [_say(self._draw(view)) for view in views]

    def _draw(self, view: AgentInput) -> str:
        commands = view.admissible_commands
        if not commands:
            return _idle(view)
        entropy = [view.seed % 2**64, crc32(view.task.id.encode()), len(view.history)]
        random = np.random.default_rng(entropy)
        command = commands[int(random.integers(len(commands)))]
        if not has_blank(command):
            return command
        words = view.goal.split()
        drawn = sorted(random.permutation(len(words))[:_WORDS].tolist())
        return fill(command, " ".join(words[index] for index in drawn))


class ExpertAgent:
    """Follows the benchmark's own solution, and looks around after its end.

    After any other action, it follows a new plan from the current state if the engine can plan, so it gives an expert
    action for every state (`Planning`). With other engines it plays the solution turn by turn, whatever the result.
    Privileged: its score is the ceiling of the training data, not of an agent.
    """

    name = "expert"
    cheap = True

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Return the next command for each input.

        Raises:
            AgentError: Neither the simulator nor the data has a solution.
        """
        return [_say(self._next(view)) for view in views]

    def _next(self, view: AgentInput) -> str:
        try:
            commands = self._rest(view)
        except EngineError as cause:
            raise AgentError(f"There is no expert for {view.task.id}: {cause}") from cause
        return commands[0] if commands else _idle(view)

    @staticmethod
    def _rest(view: AgentInput) -> tuple[str, ...]:
        done = tuple(turn.action for turn in view.history)
        commands = view.expert_commands()
        rest = commands[len(done) :]
        if rest and commands[: len(done)] == done:
            return rest
        try:
            return view.plan()
        except UsageError:
            return rest


def _idle(view: AgentInput) -> str:
    return _IDLE.get(view.task.benchmark, "look")


def _say(action: str) -> AgentAction:
    return AgentAction(action=action, response=action)
