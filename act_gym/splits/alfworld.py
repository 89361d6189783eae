"""ALFWorld's splits: 3,553 training games, 140 in rooms seen in training, 134 in unseen rooms.

The games are those of the official release `json_2.1.1`, frozen in `alfworld.txt`, one line
`<folder>/<game>/<trial>` each, sorted. The release's 200 `valid_train` games are left out: they are
training rooms under another name, no published result is on them, and they are in no split here.
Upstream lists games in the order of the file system, so its n-th game differs between machines; here
it does not. Nothing in this module looks at the games themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from act_gym.core import Task
from act_gym.errors import CorruptDataError

__all__ = ["COUNTS", "FOLDERS", "TASK_TYPES", "tasks"]

FOLDERS: Mapping[str, str] = {"train": "train", "seen": "valid_seen", "unseen": "valid_unseen"}
"""The folder of the official release that holds a split's games."""

COUNTS: Mapping[str, int] = {"train": 3553, "seen": 140, "unseen": 134}

TASK_TYPES = (
    "look_at_obj_in_light",
    "pick_and_place_simple",
    "pick_clean_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_two_obj_and_place",
)

MANIFEST = Path(__file__).with_name("alfworld.txt")
SHA256 = "e31f8eef1c485dc402ded96e02880b6a72361a2e0011c1fb326db02f17ce5596"


def tasks(split: str | None = None) -> tuple[Task, ...]:
    """Return a split's tasks in their frozen order.

    Args:
        split: `train`, `seen` or `unseen`; None for all 3,827, each under its own split.

    Raises:
        CorruptDataError: The manifest is not the one this version was made with.
    """
    everything = _manifest()
    return everything if split is None else tuple(task for task in everything if task.split == split)


@cache
def _manifest() -> tuple[Task, ...]:
    content = MANIFEST.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise CorruptDataError(
            f"{MANIFEST} has sha256 {found}; expected {SHA256}. Run: pip install --force-reinstall act-gym"
        )
    splits = {folder: split for split, folder in FOLDERS.items()}
    return tuple(_task(line, splits) for line in content.decode("ascii").splitlines())


def _task(line: str, splits: Mapping[str, str]) -> Task:
    folder, game, _ = line.split("/")
    return Task(
        id=f"alfworld/{line}",
        benchmark="ALFWorld",
        split=splits[folder],
        task_type=game.partition("-")[0],
        payload={"game": line},
    )
