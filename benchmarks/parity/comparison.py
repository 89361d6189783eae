"""Plays one task on two engines side by side and compares everything they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from traceback import format_exception
from typing import Any, Protocol, cast

import numpy as np

from act_gym.engine import Engine
from act_gym.errors import ActGymError, EngineError
from act_gym.types import StepResult, Task

__all__ = ["Comparison", "Difference", "Pair", "compare", "random_command"]

EARLIER = 200
"""How many commands of earlier states are remembered."""

Shown = Mapping[str, Any]
"""Outputs of an engine in one state, by name."""


class _WithFacts(Protocol):
    def facts(self) -> frozenset[tuple[str, ...]]: ...


@dataclass(frozen=True)
class Pair:
    """Two engines for the same tasks.

    Attributes:
        reference: The one that is right.
        candidate: The one that should do the same.
        facts: Whether to compare `facts()` as well, which both must have then.
    """

    reference: Engine
    candidate: Engine
    facts: bool = False


@dataclass(frozen=True)
class Difference:
    """The first thing that two engines showed differently.

    Attributes:
        history: The commands since the reset.
        what: The differing output, e.g. `observation`; `failure` where the candidate raised an error.
        reference: Output of the reference.
        candidate: Output of the candidate.
    """

    history: tuple[str, ...]
    what: str
    reference: Any
    candidate: Any


@dataclass(frozen=True)
class Comparison:
    """Result of one task.

    Attributes:
        task_id: Which.
        states: How many states were compared.
        seconds: How long the reference took and how long the candidate, without what this program does.
        difference: The first one, if there is any.
        refused: Which engine could not play the task and why; empty where both could.
    """

    task_id: str
    states: int
    seconds: tuple[float, float]
    difference: Difference | None = None
    refused: str = ""


class _Refused(Exception):  # noqa: N818  (an answer, no error)
    """An engine said that it cannot play on."""


class _Differs(Exception):  # noqa: N818
    """Two engines showed different things."""

    def __init__(self, what: str, reference: Any, candidate: Any) -> None:
        super().__init__(what)
        self.difference = (what, reference, candidate)


class _Side:
    """One engine, timed."""

    def __init__(self, name: str, engine: Engine, *, facts: bool) -> None:
        self.seconds = 0.0
        self._name = name
        self._engine = engine
        self._facts = cast(_WithFacts, engine).facts if facts else None

    def reset(self, task: Task) -> Shown:
        shown = self._shown(lambda: self._engine.reset(task))
        return {**shown, "expert_commands": self.expert_commands()}

    def step(self, command: str) -> Shown:
        return self._shown(lambda: self._engine.step(command))

    def expert_commands(self) -> tuple[str, ...]:
        try:
            return self._engine.expert_commands()
        except EngineError:
            return ()

    def _shown(self, act: Callable[[], StepResult]) -> Shown:
        start = perf_counter()
        try:
            state = act()
            commands = tuple(self._engine.admissible_commands())
        except ActGymError as cause:
            raise _Refused(f"{self._name}: {cause}") from cause
        self.seconds += perf_counter() - start
        shown = {
            "observation": state.observation,
            "admissible_commands": commands,
            "score": state.score,
            "raw_score": state.raw_score,
            "success": state.success,
            "terminated": state.terminated,
            "action_valid": state.action_valid,
            "goal": self._engine.goal,
        }
        return {**shown, "facts": self._facts()} if self._facts else shown


class _Play:
    """Two engines in the same state, as far as anyone can see."""

    def __init__(self, pair: Pair) -> None:
        self.reference = _Side("reference", pair.reference, facts=pair.facts)
        self.candidate = _Side("candidate", pair.candidate, facts=pair.facts)
        self.history: list[str] = []
        self.states = 0

    def reset(self, task: Task) -> Shown:
        self.history = []
        return self._same(self.reference.reset(task), lambda: self.candidate.reset(task))

    def step(self, command: str) -> Shown:
        self.history.append(command)
        return self._same(self.reference.step(command), lambda: self.candidate.step(command))

    def _same(self, expected: Shown, act: Callable[[], Shown]) -> Shown:
        try:
            found = act()
        except _Refused:
            raise
        except Exception as error:  # whatever it is, the reference did not raise it
            raise _Differs("failure", "none", "".join(format_exception(error))) from error
        for what, value in expected.items():
            if found[what] != value:
                raise _Differs(what, value, found[what])
        self.states += 1
        return expected


def compare(pair: Pair, task: Task, *, steps: int, random: np.random.Generator) -> Comparison:
    """Play a task's walkthrough on both engines and then, from the start again, random commands.

    Args:
        pair: The engines.
        task: Which task.
        steps: Number of random commands; they continue after a win.
        random: Makes them up.
    """
    play = _Play(pair)
    difference, refused = None, ""
    try:
        for command in play.reset(task)["expert_commands"]:
            play.step(command)
        shown = play.reset(task)
        earlier: list[str] = []
        for _ in range(steps):
            admissible = shown["admissible_commands"]
            shown = play.step(random_command(admissible, earlier, random))
            earlier = [*earlier, *admissible][-EARLIER:]
    except _Differs as found:
        difference = Difference(tuple(play.history), *found.difference)
    except _Refused as found:
        refused = f"after {play.history}: {found}" if play.history else str(found)
    return Comparison(
        task_id=task.id,
        states=play.states,
        seconds=(play.reference.seconds, play.candidate.seconds),
        difference=difference,
        refused=refused,
    )


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
