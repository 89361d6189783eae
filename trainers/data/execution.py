"""Carries alternatives out: at every expert state each action is tried, and the environment goes back.

The expert's episode is played again command by command. Where alternatives wait, the state is kept, each of
them is sent, what it shows is noted, and the state is restored: microseconds for ALFWorld and WebShop; for
ScienceWorld the way to the state is played again (docs/design/scienceworld.md). Nothing here knows a model.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from act_gym.benchmarks import benchmark
from act_gym.engine import Engine, restorable
from act_gym.errors import EngineError, RunError
from act_gym.types import Experience, ExpertStep, State, Task

__all__ = ["Attempt", "Stop", "Walk", "check_shown", "execute", "grouped", "mark", "walk"]


@dataclass(frozen=True)
class Attempt:
    """An action to carry out, and who chose it; see `Experience.source`."""

    action: str
    source: str


@dataclass(frozen=True)
class Stop:
    """A state on the expert's way where alternatives are carried out."""

    step: ExpertStep
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Walk:
    """An episode to be played again, up to its last stop.

    Attributes:
        task: The task.
        actions: What was played, from the start.
        stops: Where alternatives wait, in order.
    """

    task: Task
    actions: tuple[str, ...]
    stops: tuple[Stop, ...]

    @property
    def id(self) -> str:
        """The last stop's, which no other walk has."""
        return self.stops[-1].step.id


@dataclass(frozen=True)
class _Outcome:
    state: State
    mark: Any


def execute(
    walks: Sequence[Walk], *, env_options: Mapping[str, Any], workers: int = 1
) -> Iterator[tuple[Walk, list[Experience], str]]:
    """Walk all walks, and yield each in their order with its records and what went wrong, if anything did.

    Args:
        walks: What is played.
        env_options: The engine's own settings; they must be those of the episodes.
        workers: Processes that play at once, each with a simulator of its own.

    Raises:
        RunError: A process died. What was yielded before is complete.
        UsageError: The engine does not take the settings, or cannot go back to a state.
    """
    play = partial(_walked, json.dumps(env_options, sort_keys=True))
    if workers == 1 or len(walks) < 2:
        try:
            yield from map(play, walks)
        finally:
            for engine in _engines:
                engine.close()
            _engines.clear()
            _engine.cache_clear()
        return
    spawning = multiprocessing.get_context("spawn")  # a forked JVM or torch cannot be trusted
    try:
        with ProcessPoolExecutor(min(workers, len(walks)), mp_context=spawning) as pool:
            try:
                yield from pool.map(play, walks)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    except BrokenProcessPool as cause:
        raise RunError("A process that played died. What was finished is kept; continue with --resume.") from cause


def walk(engine: Engine, way: Walk) -> Iterator[Experience]:
    """Play an episode again and yield, for each stop, the expert's action first and then the alternatives.

    Raises:
        EngineError: The simulator failed, or shows something else than it did when the steps were made.
        UsageError: The engine cannot go back to a state.
    """
    waiting = {stop.step.turn: stop for stop in way.stops}
    state = engine.reset(way.task)
    for turn in range(max(waiting, default=-1) + 1):
        if state.terminated:
            raise EngineError(f"{way.task.id} ended before turn {turn}. {_ADVICE}")
        stop = waiting.get(turn)
        if stop is None:
            state = engine.step(way.actions[turn])
            continue
        check_shown(stop.step, state)
        going_back = restorable(engine)
        here = going_back.snapshot()
        tried: dict[str, _Outcome] = {}
        for attempt in stop.attempts:
            if attempt.action not in tried:
                tried[attempt.action] = _outcome(engine, attempt.action)
                going_back.restore(here)
        action = stop.step.expert_action
        expert = _outcome(engine, action)
        state = expert.state
        yield _record(stop.step, Attempt(action, "expert"), expert, expert)
        for attempt in stop.attempts:
            yield _record(stop.step, attempt, tried[attempt.action], expert)
        if way.actions[turn : turn + 1] not in ((), (action,)):  # the episode went another way
            going_back.restore(here)
            state = engine.step(way.actions[turn])


_ADVICE = "Make the environment with the --env-options that the episodes were collected with."

_engines: list[Engine] = []


@lru_cache(maxsize=4)
def _engine(name: str, options: str) -> Engine:
    engine: Engine = benchmark(name).make_engine(None, **json.loads(options))
    _engines.append(engine)
    return engine


def _walked(options: str, way: Walk) -> tuple[Walk, list[Experience], str]:
    """Walk one walk in this process; a simulator that fails ends it and no other."""
    records: list[Experience] = []
    try:
        for record in walk(_engine(way.task.benchmark, options), way):
            records.append(record)
    except EngineError as error:
        return way, records, str(error)
    return way, records, ""


def _outcome(engine: Engine, action: str) -> _Outcome:
    state = engine.step(action)
    return _Outcome(state, None if state.terminated else mark(engine, state.raw_score))


def mark(engine: Any, raw_score: float) -> Any:
    """Return what two equal states have in common and two different ones have not, as far as the engine can tell.

    ALFWorld: all facts that hold. WebShop: the page, what was chosen on it and the way there. ScienceWorld does not
    show its state: the room and the inventory in words and the score, so that two states may differ elsewhere.
    """
    position = getattr(engine.snapshot(), "position", None)
    if position is not None:
        return position.tables
    if hasattr(engine, "visit"):
        return engine.visit
    return raw_score, *(engine.observe(name) for name in getattr(engine, "observable", ()))


def _record(step: ExpertStep, attempt: Attempt, outcome: _Outcome, expert: _Outcome) -> Experience:
    state = outcome.state
    ended = state.terminated or expert.state.terminated
    same = state == expert.state if ended else outcome.mark == expert.mark
    return Experience(
        step=step,
        action=attempt.action,
        is_expert=attempt.source == "expert",
        source=attempt.source,
        next_observation=state.observation,
        action_valid=state.action_valid,
        score=state.score,
        terminated=state.terminated,
        success=state.success,
        same_as_expert=same,
    )


def check_shown(step: ExpertStep, state: State) -> None:
    """Refuse to play further where the environment shows something else than it did when the episode was played."""
    if state.observation.strip() != step.observation.strip():
        raise EngineError(
            f"{step.id} was made of {_beginning(step.observation)!r}, and now {_beginning(state.observation)!r} is "
            f"shown. {_ADVICE}"
        )


def _beginning(text: str) -> str:
    return text.strip()[:80]


def grouped(stops: Iterable[Stop]) -> list[Walk]:
    """Return the episodes that stops are part of, each with its stops in the order of their turns.

    The way to a stop is its own history; stops share an episode where one's way is the beginning of the other's.
    """
    found: list[Walk] = []
    of_task: dict[str, list[int]] = {}
    waiting = list(stops)
    order = {name: place for place, name in enumerate(dict.fromkeys(stop.step.task.id for stop in waiting))}
    for stop in sorted(waiting, key=lambda stop: (order[stop.step.task.id], stop.step.turn)):
        actions = tuple(turn.action for turn in stop.step.history)
        for place in of_task.setdefault(stop.step.task.id, []):
            way = found[place]
            if way.stops[-1].step.turn < stop.step.turn and actions[: len(way.actions)] == way.actions:
                found[place] = Walk(way.task, actions, (*way.stops, stop))
                break
        else:
            of_task[stop.step.task.id].append(len(found))
            found.append(Walk(stop.step.task, actions, (stop,)))
    return found
