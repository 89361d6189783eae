"""Frozen WebShop goals: kinds and numbers that are known without a catalogue.

Those of the small official catalogue are in `webshop.json`, those of the generated one in `webshop_generated.txt`. When
one of these catalogues is opened, its goals are checked against these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from act_gym.engines.webshop.goals import order
from act_gym.errors import CorruptDataError
from act_gym.splits.manifests import read_checked, read_frozen

__all__ = [
    "FROZEN",
    "GENERATED",
    "FrozenGoals",
    "check_frozen",
    "check_generated",
    "frozen",
    "frozen_generated",
    "held_out",
]

FROZEN = "1000"
"""Name of the catalogue whose goals are frozen here."""

GENERATED = "generated"
"""Name of the catalogue of the splits `generated-…`."""

# one line per product with goals: their number, and its kind
_GENERATED_FILE = Path(__file__).with_name("webshop_generated.txt")
_GENERATED_SHA256 = "7804314865b2655ff709b94e01234800788d02bfda37e074ff5b6ea973244de9"

_SHA256 = "8774b7fee9f25a3046de056550366c5093cf37933d79c1e4bc13e1310a6df978"  # as JSON, keys sorted, no spaces


def held_out() -> frozenset[str]:
    """Return the held-out kinds, which only `unseen` and the official folds contain, as `department/query`."""
    return frozenset(_manifest()["held_out"])


def check_frozen(found: Sequence[tuple[str, int]], *, human_goals: bool) -> None:
    """Check that a catalogue has the frozen goals.

    Args:
        found: For each product with an instruction, or each human instruction, its identifier and number of goals.
        human_goals: Whether the goals are the human ones.

    Raises:
        CorruptDataError: The goals differ.
    """
    expected = [(asin, goals) for asin, _, goals in _manifest()["human" if human_goals else "synthetic"]]
    if list(found) != expected:
        raise CorruptDataError(
            f"The catalogue {FROZEN} on this machine is not the official one of WebShop: it has "
            f"{sum(goals for _, goals in found):,} goals from {len(found):,} instructions, which should be "
            f"{sum(goals for _, goals in expected):,} from {len(expected):,}, of certain products. "
            "Run: act-gym download webshop; or give the catalogue's path instead of its name."
        )


def check_generated(found: Sequence[tuple[str, int]], folder: Path) -> None:
    """Check that a generated shop has the frozen goals.

    Args:
        found: For each product with an instruction, its kind and number of goals.
        folder: The shop's folder.

    Raises:
        CorruptDataError: The goals differ.
    """
    if list(found) != list(_generated_entries()):
        raise CorruptDataError(
            f"The generated shop in {folder} was made by another version of act-gym: its goals are not those of the "
            f"splits. Delete it, and it is made again: rm -r {folder}"
        )


@lru_cache(maxsize=2)
def frozen(human: bool) -> FrozenGoals:
    """Return the goals of the small official catalogue, or the human ones for it."""
    entries = _manifest()["human" if human else "synthetic"]
    return FrozenGoals(FROZEN, ((kind, goals) for _, kind, goals in entries))


@cache
def frozen_generated() -> FrozenGoals:
    """Return the goals of the generated catalogue."""
    return FrozenGoals(GENERATED, _generated_entries())


class FrozenGoals:
    """Goals of a catalogue whose kinds are known without it.

    Args:
        name: The catalogue's name.
        entries: The kind and number of goals of each product with goals, in the order of the catalogue.
    """

    def __init__(self, name: str, entries: Iterable[tuple[str, int]]) -> None:
        self.name = name
        kinds = [kind for kind, goals in entries for _ in range(goals)]
        self._kinds: list[str] = [kinds[place] for place in order(len(kinds))]

    def __len__(self) -> int:
        return len(self._kinds)

    def kind(self, number: int) -> str:
        """Return the kind of a goal's product, as `department/query`."""
        return self._kinds[number]


@cache
def _manifest() -> Mapping[str, Any]:
    return read_frozen("webshop.json", _SHA256)


@cache
def _generated_entries() -> Sequence[tuple[str, int]]:
    content = read_checked(_GENERATED_FILE, _GENERATED_SHA256)
    lines = (line.partition(" ") for line in content.decode("utf-8").splitlines())
    return [(kind, int(goals)) for goals, _, kind in lines]
