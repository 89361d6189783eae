"""Agents without a model: the floor and the ceiling of every table."""

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
    """Draws every admissible command with the same chance; looks around where none is listed.

    A blank in a command, such as what to search for, is filled with up to four words of the goal, drawn too.
    """

    name = "random"
    cheap = True

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Draw one command a view, from a generator of the seed, the task and the turn."""
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
    """Follows the solution that the benchmark brings along, and looks around once it runs out.

    Where something else was done before, it follows a plan from there if the engine makes any, and so
    it can say of every state what to do next (`Planning`); of other engines' solutions it gives each
    turn's command and never looks at what came of it. Privileged: its result says what the data can
    teach, not what an agent can reach.
    """

    name = "expert"
    cheap = True

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Return the next command for each view.

        Raises:
            AgentError: The simulator or the data offers no solution.
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
