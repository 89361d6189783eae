"""Turns episodes into decisions: each turn of an expert becomes a question with a known answer.

The state is written by `agents.prompts.state_text`, the same words an agent reads when it plays.
Turns on which the expert only looks around or waits are kept: they are part of what it does.

A state of ScienceWorld carries thousands of admissible commands, a third of a MiB in memory, and its training split
has 223,572 states. So nothing here holds more than one episode: `ExpertStates` counts, and reads what was drawn.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile

from act_gym.core import Decision, Episode
from act_gym.errors import UsageError
from act_gym.records import read_records, record_at, records_with_places, replacing
from agents.prompts import state_text

__all__ = ["ExpertStates", "StateSettings", "decisions_of", "expert_decisions"]


@dataclass(frozen=True)
class StateSettings:
    """How much of an episode a state shows; see `agents.prompts.state_text`."""

    window: int = 3
    """How many recent turns a state shows."""
    list_commands: int = 0
    """How many admissible commands a state lists at most; 0 lists none."""
    max_characters: int = 1200
    """Each observation is cut to this length; the cut is marked."""


def decisions_of(
    episode: Episode, settings: StateSettings | None = None, only: Container[int] | None = None, name: str = ""
) -> Iterator[Decision]:
    """Yield one decision for each turn that has an expert's action; see `labels_of`.

    The id is the task's id and the turn from 0, e.g. `scienceworld/boil/3#4`.

    Args:
        episode: An expert's, or one whose turns an expert labelled.
        settings: How much a state shows.
        only: Turns, from 0; None for all.
        name: Stands for the task's id in the ids, where a task has several episodes.
    """
    settings = settings or StateSettings()
    labels = labels_of([(turn.action, turn.label) for turn in episode.turns])
    for number, (turn, label) in enumerate(zip(episode.turns, labels, strict=True)):
        if not label or (only is not None and number not in only):
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
            id=f"{name or episode.task.id}#{number}",
            task=episode.task,
            state=state,
            expert_action=label,
            admissible_commands=turn.admissible_commands,
        )


def labels_of(turns: Sequence[tuple[str, str]]) -> list[str]:
    """Return an expert's action for each turn, empty where there is none, from the turns' actions and labels.

    In an episode with labels the turns without one are no expert's, such as detours. An episode without any is taken
    for an expert's own.
    """
    labelled = any(label for _, label in turns)
    return [label if labelled else action if action.strip() else "" for action, label in turns]


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
        UsageError: A task was played twice with one seed, so that two decisions would share an id.
    """
    seen: dict[str, set[int]] = {}
    for path in paths:
        for record in read_records(path):
            episode = Episode.from_json(record)
            if episode.success or failures:
                yield from decisions_of(episode, settings, name=_name(episode.task.id, episode.seed, seen, path))


@dataclass(frozen=True)
class _Place:
    """Where an episode is, what it is called in ids, and which of its turns have an expert's action."""

    path: Path
    offset: int
    name: str
    turns: tuple[int, ...]


class ExpertStates:
    """The decisions of files of expert episodes, numbered from 0 in their order and read when they are asked for.

    Args:
        paths: Files written by `trainers.collect`; episodes without success are left out.
        settings: How much a state shows.

    Raises:
        RunError: A file cannot be read.
        UsageError: A task was played twice with one seed, so that two decisions would share an id.
    """

    def __init__(self, paths: Iterable[Path], settings: StateSettings | None = None) -> None:
        self._settings = settings
        self._places: list[_Place] = []
        seen: dict[str, set[int]] = {}
        for path in paths:
            for offset, record in records_with_places(path):
                if record["success"]:
                    name = _name(record["task"]["id"], record["seed"], seen, path)
                    labels = labels_of([(turn["action"], turn.get("label", "")) for turn in record["turns"]])
                    turns = tuple(number for number, label in enumerate(labels) if label)
                    self._places.append(_Place(path, offset, name, turns))

    def __len__(self) -> int:
        return sum(len(place.turns) for place in self._places)

    def read(self, numbers: Container[int]) -> Iterator[tuple[int, Decision]]:
        """Yield the decisions with these numbers and their numbers, in the order of the files."""
        first = 0
        for place in self._places:
            wanted = {turn: first + n for n, turn in enumerate(place.turns) if first + n in numbers}
            first += len(place.turns)
            if wanted:
                episode = Episode.from_json(record_at(place.path, place.offset))
                found = decisions_of(episode, self._settings, wanted, place.name)
                yield from zip(wanted.values(), found, strict=True)

    def write(self, path: Path, order: Sequence[int]) -> None:
        """Write the decisions with these numbers to a file in this order; it is complete or absent.

        Reading follows the order of the episodes, so that none is read twice; a temporary file sorts them.
        """
        with TemporaryFile(dir=path.parent) as spool, replacing(path) as file:
            places: dict[int, tuple[int, int]] = {}
            ascending = all(before < after for before, after in pairwise(order))
            for number, decision in self.read(set(order)):
                line = json.dumps(decision.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n"
                if ascending:
                    file.write(line)
                else:
                    places[number] = (spool.tell(), spool.write(line.encode("utf-8", "backslashreplace")))
            for number in () if ascending else order:
                start, size = places[number]
                spool.seek(start)
                file.write(spool.read(size).decode("utf-8"))


def _name(task_id: str, seed: int, seen: dict[str, set[int]], path: Path) -> str:
    """Return what an episode is called in ids: its task's id, with the seed where the task has another one; note it.

    Raises:
        UsageError: The task was played with this seed before.
    """
    seeds = seen.setdefault(task_id, set())
    if seed in seeds:
        raise UsageError(f"{path} plays {task_id} a second time with seed {seed}; give each episode once.")
    seeds.add(seed)
    return task_id if len(seeds) == 1 else f"{task_id}@{seed}"
