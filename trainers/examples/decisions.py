"""Turns episodes into decisions: each turn of an expert becomes a question with a known answer.

The state is written by `agents.prompts.state_text`, the same words an agent reads when it plays.
Turns on which the expert only looks around or waits are kept: they are part of what it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from act_gym.core import Decision, Episode
from act_gym.errors import UsageError
from act_gym.records import read_records
from agents.prompts import state_text

__all__ = ["StateSettings", "decisions_of", "expert_decisions"]


@dataclass(frozen=True)
class StateSettings:
    """How much of an episode a state shows; see `agents.prompts.state_text`."""

    window: int = 3
    """How many recent turns a state shows."""
    list_commands: int = 0
    """How many admissible commands a state lists at most; 0 lists none."""
    max_characters: int = 1200
    """Each observation is cut to this length; the cut is marked."""


def decisions_of(episode: Episode, settings: StateSettings | None = None) -> Iterator[Decision]:
    """Yield one decision for each turn that holds an action.

    The id is the task's id and the turn from 0, e.g. `scienceworld/boil/3#4`.
    """
    settings = settings or StateSettings()
    for number, turn in enumerate(episode.turns):
        if not turn.action.strip():
            continue
        state = state_text(
            episode.goal,
            turn.observation,
            episode.turns[:number],
            turn.admissible_commands,
            window=settings.window,
            list_commands=settings.list_commands,
            max_characters=settings.max_characters,
        )
        yield Decision(
            id=f"{episode.task.id}#{number}",
            task=episode.task,
            state=state,
            expert_action=turn.action,
            admissible_commands=turn.admissible_commands,
        )


def expert_decisions(
    paths: Iterable[Path], settings: StateSettings | None = None, *, failures: bool = False
) -> Iterator[Decision]:
    """Yield the decisions of files of expert episodes, in their order.

    Args:
        paths: Files written by `trainers.collect`.
        settings: How much a state shows.
        failures: Whether episodes without success count as well.

    Raises:
        RunError: A file cannot be read.
        UsageError: A task was played twice, so that two decisions would share an id.
    """
    seen: set[str] = set()
    for path in paths:
        for record in read_records(path):
            episode = Episode.from_json(record)
            if not (episode.success or failures):
                continue
            if episode.task.id in seen:
                raise UsageError(f"{path} plays {episode.task.id} a second time; give each task's episode once.")
            seen.add(episode.task.id)
            yield from decisions_of(episode, settings)
