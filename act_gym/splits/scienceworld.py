"""ScienceWorld's splits: the official train, dev and test, and a pair of seen and unseen task types.

The manifest `scienceworld.json` is frozen from the package's task list and the simulator's train, dev and test
variations, which are ranges of numbers: 3,592, 1,796 and 1,819, together 7,207 of 30 task types. Six task types are
held out, each of a different topic and with a related type in training:

| split | task types | variations | |---|---|---| | `train`, `dev`, `test` | all 30 | the simulator's | | `train-seen` |
the 24 that are not held out | official train | | `seen` | the same 24 | official test | | `unseen` | the 6 held out |
official test |

This module needs no simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from act_gym.errors import UnknownNameError
from act_gym.splits.manifests import read_frozen
from act_gym.types import Task

__all__ = ["SPLITS", "held_out", "manifest", "tasks"]

SPLITS = ("train", "dev", "test", "train-seen", "seen", "unseen")

_OFFICIAL = ("train", "dev", "test")
_OFFICIAL_PART = {"train-seen": "train", "seen": "test", "unseen": "test"}
# sha256 of the manifest as JSON with sorted keys and no spaces
_SHA256 = "963b7f77663cdab76e0f45375838489d9484d79e694e264ad6676818f6de83ec"


def tasks(split: str | None = None) -> tuple[Task, ...]:
    """Return a split's tasks, sorted by task type and variation.

    Args:
        split: One of `SPLITS`; None for all 7,207, each under its official split.

    Raises:
        UnknownNameError: The split does not exist.
        CorruptDataError: The manifest does not have the expected sha256.
    """
    if split is not None and split not in SPLITS:
        raise UnknownNameError("split of ScienceWorld", split, SPLITS)
    return _tasks(split)


def held_out() -> tuple[str, ...]:
    """Return the held-out task types, which only `unseen` and the official splits contain, sorted."""
    return tuple(manifest()["held_out"])


@cache
def manifest() -> Mapping[str, Any]:
    """Return the manifest: for each task type its topic and its ranges `[start, stop)` by split.

    Raises:
        CorruptDataError: It does not have the expected sha256.
    """
    return read_frozen("scienceworld.json", _SHA256)


@lru_cache(maxsize=len(SPLITS) + 1)
def _tasks(split: str | None) -> tuple[Task, ...]:
    found = []
    for task_type, entry in sorted(manifest()["tasks"].items()):
        for official in _OFFICIAL:  # in the order of the variations' numbers
            if _holds(split, official, task_type):
                found += [_task(task_type, number, split or official) for number in range(*entry[official])]
    return tuple(found)


def _holds(split: str | None, official: str, task_type: str) -> bool:
    if split is None or split in _OFFICIAL:
        return split in (None, official)
    return official == _OFFICIAL_PART[split] and (split == "unseen") == (task_type in held_out())


def _task(task_type: str, variation: int, split: str) -> Task:
    return Task(
        id=f"scienceworld/{task_type}/{variation}",
        benchmark="ScienceWorld",
        split=split,
        task_type=task_type,
        payload={"task": task_type, "variation": variation},
    )
