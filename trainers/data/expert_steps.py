"""Expert steps: each turn with an expert's action becomes raw data that a question can be rendered from.

Turns on which the expert only looks around or waits are kept: they are part of what it does.

A state of ScienceWorld carries thousands of admissible commands, a third of a MiB in memory, and its training split
has 223,572 states. So nothing here holds more than one episode: `ExpertStates` counts the steps, and
reads only those that were drawn.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

from act_gym.errors import UsageError
from act_gym.io.jsonl import read_records, record_at, records_with_places, replacing
from act_gym.types import Episode, ExpertStep, Turn
from agents.prompts import normalise

__all__ = ["At", "ExpertStates", "expert_steps", "labels_of", "steps_of"]

At = Literal["expert", "policy"]
"""Whose states: those of expert episodes, or all that a policy reached and an expert labelled."""


def steps_of(episode: Episode, only: Container[int] | None = None, name: str = "") -> Iterator[ExpertStep]:
    """Yield one step for each turn that has an expert's action; see `labels_of`.

    The id is the task's id and the turn from 0, e.g. `scienceworld/boil/3#4`.

    Args:
        episode: An expert's, or one whose turns an expert labelled.
        only: Turns, from 0; None for all.
        name: Replaces the task's id in the ids, where a task has several episodes.
    """
    labels = labels_of([(turn.action, turn.label) for turn in episode.turns])
    past = tuple(_lean(turn) for turn in episode.turns)
    for number, (turn, label) in enumerate(zip(episode.turns, labels, strict=True)):
        if not label or (only is not None and number not in only):
            continue
        yield ExpertStep(
            id=f"{name or episode.task.id}#{number}",
            task=episode.task,
            turn=number,
            goal=episode.goal,
            history=past[:number],
            observation=turn.observation,
            expert_action=label,
            played_action="" if normalise(turn.action) == normalise(label) else turn.action,
            admissible_commands=turn.admissible_commands,
            observed=turn.observed,
        )


def _lean(turn: Turn) -> Turn:
    """Return a turn as a history holds it: the reply only where it held no action."""
    response = "" if turn.action else turn.response
    return Turn(observation=turn.observation, action=turn.action, response=response, observed=turn.observed)


def labels_of(turns: Sequence[tuple[str, str]]) -> list[str]:
    """Return an expert's action for each turn, empty where there is none, from the turns' actions and labels.

    In an episode with labels the turns without one are no expert's, such as detours. An episode without any is taken
    for an expert's own.
    """
    labelled = any(label for _, label in turns)
    return [label if labelled else action if action.strip() else "" for action, label in turns]


def expert_steps(paths: Iterable[Path], *, failures: bool = False) -> Iterator[ExpertStep]:
    """Yield the steps of files of expert episodes, in their order.

    Args:
        paths: Files written by `trainers.collect`.
        failures: Whether episodes without success count as well.

    Raises:
        RunError: A file cannot be read.
        UsageError: A task was played twice with one seed, so that two steps would share an id.
    """
    seen: dict[str, set[int]] = {}
    for path in paths:
        for record in read_records(path):
            episode = Episode.from_json(record)
            if episode.success or failures:
                yield from steps_of(episode, name=_name(episode.task.id, episode.seed, seen, path))


@dataclass(frozen=True)
class _Place:
    """Where an episode is, what it is called in ids, and which of its turns have an expert's action."""

    path: Path
    offset: int
    name: str
    turns: tuple[int, ...]


class ExpertStates:
    """The steps of files of episodes, numbered from 0 in their order and read when they are asked for.

    Args:
        paths: Files written by `act-gym train collect` or `dagger`.
        at: `expert`: episodes without success are left out, and one without labels is an expert's own. `policy`: every
            episode counts, and only its labels are an expert's.

    Raises:
        RunError: A file cannot be read.
        UsageError: A task was played twice with one seed, so that two steps would share an id; or a policy's episodes
            hold no label.
    """

    def __init__(self, paths: Sequence[Path], at: At = "expert") -> None:
        self._places: list[_Place] = []
        seen: dict[str, set[int]] = {}
        for path in paths:
            for offset, record in records_with_places(path):
                labelled = any(turn.get("label") for turn in record["turns"])
                if labelled if at == "policy" else record["success"]:
                    name = _name(record["task"]["id"], record["seed"], seen, path)
                    labels = labels_of([(turn["action"], turn.get("label", "")) for turn in record["turns"]])
                    turns = tuple(number for number, label in enumerate(labels) if label)
                    self._places.append(_Place(path, offset, name, turns))
        if at == "policy" and not self._places:
            raise UsageError(
                f"No turn in {', '.join(map(str, paths))} holds an expert's label. Play a model and label its states "
                "with: act-gym train collect --agent local:model=FOLDER --labels search"
            )

    def __len__(self) -> int:
        return sum(len(place.turns) for place in self._places)

    def read(self, numbers: Container[int]) -> Iterator[tuple[int, ExpertStep]]:
        """Yield the steps with these numbers and their numbers, in the order of the files."""
        first = 0
        for place in self._places:
            wanted = {turn: first + n for n, turn in enumerate(place.turns) if first + n in numbers}
            first += len(place.turns)
            if wanted:
                episode = Episode.from_json(record_at(place.path, place.offset))
                found = steps_of(episode, wanted, place.name)
                yield from zip(wanted.values(), found, strict=True)

    def write(self, path: Path, order: Sequence[int]) -> None:
        """Write the steps with these numbers to a file in this order; it is complete or absent.

        Reading follows the order of the episodes, so that none is read twice; a temporary file sorts them.
        """
        with TemporaryFile(dir=path.parent) as spool, replacing(path) as file:
            places: dict[int, tuple[int, int]] = {}
            ascending = all(before < after for before, after in pairwise(order))
            for number, step in self.read(set(order)):
                line = json.dumps(step.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n"
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
