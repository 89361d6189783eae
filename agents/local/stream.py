"""A local model's conversation about many episodes, each answered as soon as its own reply is complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from act_gym.agent import Agent, AgentAction, AgentInput
from act_gym.errors import AgentError
from agents.local.scheduler import Decoder, Work

__all__ = ["LocalStream"]

_FAILURES = (RuntimeError, ValueError, MemoryError)  # CUDA's and the allocator's errors are RuntimeErrors


class LocalStream:
    """See `act_gym.agent.Stream`.

    Args:
        agent: Answers alone what could not be answered with the others.
        decoder: Runs the model; it has a slot for each episode.
        begin: Turns a view into work and a function that gives the choice when the work is done.
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
        """Ask about a view; what cannot be asked is answered with an error."""
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
        """Run the model until an episode is answered, or several at once."""
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
        """Forget what was asked."""
        self.decoder.drop()
        self._asked, self._failed = {}, []

    def _one_by_one(self) -> list[tuple[int, AgentAction | AgentError]]:
        """Answer every episode alone, so that what one of them, or all together, failed at ends only that one."""
        self.decoder.drop()
        asked, self._asked = self._asked, {}
        found: list[tuple[int, AgentAction | AgentError]] = []
        for number, (view, _) in asked.items():
            try:
                found.append((number, self._agent.act([view])[0]))
            except AgentError as error:
                found.append((number, error))
        return found
