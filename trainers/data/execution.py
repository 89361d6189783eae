"""Execution of alternative actions: executes each action at every expert state, then restores the state.

The expert's episode is replayed command by command. At a state with alternatives, the state is saved, each action is
executed, its outcome is recorded, and the state is restored: microseconds for ALFWorld and WebShop; ScienceWorld
replays the episode up to the state (docs/design/scienceworld.md). No model is needed.

`compare` executes both actions of a pair. The expert is *assumed* to be better (arXiv 2603.08706). Where an environment
can tell, this checks it: the next states may be equal, or a plan from the alternative's next state may be no longer
than one from the expert's. ALFWorld's plans are the shortest that its planner finds (docs/expert.md), WebShop's are its
expert's; ScienceWorld has none.
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
from act_gym.types import ActionPair, ExpertStep, StepResult, Task, Transition
from trainers.run.logging import note

__all__ = [
    "Attempt",
    "Comparison",
    "Stop",
    "Walk",
    "check_shown",
    "compare",
    "compare_all",
    "execute",
    "grouped",
    "walk",
]


@dataclass(frozen=True)
class Attempt:
    """An action to carry out, and who chose it; see `Transition.source`."""

    action: str
    source: str


@dataclass(frozen=True)
class Stop:
    """A state of the expert's episode where alternatives are executed."""

    step: ExpertStep
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Walk:
    """An episode to replay, up to its last stop.

    Attributes:
        task: The task.
        actions: The actions that were played, from the start.
        stops: The states with alternatives, in order.
    """

    task: Task
    actions: tuple[str, ...]
    stops: tuple[Stop, ...]

    @property
    def id(self) -> str:
        """The id of the last stop, which is unique among walks."""
        return self.stops[-1].step.id


@dataclass(frozen=True)
class _Outcome:
    state: StepResult
    fingerprint: Any


def execute(
    walks: Sequence[Walk], *, env_options: Mapping[str, Any], workers: int = 1
) -> Iterator[tuple[Walk, list[Transition], str]]:
    """Execute all walks; yield each in order with its records and its error message, empty if there is none.

    Args:
        walks: The episodes to replay.
        env_options: The engine's own settings; they must be those of the episodes.
        workers: Processes that play at once, each with a simulator of its own.

    Raises:
        RunError: A process died. The results yielded before are complete.
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
        raise RunError("A worker process died. Finished work is kept; continue with --resume.") from cause


def walk(engine: Engine, way: Walk) -> Iterator[Transition]:
    """Replay an episode and yield, for each stop, the expert's action first and then the alternatives.

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


def _walked(options: str, way: Walk) -> tuple[Walk, list[Transition], str]:
    """Execute one walk in this process; a simulator that fails ends this walk only."""
    records: list[Transition] = []
    try:
        for record in walk(_engine(way.task.benchmark, options), way):
            records.append(record)
    except EngineError as error:
        return way, records, str(error)
    return way, records, ""


def _outcome(engine: Engine, action: str) -> _Outcome:
    state = engine.step(action)
    return _Outcome(state, None if state.terminated else restorable(engine).fingerprint())


