"""ALFWorld's splits: 3,553 training games, 140 in rooms seen in training, 134 in unseen rooms.

The games are those of the official release `json_2.1.1`, frozen in `alfworld.txt`, one line `<folder>/<game>/<trial>`
each, sorted. The release's 200 `valid_train` games are in no split: they are training rooms under another name, without
published results. Upstream lists games in the order of the file system, which differs between machines; this order is
fixed.

Two more splits hold task types out, as level L2 of RLVMR (arXiv 2507.22844) does: `train-seen-types` has the training
games of four types, and `unseen-types` the games in unseen rooms of the other two. This module also makes tasks of a
user's own game files; it does not read their contents.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePath

from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.errors import UsageError
from act_gym.splits import alfworld_generated
from act_gym.splits.manifests import read_checked
from act_gym.types import Task

__all__ = ["COUNTS", "FOLDERS", "HELD_OUT", "OWN_SPLIT", "TASK_TYPES", "tasks", "tasks_of_files"]

FOLDERS: Mapping[str, str] = {"train": "train", "seen": "valid_seen", "unseen": "valid_unseen"}
"""Folder of the official release with a split's games."""

COUNTS: Mapping[str, int] = {"train": 3553, "seen": 140, "unseen": 134}

OWN_SPLIT = "own"
"""The `split` of tasks in a user's own game files, which belong to no official split."""

TASK_TYPES = (
    "look_at_obj_in_light",
    "pick_and_place_simple",
    "pick_clean_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_two_obj_and_place",
)

HELD_OUT = ("pick_cool_then_place_in_recep", "pick_two_obj_and_place")
"""Task types that `train-seen-types` lacks and `unseen-types` alone has."""

MANIFEST = Path(__file__).with_name("alfworld.txt")
SHA256 = "e31f8eef1c485dc402ded96e02880b6a72361a2e0011c1fb326db02f17ce5596"


def tasks(split: str | None = None) -> tuple[Task, ...]:
    """Return a split's tasks in their frozen order.

    Args:
        split: `train`, `seen` or `unseen`; `train-seen-types` or `unseen-types`; None for all 3,827, each under its own
            split. Or one of those of generated games, see `alfworld_generated.py`.

    Raises:
        CorruptDataError: The manifest does not have the expected sha256.
    """
    if split in alfworld_generated.COUNTS:
        return alfworld_generated.tasks(split)
    return _manifest()[split]


def tasks_of_files(games: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> tuple[Task, ...]:
    """Return the tasks in a user's own game files, sorted by id.

    A task's id is `alfworld/` and the file's path below the given folder, without `.tw-pddl`; a file `game.tw-pddl`
    gets the name of its folder. Its type is that of the nearest folder whose name begins with one of `TASK_TYPES`, else
    `unknown`; its split is `own`.

    Args:
        games: A `.tw-pddl` file, a folder that is searched for them, or several of either.

    Raises:
        UsageError: A path does not exist or has no game, or two games have the same id.
    """
    given = [games] if isinstance(games, str | os.PathLike) else list(games)
    found: dict[str, Path] = {}
    for path, folder in (pair for place in given for pair in _files(Path(place).expanduser().resolve())):
        name = _name(path.relative_to(folder)) or folder.name
        if found.setdefault(name, path) != path:
            raise UsageError(
                f"Two games would be called alfworld/{name}: {found[name]} and {path}. "
                "Give games= a folder that holds both, or rename one."
            )
    if not found:
        raise UsageError("games= names no game: give it a .tw-pddl file, a folder that holds some, or several.")
    return tuple(
        Task(
            id=f"alfworld/{name}",
            benchmark="ALFWorld",
            split=OWN_SPLIT,
            task_type=_type_of(path),
            payload={"file": str(path)},
        )
        for name, path in sorted(found.items())
    )


def _files(place: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the game files of a path, each with the folder where its name begins."""
    ending = PurePath(GAME_FILE).suffix
    if place.is_file() and place.suffix == ending:
        yield place, place.parent
        return
    if not place.is_dir():
        problem = f"{place} is no {ending} file" if place.exists() else f"There is no file or folder {place}"
        raise UsageError(f"{problem}. games= takes {ending} files and folders that hold some.")
    paths = [path for path in place.rglob(f"*{ending}") if path.is_file()]
    if not paths:
        raise UsageError(f"No {ending} file lies in {place} or below it. games= takes such files and their folders.")
    for path in paths:
        yield path, place


def _name(path: PurePath) -> str:
    named = path.parent if path.name == GAME_FILE else path.with_suffix("")
    return "" if named == PurePath() else named.as_posix()


def _type_of(path: Path) -> str:
    nearest = (kind for part in reversed(path.parts) for kind in TASK_TYPES if part.startswith(kind))
    return next(nearest, "unknown")


@cache
def _manifest() -> Mapping[str | None, tuple[Task, ...]]:
    """Return the tasks of every split, and under None all tasks."""
    content = read_checked(MANIFEST, SHA256)
    splits = {folder: split for split, folder in FOLDERS.items()}
    everything = tuple(_task(line, splits) for line in content.decode("ascii").splitlines())
    own = {split: tuple(task for task in everything if task.split == split) for split in FOLDERS}
    types = {
        "train-seen-types": [task for task in own["train"] if task.task_type not in HELD_OUT],
        "unseen-types": [task for task in own["unseen"] if task.task_type in HELD_OUT],
    }
    held = {split: tuple(replace(task, split=split) for task in tasks) for split, tasks in types.items()}
    return {None: everything} | own | held


def _task(line: str, splits: Mapping[str, str]) -> Task:
    folder, game, _ = line.split("/")
    return Task(
        id=f"alfworld/{line}",
        benchmark="ALFWorld",
        split=splits[folder],
        task_type=game.partition("-")[0],
        payload={"game": line},
    )
