"""Stream of a local model agent: many episodes, each answered as soon as its own reply is complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from act_gym.agent import Agent, AgentAction, AgentInput
from act_gym.errors import AgentError
from agents.local.scheduler import Decoder, Work

__all__ = ["LocalStream"]

_FAILURES = (RuntimeError, ValueError, MemoryError)  # errors of CUDA and of the allocator are RuntimeErrors


class LocalStream:
    """See `act_gym.agent.Stream`.

    Args:
        agent: Answers an episode alone after a failure of the batch.
        decoder: Runs the model; it has a slot for each episode.
        begin: Maps an input to work and a function that returns the action when the work is done.
    """

    def __init__(
        self, agent: Agent, decoder: Decoder, begin: Callable[[AgentInput], tuple[Work, Callable[[], AgentAction]]]
    ) -> None:
        self.decoder = decoder
        self._agent = agent
        self._begin = begin
        self._asked: dict[int, tuple[AgentInput, Callable[[], AgentAction]]] = {}
        self._failed: list[tuple[int, AgentError]] = []

    def ask(self, number: int, view: AgentInput) -> None:
        """Submit an input; if that fails, its answer is an error."""
        try:
            work, finish = self._begin(view)
        except AgentError as error:
            self._failed.append((number, error))
        except _FAILURES as cause:
            self._failed.append(
                (number, AgentError(f"{self._agent.name} cannot be asked about {view.task.id}: {cause}"))
            )
        else:
            self._asked[number] = view, finish
            self.decoder.put(number, work)

    def answers(self) -> Sequence[tuple[int, AgentAction | AgentError]]:
        """Run the model until at least one episode is answered."""
        failed, self._failed = self._failed, []
        if failed:
            return failed
        done: list[int] = []
        try:
            while self._asked and not done:
                done = self.decoder.advance()
        except _FAILURES:
            return self._one_by_one()
        return [(number, self._asked.pop(number)[1]()) for number in done]

    def close(self) -> None:
        """Drop pending requests."""
        self.decoder.drop()
        self._asked, self._failed = {}, []

    def _one_by_one(self) -> list[tuple[int, AgentAction | AgentError]]:
        """Answer every episode alone, so that a failure ends only its own episode."""
        self.decoder.drop()
        asked, self._asked = self._asked, {}
        found: list[tuple[int, AgentAction | AgentError]] = []
        for number, (view, _) in asked.items():
            try:
                found.append((number, self._agent.act([view])[0]))
            except AgentError as error:
                found.append((number, error))
        return found
