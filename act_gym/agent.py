"""What an agent is: something that turns views of running episodes into choices.

An agent is given a batch, one view for each running episode, so that a model can answer many at
once. It keeps no state of its own between turns: a view carries the whole history. Whoever writes an
agent that looks at one episode at a time wraps a function with `each`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from act_gym.core import Task, Turn
from act_gym.errors import AgentError, CorruptDataError, EngineError, UsageError

__all__ = ["Agent", "Choice", "Failure", "Stream", "StreamingAgent", "View", "each"]


def _no_expert() -> tuple[str, ...]:
    return ()


def _no_plan() -> tuple[str, ...]:
    raise UsageError("This view offers no plan.")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What an agent decided. See `Turn` for the fields."""

    action: str
    response: str = ""
    thought: str = ""
    label: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


class Agent(Protocol):
    """Chooses the next action of every episode it is shown."""

    @property
    def name(self) -> str:
        """A name with whatever changes the behaviour; it marks every result."""
        ...

    def act(self, views: Sequence[View]) -> Sequence[Choice]:
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

    def ask(self, number: int, view: View) -> None:
        """Ask about the view of an episode; its number is free again once it was answered."""
        ...

    def answers(self) -> Iterable[tuple[int, Choice | Failure]]:
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
    choose: Callable[[View], str]

    def act(self, views: Sequence[View]) -> Sequence[Choice]:
        actions = [self.choose(view) for view in views]
        return [Choice(action=action, response=action) for action in actions]


def each(name: str, choose: Callable[[View], str]) -> Agent:
    """Make an agent of a function from one view to one action."""
    return _Each(name, choose)
