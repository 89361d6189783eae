"""WebShop's splits: the official folds of its shuffled goals, and a pair of seen and unseen kinds of products.

A task is a goal, and its number is WebShop's: `webshop/1000/455` is the goal that WebShop calls session 455. The
goals of the small official catalogue are frozen in `webshop.json`, so that they are listed without the catalogue;
those of another catalogue are counted when it is opened. Kinds are the queries that products were found by when the
catalogue was made, such as `garden/mattresses`; 24 of the 184 that have goals there are held out, and one that only
other catalogues have. They are from all departments, and chosen so that neither the query nor the last part of its path
through the departments connects a product that is held out to one that is not.

| split | goals | tasks of the small catalogue |
|---|---|--:|
| `test`, `dev`, `train` | numbers 0–499, 500–1,499 and from 1,500 | 500, 1,000, 5,410 |
| `train-seen` | of `train`, kinds that are not held out | 4,308 |
| `seen` | of `test`, kinds that `train-seen` has | 397 |
| `unseen` | of `test`, the kinds held out | 95 |

The same three of `catalogue="generated"`, a shop of our own that needs no download, are `generated-train` (2,604),
`generated-seen` (414) and `generated-unseen` (85); what it asks for is frozen in `webshop_generated.txt`.

A product has a goal for every combination of its options, and the shuffle spreads them over the folds, so `seen` asks
mostly for other options of products that `train-seen` has too. `unseen` shares no product and no kind with it.
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

_LONG = 20_000  # tasks; of longer lists each task is made when it is looked at


def tasks(split: str | None = None, *, catalogue: Named = FROZEN, human_goals: bool = False) -> Sequence[Task]:
    """Return a split's tasks in WebShop's order: a tuple, or what reads like one where there are more than 20,000.

    To know which goals are of a kind, `train-seen`, `seen` and `unseen` read every product that has goals.

    Args:
        split: One of `SPLITS`; None for all, each under its official fold.
        catalogue: What is sold, as the engine takes it.
        human_goals: Whether the goals are those that people wrote.

    Raises:
        UnknownNameError: There is no such split.
        CorruptDataError: The manifest is not the one this version was made with.
        MissingDataError: The catalogue is not the small official one and not on this machine.
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
    """Return a split's tasks; without a catalogue those of a split whose name says which one."""
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
    """What a split needs to know of a catalogue's goals: their number, the catalogue's name, and each one's kind."""

    name: str

    def __len__(self) -> int: ...
    def kind(self, number: int) -> str: ...


def _of_split(split: str | None, goals: _Goals) -> Sequence[int]:
    """Return the numbers of a split's goals; of all where it is None."""
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
def _of_shop(catalogue: str, human: bool, folder: Path | None) -> _Goals:  # noqa: ARG001  (a name means another shop there)
    from act_gym.engines.webshop.shop_cache import shared_goals, shared_shop

    shop = shared_shop(catalogue)
    goals = shared_goals(catalogue, human=human)

    class ShopGoals:
        """The goals of an open shop; the kind is that of the product that is wanted, read when it is asked for."""

        name = shop.name if Path(shop.name).name == shop.name else shop.folder.name

        def __len__(self) -> int:
            return len(goals)

        def kind(self, number: int) -> str:
            product = shop.products.product(goals.instruction(number)[1].position)
            return f"{product.category}/{product.query}"

    return ShopGoals()
