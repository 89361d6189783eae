"""What an agent is: something that turns views of running episodes into choices.

An agent is given a batch, one view for each running episode, so that a model can answer many at
once. It keeps no state of its own between turns: a view carries the whole history. Whoever writes an
agent that looks at one episode at a time wraps a function with `function_agent`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Protocol, runtime_checkable

from act_gym.errors import ActGymError, AgentError, CorruptDataError, EngineError, UsageError, one_line
from act_gym.types import Task, Turn

__all__ = ["Agent", "AgentAction", "AgentInput", "Failure", "Stream", "StreamingAgent", "function_agent"]


def _no_expert() -> tuple[str, ...]:
    return ()


def _no_plan() -> tuple[str, ...]:
    raise UsageError("This view offers no plan.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInput:
    """What an agent may look at before it decides.

    Attributes:
        task: The task being played.
        goal: The task in words.
        observation: What the environment shows now.
        admissible_commands: What the simulator accepts now, worked out at the first look; empty if the
            environment has it off.
        history: The turns so far, oldest first.
        seed: The episode's seed; with `task.id` and `len(history)` it makes a decision repeatable.
        expert_commands: Returns commands that solve the task from its start. Privileged: whoever
            calls it is no longer a contender, and says so in its name.
        plan: Returns commands that solve the task from here, whatever was done before. Just as
            privileged. It raises `UsageError` where the engine cannot plan from any state, and
            `EngineError` where no plan was found.
        env_options: What the environment was made with besides its id, e.g. `{"legacy_commands": True}`.
        observed: Texts about the state that cost no move, by name: ScienceWorld's `look` and `inventory`.
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
    """What an agent decided. See `Turn` for the fields."""

    action: str
    response: str = ""
    thought: str = ""
    label: str = ""
    prompt_hash: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


class Agent(Protocol):
    """Chooses the next action of every episode it is shown.

    Two more attributes are read where an agent has them. `batch_size` (int) is how many episodes it is best asked about
    at once. `cheap` (bool) says that it costs little to make and to ask, as one without a model or a connection does:
    each process makes its own. Any other agent is made once.
    """

    @property
    def name(self) -> str:
        """A name with whatever changes the behaviour; it marks every result."""
        ...

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Return one choice for each view, in order.

        A reply that holds no action is a choice with an empty action, not an exception.

        Raises:
            AgentError: The model failed. The caller asks again view by view, so that one bad view
                ends one episode.
        """
        ...


Failure = AgentError | EngineError | CorruptDataError
"""What ends one episode and not the run: an agent failed, or a simulator did while the agent looked at its commands."""


class Stream(Protocol):
    """A standing conversation with an agent about several episodes, each answered as soon as it can be."""

    def ask(self, number: int, view: AgentInput) -> None:
        """Ask about the view of an episode; its number is free again once it was answered."""
        ...

    def answers(self) -> Iterable[tuple[int, AgentAction | Failure]]:
        """Wait until at least one of those asked is answered, and return all that are.

        A failure ends its own episode only.
        """
        ...

    def close(self) -> None:
        """Forget what was asked and free what is held."""
        ...


@runtime_checkable
class StreamingAgent(Protocol):
    """An `Agent` that need not be asked about all episodes at once.

    Its answers are those of `act`. What it gains is that no episode waits for another one's long reply:
    whoever is answered steps its environment and is asked again while the others are being answered.
    """

    def stream(self, size: int) -> Stream:
        """Begin a conversation about at most `size` episodes at a time, numbered from 0."""
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
    """Asks a function about several views at once, each in a thread."""

    name: str
    choose: Callable[[AgentInput], str]
    batch_size: int

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        stream = self.stream(min(len(views), self.batch_size))
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

    def stream(self, size: int) -> Stream:
        return _Threads(self.choose, min(size, self.batch_size))


class _Threads:
    def __init__(self, choose: Callable[[AgentInput], str], size: int) -> None:
        self.choose = choose
        self.asked: SimpleQueue[tuple[int, AgentInput] | None] = SimpleQueue()
        self.answered: SimpleQueue[tuple[int, AgentAction | Exception]] = SimpleQueue()
        self.size = size
        for _ in range(size):
            Thread(target=self._work, name="agent", daemon=True).start()

    def ask(self, number: int, view: AgentInput) -> None:
        try:
            # Listed here and not in the other thread: listing commands may ask the simulator, as planning would.
            commands = tuple(view.admissible_commands)
        except (EngineError, CorruptDataError) as error:
            self.answered.put((number, error))
            return
        self.asked.put((number, replace(view, admissible_commands=commands, expert_commands=_no_expert, plan=_no_plan)))

    def answers(self) -> Iterable[tuple[int, AgentAction | Failure]]:
        found = [self.answered.get()]
        with suppress(Empty):
            while True:
                found.append(self.answered.get_nowait())
        answers: list[tuple[int, AgentAction | Failure]] = []
        for number, answer in found:
            if not isinstance(answer, AgentAction | Failure):
                raise answer
            answers.append((number, answer))
        return answers

    def close(self) -> None:
        with suppress(Empty):
            while True:
                self.asked.get_nowait()
        for _ in range(self.size):
            self.asked.put(None)

    def _work(self) -> None:
        while (asked := self.asked.get()) is not None:
            number, view = asked
            try:
                self.answered.put((number, _said(self.choose(view))))
            except ActGymError as error:
                self.answered.put((number, error))
            except Exception as cause:
                self.answered.put((number, AgentError(one_line(cause))))


def _said(action: str) -> AgentAction:
    return AgentAction(action=action, response=action)


def function_agent(
    name: str, choose: Callable[[AgentInput], str], *, concurrency: int = 1, cheap: bool = False
) -> Agent:
    """Make an agent of a function from one view to one action.

    Args:
        name: Its name.
        choose: The function.
        concurrency: Views it is called about at once, each in a thread: for a function that waits for something else,
            such as a server. It must be safe to call from threads, and its views offer neither the expert's commands
            nor a plan.
        cheap: See `Agent`.

    Raises:
        UsageError: `concurrency` is less than 1, or it is more than 1 and `cheap` is on.
    """
    if concurrency < 1 or (cheap and concurrency > 1):
        raise UsageError(f"concurrency is at least 1, and 1 for a cheap agent; got {concurrency}.")
    return _Each(name, choose, cheap) if concurrency == 1 else _Concurrent(name, choose, concurrency)
