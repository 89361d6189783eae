"""Carries out both actions of a pair and says whether the alternative is as good as the expert's.

The expert is *assumed* to be better (arXiv 2603.08706). Where an environment can tell, this looks: the
next states may be the same, or a plan from the alternative's next state may be no longer than one from the
expert's. ALFWorld's plans are the shortest that its planner finds (docs/expert.md), WebShop's are its
expert's way; ScienceWorld has none. Nothing here knows a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from act_gym.benchmarks import benchmark
from act_gym.engine import Engine, restorable
from act_gym.errors import EngineError
from act_gym.types import ActionPair, State
from trainers.data.execution import Stop, Walk, check_shown, grouped, mark
from trainers.run.notes import note

__all__ = ["Comparison", "compare", "compare_all"]


@dataclass(frozen=True)
class Comparison:
    """What became of a pair's two actions.

    Attributes:
        id: The step's id.
        task_type: Of its task.
        alternative: The action that was compared with the expert's.
        carried_out: The simulator understood the alternative and carried it out.
        same_observation: Both actions show the same text.
        same_state: Both lead to the same state, as far as the engine can tell (`trainers.data.execution.mark`).
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
        pairs: What is compared.
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
    """Play an episode again and compare the pairs of its states, which are given by the step's id.

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
            before = mark(engine, state.raw_score)
            tried = []
            for pair in pairs[step.id]:
                tried.append((pair, _outcome(engine, pair.alternative)))
                restorable(engine).restore(here)
            expert = _outcome(engine, step.expert_action)
            for pair, alternative in tried:
                yield _comparison(pair, expert, alternative, before)
            restorable(engine).restore(here)
        if turn < len(way.actions):
            state = engine.step(way.actions[turn])


@dataclass(frozen=True)
class _Outcome:
    state: State
    mark: Any
    plans: bool
    left: int | None


def _outcome(engine: Any, action: str) -> _Outcome:
    state = engine.step(action)
    plans = hasattr(engine, "plan")
    left: int | None = 0 if state.success else None
    if plans and not state.terminated:
        try:
            left = len(engine.plan())
        except EngineError:
            left = None
    return _Outcome(state, None if state.terminated else mark(engine, state.raw_score), plans, left)


def _comparison(pair: ActionPair, expert: _Outcome, alternative: _Outcome, before: Any) -> Comparison:
    ended = expert.state.terminated or alternative.state.terminated
    return Comparison(
        id=pair.step.id,
        task_type=pair.step.task.task_type,
        alternative=pair.alternative,
        carried_out=alternative.state.action_valid,
        same_observation=alternative.state.observation == expert.state.observation,
        same_state=alternative.state == expert.state if ended else alternative.mark == expert.mark,
        nothing_changed=not alternative.state.terminated and alternative.mark == before,
        plans=alternative.plans,
        expert_left=expert.left if alternative.plans else None,
        alternative_left=alternative.left if alternative.plans else None,
        lost=alternative.plans and alternative.left is None and expert.left is not None,
    )
