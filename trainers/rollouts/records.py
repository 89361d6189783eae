"""Records of environment rollouts: the episodes to play, and played episodes with every token as it was sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from act_gym.env import Snapshot
from act_gym.types import Episode, Task, Turn

__all__ = ["Limits", "Point", "Reply", "Rollout", "Start"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of an episode, and how replies are sampled.

    Attributes:
        turns: Decisions at most.
        tokens: Tokens of a conversation at most; an episode that would need more is cut.
        reply: Tokens of a reply at most.
        temperature: Of sampling, above 0.
    """

    turns: int
    tokens: int
    reply: int
    temperature: float = 1.0


@dataclass(frozen=True)
class Reply:
    """One sampled reply.

    Attributes:
        after: How many of the conversation's tokens it follows.
        tokens: As sampled; the token that ended it is the last one.
        log_probabilities: Of each token when it was sampled; with candidates one number, of the choice among them.
        in_place: Whether the conversation continues with these tokens.
        is_cut: It reached the limit of a reply without ending.
        candidates: With ranked decoding, the replies that it was chosen from, itself among them; else none.
    """

    after: int
    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    in_place: bool
    is_cut: bool
    candidates: tuple[tuple[int, ...], ...] = ()

    @property
    def units(self) -> int:
        """The sampled units: tokens, or one command of several."""
        return len(self.log_probabilities)


@dataclass(frozen=True)
class Point:
    """A state of a rollout from which other continuations are played.

    Attributes:
        rollout: The rollout that was played before.
        turn: Before which decision of it, from 0.
    """

    rollout: Rollout
    turn: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """One episode to be played.

    Attributes:
        env_id: The environment.
        task: The task.
        seed: Of the environment and the replies.
        group: The number of the task in its batch.
        point: Where a continuation begins; None for a whole episode.
    """

    env_id: str
    task: Task
    seed: int
    group: int = 0
    point: Point | None = None


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One episode as it was played, T turns, of which those before `first` are of the rollout that it continues.

    Attributes:
        start: The requested episode.
        goal: The task as text.
        turns: Every decision; the commands of each turn are left out.
        replies: Of each turn from `first` on.
        first: The first turn that was played here.
        states: The simulator's state before each decision and after the last one, T + 1; equal states compare equal.
        plans: Commands that a planner needs from each of them, T + 1; -1 where there is no way. Empty without shaping.
        snapshots: Of each decision, to continue from; empty if they were not kept.
        tokens: The conversation, with the last observation.
        observed: First token and end of each observation after the first, with the template's text around it.
        final_observation: The last observation.
        success: Whether the task was solved.
        score: Final progress, 0-1.
        raw_score: The simulator's own.
        stop: `terminated`, `truncated` or `env_error`.
        cut: The limit that truncated it, `turns` or `tokens`; empty if none did.
        error: The failure, with `env_error`.
        versions: Of the software and data that shaped the episode.
    """

    start: Start
    goal: str
    turns: tuple[Turn, ...]
    replies: tuple[Reply, ...]
    first: int
    states: tuple[Any, ...]
    plans: tuple[int, ...]
    snapshots: tuple[Snapshot, ...] = field(repr=False, compare=False)
    tokens: tuple[int, ...]
    observed: tuple[tuple[int, int], ...]
    final_observation: str
    success: bool
    score: float
    raw_score: float
    stop: str
    cut: str = ""
    error: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def episode(self, agent: str) -> Episode:
        """Return it as a record."""
        return Episode(
            task=self.start.task,
            env_id=self.start.env_id,
            agent=agent,
            seed=self.start.seed,
            goal=self.goal,
            turns=self.turns,
            final_observation=self.final_observation,
            success=self.success,
            score=self.score,
            raw_score=self.raw_score,
            stop=self.stop,
            error=self.error,
            versions=self.versions,
        )
