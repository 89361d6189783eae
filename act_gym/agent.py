"""Agent protocol: maps the inputs of running episodes to actions.

An agent gets a batch with one `AgentInput` for each running episode, so that a model can answer many at once. It keeps
no state between turns: an input contains the whole history. `function_agent` wraps a function that answers one input at
a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from operator import itemgetter
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from time import monotonic
from typing import Any, Generic, Protocol, SupportsFloat, TypeVar, runtime_checkable

from act_gym.errors import ActGymError, AgentError, CorruptDataError, EngineError, UsageError, one_line
from act_gym.types import Task, Turn

__all__ = [
    "Agent",
    "AgentAction",
    "AgentInput",
    "Failure",
    "Stream",
    "StreamingAgent",
    "ThreadStream",
    "answer_all",
    "function_agent",
]

R = TypeVar("R")


def _no_expert() -> tuple[str, ...]:
    return ()


def _no_plan() -> tuple[str, ...]:
    raise UsageError("This input offers no plan.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInput:
    """Input of an agent for one decision.

    Attributes:
        task: The task being played.
        goal: The instruction, as text.
        observation: The current observation.
        admissible_commands: The commands that the simulator accepts now, computed at the first access; empty if the
            environment has them off.
        history: The earlier turns, oldest first.
        seed: The episode's seed; with `task.id` and `len(history)` it makes a decision reproducible.
        expert_commands: Returns commands that solve the task from its start. Privileged: an agent that calls it must
            say so in its name and is not comparable.
        plan: Returns commands that solve the task from the current state. Privileged as well. It raises `UsageError` if
            the engine cannot plan from any state, and `EngineError` if no plan was found.
        env_options: Options of the environment, e.g. `{"legacy_commands": True}`.
        observed: Texts about the state that take no step, by name: ScienceWorld's `look` and `inventory`.
    """

    task: Task
    goal: str
    observation: str
    admissible_commands: Sequence[str] = ()
    history: tuple[Turn, ...] = ()
    seed: int = 0
    expert_commands: Callable[[], tuple[str, ...]] = field(default=_no_expert, compare=False)
    plan: Callable[[], tuple[str, ...]] = field(default=_no_plan, compare=False)
    env_options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    observed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAction:
    """Decision of an agent. See `Turn` for the fields."""

    action: str
    response: str = ""
    thought: str = ""
    label: str = ""
    prompt_hash: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def turn(
        self,
        observation: str,
        reward: SupportsFloat,
        info: Mapping[str, Any],
        *,
        admissible_commands: Sequence[str] = (),
        seconds: float = 0.0,
        observed: Mapping[str, str] | None = None,
    ) -> Turn:
        """Return the turn in which this was played.

        Args:
            observation: The observation before the action.
            reward: Of the step.
            info: Of the step.
            admissible_commands: Those before the action, as far as they are recorded.
            seconds: Time the decision took.
            observed: Further texts before the action; see `Turn`.
        """
        return Turn(
            observation=observation,
            admissible_commands=tuple(admissible_commands),
            response=self.response,
            thought=self.thought,
            action=self.action,
            label=self.label,
            prompt_hash=self.prompt_hash,
            action_valid=info["action_valid"],
            reward=float(reward),
            score=info["score"],
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost=self.cost,
            seconds=seconds,
            observed=dict(observed or {}),
        )


class Agent(Protocol):
    """Chooses the next action of every episode in a batch.

    Two more attributes are optional. `batch_size` (int) is the best number of episodes for one call. `cheap` (bool)
    says that the agent is cheap to construct and to call, as one without a model or a connection: each process
    constructs its own. Any other agent is constructed once.
    """

    @property
    def name(self) -> str:
        """Name with all settings that change the behaviour; written into every result."""
        ...

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Return one action for each input, in order.

        A reply without an action gives an empty action, not an exception.

        Raises:
            AgentError: The model failed. The caller then retries each input alone, so that one bad input ends one
                episode.
        """
        ...


Failure = AgentError | EngineError | CorruptDataError
"""Errors that end one episode and not the run: of an agent, or of a simulator while it lists its commands."""


class Stream(Protocol):
    """Streaming interface of an agent: several episodes, each answered as soon as possible."""

    def ask(self, number: int, view: AgentInput) -> None:
        """Submit the input of an episode; its number can be used again after the answer."""
        ...

    def answers(self) -> Iterable[tuple[int, AgentAction | Failure]]:
        """Wait for at least one answer, and return all that are ready.

        A failure ends its own episode only.
        """
        ...

    def close(self) -> None:
        """Drop pending requests and free resources."""
        ...


@runtime_checkable
class StreamingAgent(Protocol):
    """An `Agent` that can answer episodes one by one.

    Its answers equal those of `act`. The gain: no episode waits for another one's long reply. An answered episode steps
    its environment and is submitted again while the others are still being answered.
    """

    def stream(self, size: int) -> Stream:
        """Open a stream for at most `size` concurrent episodes, numbered from 0."""
        ...


@dataclass(frozen=True)
class _Each:
    name: str
    choose: Callable[[AgentInput], str]
    cheap: bool = False

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        return [_said(self.choose(view)) for view in views]


