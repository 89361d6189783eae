"""WebShop's splits: the official folds of its shuffled goals, and a pair of seen and unseen kinds of products.

A task is a goal, and its number is WebShop's: `webshop/1000/455` is the goal that WebShop calls session 455. The
goals of the small official catalogue are frozen in `webshop.json`, so that they are listed without the catalogue; those
of another catalogue are counted when it is opened. Kinds are the queries that products were found by when the catalogue
was made, such as `garden/mattresses`; 24 of the 184 that have goals there are held out, and one that only other catalogues have.
They are from all departments, and chosen so that neither the query nor the last part of its path through the
departments connects a product that is held out to one that is not.

| split | goals | tasks of the small catalogue |
|---|---|--:|
| `test`, `dev`, `train` | numbers 0–499, 500–1,499 and from 1,500 | 500, 1,000, 5,410 |
| `train-seen` | of `train`, kinds that are not held out | 4,308 |
| `seen` | of `test`, kinds that `train-seen` has | 397 |
| `unseen` | of `test`, the kinds held out | 95 |

A product has a goal for every combination of its options, and the shuffle spreads them over the folds, so `seen` asks
mostly for other options of products that `train-seen` has too. `unseen` shares no product and no kind with it.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from typing import Any

from act_gym.core import Task
from act_gym.engines.webshop.goals import FOLDS, fold_of, order
from act_gym.errors import CorruptDataError, UnknownNameError
from act_gym.paths import data_dir

__all__ = ["FROZEN", "SPLITS", "check_frozen", "held_out", "tasks"]

SPLITS = ("train", "dev", "test", "train-seen", "seen", "unseen")

FROZEN = "1000"
"""The catalogue whose goals are frozen here."""

_SHA256 = "8774b7fee9f25a3046de056550366c5093cf37933d79c1e4bc13e1310a6df978"  # as JSON, keys sorted, no spaces


def tasks(
    split: str | None = None, *, catalogue: str | os.PathLike[str] = FROZEN, human_goals: bool = False
) -> tuple[Task, ...]:
    """Return a split's tasks in WebShop's order.

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
    name = os.fspath(catalogue)
    return _tasks(split, name, bool(human_goals), None if name == FROZEN else data_dir())


def held_out() -> frozenset[str]:
    """Return the kinds of products that only `unseen` (and the official folds) hold, as `department/query`."""
    return frozenset(_manifest()["held_out"])


def check_frozen(found: Sequence[tuple[str, int]], *, human_goals: bool) -> None:
    """Check that a catalogue has the goals that are frozen here.

    Args:
        found: For each product with an instruction, or each instruction of a person, its identifier and how many
            goals it has.
        human_goals: Which goals.

    Raises:
        CorruptDataError: They are others.
    """
    frozen = [(asin, goals) for asin, _, goals in _manifest()["human" if human_goals else "synthetic"]]
    if list(found) != frozen:
        raise CorruptDataError(
            f"The catalogue {FROZEN} on this machine is not the official one of WebShop: it has "
            f"{sum(goals for _, goals in found):,} goals from {len(found):,} instructions, which should be "
            f"{sum(goals for _, goals in frozen):,} from {len(frozen):,}, of certain products. "
            "Run: act-gym download webshop; or give the catalogue's path instead of its name."
        )


@cache
def _manifest() -> Mapping[str, Any]:
    resource = files("act_gym.splits") / "webshop.json"
    content: Mapping[str, Any] = json.loads(resource.read_text(encoding="utf-8"))
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    found = hashlib.sha256(canonical.encode()).hexdigest()
    if found != _SHA256:
        raise CorruptDataError(
            f"{resource} has sha256 {found}; expected {_SHA256}. "
            "Reinstall act-gym: pip install --force-reinstall act-gym"
        )
    return content


@lru_cache(maxsize=4 * len(SPLITS))
def _tasks(split: str | None, catalogue: str, human: bool, folder: Path | None) -> tuple[Task, ...]:
    shop, kinds = _kinds(catalogue, human, folder)
    name = f"{shop}-human" if human else shop
    return tuple(
        Task(
            id=f"webshop/{name}/{index}",
            benchmark="WebShop",
            split=split or fold_of(index),
            task_type=kinds[index].partition("/")[0],
            payload={"goal": index},
        )
        for index in _of_split(split, kinds)
    )


def _of_split(split: str | None, kinds: Sequence[str]) -> Iterator[int]:
    """Yield the numbers of a split's goals.

    Args:
        split: Which; None for all.
        kinds: The kind of every goal, in WebShop's order.
    """
    fold = {"train-seen": "train", "seen": "test", "unseen": "test"}.get(split or "", split)
    start, stop = FOLDS[fold] if fold else (0, None)
    numbers = range(start, len(kinds))[: None if stop is None else max(stop - start, 0)]
    if split == fold:
        yield from numbers
        return
    unseen = held_out()
    known = set(kinds[FOLDS["train"][0] :]) - unseen
    wanted = unseen if split == "unseen" else known
    yield from (number for number in numbers if kinds[number] in wanted)


@lru_cache(maxsize=4)
def _kinds(catalogue: str, human: bool, folder: Path | None) -> tuple[str, Sequence[str]]:  # noqa: ARG001  (of a folder)
    """Return a catalogue's name and the kind of each of its goals, in WebShop's order."""
    if catalogue == FROZEN:
        name, sources = FROZEN, [(kind, goals) for _, kind, goals in _manifest()["human" if human else "synthetic"]]
    else:
        from act_gym.engines.webshop.shops import shared_shop

        shop = shared_shop(catalogue)
        name, sources = shop.name, []
        for instruction in shop.instructions(human):
            product = shop.products.product(instruction.position)
            sources.append((f"{product.category}/{product.query}", instruction.goals))
    ends = list(accumulate(goals for _, goals in sources))
    places = order(ends[-1] if ends else 0)
    return name, [sources[bisect_right(ends, place)][0] for place in places]