def _record(step: ExpertStep, attempt: Attempt, outcome: _Outcome, expert: _Outcome) -> Transition:
    state = outcome.state
    ended = state.terminated or expert.state.terminated
    same = state == expert.state if ended else outcome.fingerprint == expert.fingerprint
    return Transition(
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


def check_shown(step: ExpertStep, state: StepResult) -> None:
    """Raise an error if the environment shows something else than it did when the episode was played."""
    if state.observation.strip() != step.observation.strip():
        raise EngineError(
            f"{step.id} was made of {_beginning(step.observation)!r}, and now {_beginning(state.observation)!r} is "
            f"shown. {_ADVICE}"
        )


def _beginning(text: str) -> str:
    return text.strip()[:80]


def grouped(stops: Iterable[Stop]) -> list[Walk]:
    """Group stops by episode; return each episode with its stops in the order of their turns.

    The history of a stop is its path; stops share an episode where one's path is a prefix of the other's.
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


@dataclass(frozen=True)
class Comparison:
    """The outcome of a pair's two actions.

    Attributes:
        id: The step's id.
        task_type: Of its task.
        alternative: The action that was compared with the expert's.
        carried_out: The simulator understood the alternative and carried it out.
        same_observation: Both actions show the same text.
        same_state: Both lead to the same state, as far as the engine can tell (`Restorable.fingerprint`).
        nothing_changed: The alternative leaves the state as it was. ALFWorld's facts say whether one has looked
            somewhere, so looking changes them.
        plans: Whether the engine can plan; without it the next three say nothing.
        expert_left: Commands that are left after the expert's action; None if no plan was found.
        alternative_left: Commands that are left after the alternative.
        lost: After the alternative, and not after the expert's action, no plan was found or the episode is over.
    """

    id: str
    task_type: str
    alternative: str
    carried_out: bool
    same_observation: bool
    same_state: bool
    nothing_changed: bool
    plans: bool
    expert_left: int | None = None
    alternative_left: int | None = None
    lost: bool = False

    @property
    def no_longer(self) -> bool:
        """A plan after the alternative is no longer than one after the expert's action."""
        known = self.expert_left is not None and self.alternative_left is not None
        return known and self.alternative_left <= self.expert_left  # type: ignore[operator]

    @property
    def shorter(self) -> bool:
        """A plan after the alternative is even shorter."""
        return self.no_longer and self.alternative_left != self.expert_left

    @property
    def as_good(self) -> bool:
        """The alternative is as good as the expert's action, as far as the engine can tell."""
        return self.same_state or self.no_longer


def compare_all(pairs: Sequence[ActionPair], env_options: Mapping[str, Any]) -> Iterator[Comparison]:
    """Compare pairs episode by episode; an episode whose simulator fails is left out with a note.

    Args:
        pairs: The pairs to compare.
        env_options: The engine's own settings; they must be those of the episodes.

    Raises:
        UsageError: The engine does not take the settings, or cannot go back to a state.
    """
    alternatives: dict[str, list[ActionPair]] = {}
    for pair in pairs:
        alternatives.setdefault(pair.step.id, []).append(pair)
    engines: dict[str, Engine] = {}
    try:
        for way in grouped(Stop(members[0].step, ()) for members in alternatives.values()):
            of = way.task.benchmark
            if of not in engines:
                engines[of] = benchmark(of).make_engine(None, **env_options)
            try:
                yield from compare(engines[of], way, alternatives)
            except EngineError as error:
                note(f"{way.task.id} is left out: {error}")
    finally:
        for engine in engines.values():
            engine.close()


def compare(engine: Engine, way: Walk, pairs: Mapping[str, Sequence[ActionPair]]) -> Iterator[Comparison]:
    """Replay an episode and compare the pairs of its states, which are given by the step's id.

    Raises:
        EngineError: The simulator failed, or shows something else than it did.
        UsageError: The engine cannot go back to a state.
    """
    waiting = {stop.step.turn: stop.step for stop in way.stops}
    state = engine.reset(way.task)
    for turn in range(max(waiting) + 1):
        if turn in waiting:
            step = waiting[turn]
            check_shown(step, state)
            here = restorable(engine).snapshot()
            before = restorable(engine).fingerprint()
            tried = []
            for pair in pairs[step.id]:
                tried.append((pair, _judged_outcome(engine, pair.alternative)))
                restorable(engine).restore(here)
            expert = _judged_outcome(engine, step.expert_action)
            for pair, alternative in tried:
                yield _comparison(pair, expert, alternative, before)
            restorable(engine).restore(here)
        if turn < len(way.actions):
            state = engine.step(way.actions[turn])


@dataclass(frozen=True)
class _JudgedOutcome:
    state: StepResult
    fingerprint: Any
    plans: bool
    left: int | None


def _judged_outcome(engine: Any, action: str) -> _JudgedOutcome:
    state = engine.step(action)
    plans = hasattr(engine, "plan")
    left: int | None = 0 if state.success else None
    if plans and not state.terminated:
        try:
            left = len(engine.plan())
        except EngineError:
            left = None
    return _JudgedOutcome(state, None if state.terminated else restorable(engine).fingerprint(), plans, left)


def _comparison(pair: ActionPair, expert: _JudgedOutcome, alternative: _JudgedOutcome, before: Any) -> Comparison:
    ended = expert.state.terminated or alternative.state.terminated
    return Comparison(
        id=pair.step.id,
        task_type=pair.step.task.task_type,
        alternative=pair.alternative,
        carried_out=alternative.state.action_valid,
        same_observation=alternative.state.observation == expert.state.observation,
        same_state=alternative.state == expert.state if ended else alternative.fingerprint == expert.fingerprint,
        nothing_changed=not alternative.state.terminated and alternative.fingerprint == before,
        plans=alternative.plans,
        expert_left=expert.left if alternative.plans else None,
        alternative_left=alternative.left if alternative.plans else None,
        lost=alternative.plans and alternative.left is None and expert.left is not None,
    )