@dataclass(frozen=True)
class _Concurrent:
    """Calls a function for several inputs at once, each in a thread."""

    name: str
    choose: Callable[[AgentInput], str]
    batch_size: int

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        return answer_all(self.stream(len(views)), views)

    def stream(self, size: int) -> Stream:
        def prepare(view: AgentInput) -> AgentInput:
            commands = tuple(view.admissible_commands)
            return replace(view, admissible_commands=commands, expert_commands=_no_expert, plan=_no_plan)

        return ThreadStream(prepare, lambda view: _said(self.choose(view)), min(size, self.batch_size))


class ThreadStream(Generic[R]):
    """Answers several episodes at once, each in a thread of its own; see `Stream`.

    Args:
        prepare: Makes a request from an input, in the caller's thread: listing commands may call the simulator.
        answer: Answers a request, in the other thread.
        size: The largest number of concurrent calls of `answer`.
        deadline: Seconds after which an episode gets `late()` and its answer is ignored.
        late: Makes the error for that.
    """

    def __init__(
        self,
        prepare: Callable[[AgentInput], R],
        answer: Callable[[R], AgentAction],
        size: int,
        *,
        deadline: float = inf,
        late: Callable[[], Exception] = TimeoutError,
    ) -> None:
        self._prepare, self._answer = prepare, answer
        self._deadline, self._late = deadline, late
        self._room = Semaphore(max(size, 1))
        self._asked: dict[int, tuple[object, float]] = {}  # by number: the question, and when it is late
        self._answered: SimpleQueue[tuple[int, object, AgentAction | Exception]] = SimpleQueue()
        self._closed = False

    def ask(self, number: int, view: AgentInput) -> None:
        """Submit the input of an episode."""
        question = object()
        self._asked[number] = question, monotonic() + self._deadline
        try:
            request = self._prepare(view)
        except (AgentError, EngineError, CorruptDataError) as error:
            self._answered.put((number, question, error))
        else:
            Thread(target=self._work, args=(number, question, request), name="agent", daemon=True).start()

    def answers(self) -> Sequence[tuple[int, AgentAction | Failure]]:
        """Wait for an answer and return all that have arrived.

        An error that is no `Failure` is raised after all earlier answers have been returned.
        """
        found: dict[int, tuple[object, AgentAction | Exception]] = {}
        while not found:
            now, (question, end) = monotonic(), min(self._asked.values(), key=itemgetter(1))
            waited: float | None = None if end == inf else max(end - now, 0)
            with suppress(Empty):
                while True:
                    number, question, answer = self._answered.get(timeout=waited)
                    waited = 0
                    if self._asked.get(number, (None,))[0] is question:
                        found[number] = question, answer
            late = [number for number, (_, end) in self._asked.items() if end <= monotonic() and number not in found]
            found |= {number: (object(), self._late()) for number in late}
        good = {number: answer for number, (_, answer) in found.items() if isinstance(answer, AgentAction | Failure)}
        for number, (question, answer) in found.items():
            if number not in good and isinstance(answer, Exception):
                if not good:
                    raise answer
                self._asked[number] = question, inf
                self._answered.put((number, question, answer))
        for number in good:
            del self._asked[number]
        return list(good.items())

    def close(self) -> None:
        """Start nothing more; answers of running calls are ignored."""
        self._closed = True

    def _work(self, number: int, question: object, request: R) -> None:
        with self._room:
            if self._closed:
                return
            try:
                found: AgentAction | Exception = self._answer(request)
            except ActGymError as error:
                found = error
            except Exception as cause:
                found = AgentError(one_line(cause))
        self._answered.put((number, question, found))


def answer_all(stream: Stream, views: Sequence[AgentInput]) -> list[AgentAction]:
    """Return the answers to some inputs in their order, and close the stream.

    Raises:
        AgentError, EngineError, CorruptDataError: The first failure, when all others are answered.
    """
    try:
        for number, view in enumerate(views):
            stream.ask(number, view)
        answers: dict[int, AgentAction | Failure] = {}
        while len(answers) < len(views):
            answers |= dict(stream.answers())
    finally:
        stream.close()
    choices = []
    for _, answer in sorted(answers.items()):
        if not isinstance(answer, AgentAction):
            raise answer
        choices.append(answer)
    return choices


def _said(action: str) -> AgentAction:
    return AgentAction(action=action, response=action)


def function_agent(
    name: str, choose: Callable[[AgentInput], str], *, concurrency: int = 1, cheap: bool = False
) -> Agent:
    """Make an agent from a function that maps one input to one action.

    Args:
        name: Its name.
        choose: The function.
        concurrency: Concurrent calls, each in a thread: for a function that waits, e.g. for a server. It must be
            thread-safe, and its inputs offer neither the expert's commands nor a plan.
        cheap: See `Agent`.

    Raises:
        UsageError: `concurrency` is less than 1, or more than 1 with `cheap`.
    """
    if concurrency < 1 or (cheap and concurrency > 1):
        raise UsageError(f"concurrency is at least 1, and 1 for a cheap agent; got {concurrency}.")
    return _Each(name, choose, cheap) if concurrency == 1 else _Concurrent(name, choose, concurrency)
