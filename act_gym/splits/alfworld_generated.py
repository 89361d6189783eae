"""The splits of generated ALFWorld games: 3,000 for training, 150 in the same rooms, 150 in others.

`act_gym.engines.alfworld.generate` makes a game from its split and number, with no upper limit. The number of games of
each split and their goals are frozen here: `alfworld_generated.txt` has one line `<split>/<game>` each, a split's n-th
line for its game n. So tasks are listed without making a game and without the alfworld package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import count
from pathlib import Path

from act_gym.errors import UnknownNameError
from act_gym.splits.manifests import read_checked
from act_gym.types import Task

__all__ = ["COUNTS", "tasks"]

COUNTS: Mapping[str, int] = {"generated-train": 3000, "generated-seen": 150, "generated-unseen": 150}

MANIFEST = Path(__file__).with_name("alfworld_generated.txt")
SHA256 = "dfcca9da6acb5ee92bab1c8366f23ff7fc255a403da9520ee704fcc272d19238"


def tasks(split: str | None = None) -> tuple[Task, ...]:
    """Return a split's tasks in their frozen order.

    Args:
        split: `generated-train`, `generated-seen` or `generated-unseen`; None for all 3,300, each under its own split.

    Raises:
        UnknownNameError: The split does not exist.
        CorruptDataError: The manifest does not have the expected sha256.
    """
    if split is not None and split not in COUNTS:
        raise UnknownNameError("split of generated ALFWorld games", split, COUNTS)
    everything = _manifest()
    return everything if split is None else tuple(task for task in everything if task.split == split)


@cache
def _manifest() -> tuple[Task, ...]:
    content = read_checked(MANIFEST, SHA256)
    numbers = {split.removeprefix("generated-"): count() for split in COUNTS}
    return tuple(_task(line, numbers) for line in content.decode("ascii").splitlines())


def _task(line: str, numbers: Mapping[str, Iterator[int]]) -> Task:
    rooms, game = line.split("/")
    number = next(numbers[rooms])
    return Task(
        id=f"alfworld/generated-{rooms}/{game}/{number}",
        benchmark="ALFWorld",
        split=f"generated-{rooms}",
        task_type=game.partition("-")[0],
        payload={"generated": f"{rooms}/{number}"},
    )
