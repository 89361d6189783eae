"""WebShop's splits: the official folds of its shuffled goals, and a pair of seen and unseen kinds of products.

A task is a goal with WebShop's own number: `webshop/1000/455` is WebShop's session 455. The goals of the small official
catalogue are frozen in `webshop.json`, so listing them needs no catalogue; those of another catalogue are counted when
it is opened. A kind is the query that found a product when the catalogue was made, such as `garden/mattresses`. Of the
184 kinds with goals there, 24 are held out, and one more of other catalogues. They cover all departments and were
chosen so that no held-out product shares its query, or the last part of its department path, with any other product.

| split | goals | tasks of the small catalogue | |---|---|--:| | `test`, `dev`, `train` | numbers 0–499, 500–1,499 and
from 1,500 | 500, 1,000, 5,410 | | `train-seen` | of `train`, kinds that are not held out | 4,308 | | `seen` | of
`test`, kinds that `train-seen` has | 397 | | `unseen` | of `test`, the kinds held out | 95 |

The same three splits of `catalogue="generated"`, a generated shop that needs no download, are `generated-train`
(2,604), `generated-seen` (414) and `generated-unseen` (85); their goals are frozen in `webshop_generated.txt`.

A product has a goal for every combination of its options, and the shuffle spreads them over the folds, so `seen` mostly
has other options of products that are also in `train-seen`. `unseen` shares no product and no kind with it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from act_gym.engines.webshop.goals import FOLDS, fold_of
from act_gym.engines.webshop.shop_names import Named, name_of
from act_gym.errors import UnknownNameError, UsageError
from act_gym.paths import data_dir
from act_gym.sampling import LazyTaskList
from act_gym.splits.webshop_goals import FROZEN, GENERATED, frozen, frozen_generated, held_out
from act_gym.types import Task

__all__ = ["SPLITS", "tasks"]

SPLITS = (
    "train",
    "dev",
    "test",
    "train-seen",
    "seen",
    "unseen",
    "generated-train",
    "generated-seen",
    "generated-unseen",
)

_GENERATED_PART = {"generated-train": "train-seen", "generated-seen": "seen", "generated-unseen": "unseen"}

_LONG = 20_000  # tasks; longer lists are lazy


def tasks(split: str | None = None, *, catalogue: Named = FROZEN, human_goals: bool = False) -> Sequence[Task]:
    """Return a split's tasks in WebShop's order: a tuple, or a lazy sequence if there are more than 20,000.

    `train-seen`, `seen` and `unseen` read every product that has goals, to find its kind.

    Args:
        split: One of `SPLITS`; None for all, each under its official fold.
        catalogue: The catalogue, as for the engine.
        human_goals: Whether to use the goals written by people.

    Raises:
        UnknownNameError: The split does not exist.
        CorruptDataError: The manifest does not have the expected sha256.
        MissingDataError: The catalogue is neither the small official one nor on this machine.
    """
    if split is not None and split not in SPLITS:
        raise UnknownNameError("split of WebShop", split, SPLITS)
    name = name_of(catalogue)
    if split in _GENERATED_PART:
        if name not in (FROZEN, GENERATED) or human_goals:
            raise UsageError(
                f"{split} is of the catalogue {GENERATED}, which has no goals that people wrote; got "
                f"catalogue={name!r}, human_goals={human_goals!r}."
            )
        return _tasks(split, "", False, None)
    return _tasks(split, name, bool(human_goals), None if name == FROZEN else data_dir())


@lru_cache(maxsize=4 * len(SPLITS))
def _tasks(split: str | None, catalogue: str, human: bool, folder: Path | None) -> Sequence[Task]:
    """Return a split's tasks; without a catalogue, those of a split whose name implies one."""
    payload = {} if catalogue else {"catalogue": GENERATED}
    goals: _Goals
    if not catalogue:
        goals = frozen_generated()
    else:
        goals = frozen(human) if catalogue == FROZEN else _of_shop(catalogue, human, folder)
    prefix = f"webshop/{goals.name}-human/" if human else f"webshop/{goals.name}/"

    def make(number: int) -> Task:
        return Task(
            id=f"{prefix}{number}",
            benchmark="WebShop",
            split=split or fold_of(number),
            task_type=goals.kind(number).partition("/")[0],
            payload={"goal": number, **payload},
        )

    def number_of(task_id: str) -> int | None:
        number = task_id.removeprefix(prefix)
        return int(number) if task_id.startswith(prefix) and number.isdecimal() and number.isascii() else None

    numbers = _of_split(_GENERATED_PART.get(split or "", split), goals)
    return LazyTaskList(numbers, make, number_of) if len(numbers) > _LONG else tuple(map(make, numbers))


class _Goals(Protocol):
    """Interface of a catalogue's goals: their number, the catalogue's name, and the kind of each."""

    name: str

    def __len__(self) -> int: ...
    def kind(self, number: int) -> str: ...


def _of_split(split: str | None, goals: _Goals) -> Sequence[int]:
    """Return the numbers of a split's goals; of all goals if the split is None."""
    fold = {"train-seen": "train", "seen": "test", "unseen": "test"}.get(split or "", split)
    start, stop = FOLDS[fold] if fold else (0, None)
    numbers = range(len(goals))[start:stop]
    if split == fold:
        return numbers
    unseen = held_out()
    if split == "unseen":
        return array("I", (number for number in numbers if goals.kind(number) in unseen))
    kinds = {goals.kind(number) for number in range(len(goals))[FOLDS["train"][0] :]} - unseen
    return array("I", (number for number in numbers if goals.kind(number) in kinds))


@lru_cache(maxsize=8)
def _of_shop(catalogue: str, human: bool, folder: Path | None) -> _Goals:  # noqa: ARG001  (a name means a different shop there)
    from act_gym.engines.webshop.shop_cache import shared_goals, shared_shop

    shop = shared_shop(catalogue)
    goals = shared_goals(catalogue, human=human)

    class ShopGoals:
        """Goals of an open shop; the kind of the target product is read on demand."""

        name = shop.name if Path(shop.name).name == shop.name else shop.folder.name

        def __len__(self) -> int:
            return len(goals)

        def kind(self, number: int) -> str:
            product = shop.products.product(goals.instruction(number)[1].position)
            return f"{product.category}/{product.query}"

    return ShopGoals()
