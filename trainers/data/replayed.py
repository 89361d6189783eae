"""What a replayed trajectory becomes: an episode as if it had been played here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from act_gym.engine import Engine
from act_gym.types import Episode, State, Task, Turn

__all__ = ["AGENT", "Replies", "replayed_episode", "replayed_turn"]

AGENT = "imported:AgentTraj-L"
"""Who played them, as episodes name it."""


class Replies(Protocol):
    """What an agent said, one entry for each of its turns."""

    @property
    def replies(self) -> Sequence[str]:
        """As they were."""
        ...

    @property
    def thoughts(self) -> Sequence[str]:
        """The reasoning in them."""
        ...

    @property
    def actions(self) -> Sequence[str]:
        """The actions in them."""
        ...


def replayed_turn(said: Replies, at: int, before: State, after: State) -> Turn:
    """Return a turn of which the agent's part is another group's and the rest ours."""
    return Turn(
        observation=before.observation,
        response=said.replies[at],
        thought=said.thoughts[at],
        action=said.actions[at],
        action_valid=after.action_valid,
        reward=after.score - before.score,
        score=after.score,
    )


def replayed_episode(
    env_id: str, task: Task, engine: Engine, turns: Sequence[Turn], state: State, error: str
) -> Episode:
    """Return the episode of an engine that has just replayed a trajectory.

    Args:
        env_id: The environment that it would have been played in.
        task: The task.
        engine: The engine, as it was left.
        turns: What was played.
        state: The last state.
        error: Why the engine failed; empty if it did not.
    """
    return Episode(
        task=task,
        env_id=env_id,
        agent=AGENT,
        seed=0,
        goal=engine.goal,
        turns=tuple(turns),
        final_observation=state.observation,
        success=state.success and not error,
        score=state.score,
        raw_score=state.raw_score,
        stop="env_error" if error else "terminated" if state.terminated else "truncated",
        error=error,
        versions=dict(engine.versions),
    )
