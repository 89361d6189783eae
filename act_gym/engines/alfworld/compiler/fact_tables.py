"""Fact tables: one set per predicate, and an index for each look-up of the compiled game.

Tables are immutable: `add` and `remove` put new sets and dictionaries into the given list. So a state is a list of
tables, copying it copies a short list, and states share equal tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from act_gym.engines.alfworld.language.conditions import Fact

__all__ = ["Changes", "Layout", "Tables", "add", "remove"]

Tables = list[Any]
"""Sets of facts and dictionaries from a key to the sorted rest; a fact of one argument is a bare string."""

_Part = Callable[[Fact], Any]


@dataclass(frozen=True, slots=True)
class Changes:
    """Slots of a predicate's facts in the tables of a state.

    Attributes:
        facts: Slot of the set.
        indexes: Slot, key and rest of every index.
    """

    facts: int
    indexes: tuple[tuple[int, _Part, _Part], ...]


@dataclass(slots=True)
class Layout:
    """Gives every table its slot, and fills them with facts.

    Static predicates, which no action changes, have tables of their own, shared by all states of a game.

    Attributes:
        fluents: Predicates that actions change.
    """

    fluents: frozenset[str]
    _static: dict[tuple[str, tuple[int, ...] | None], int] = field(default_factory=dict)
    _fluent: dict[tuple[str, tuple[int, ...] | None], int] = field(default_factory=dict)

    def name(self, predicate: str, given: tuple[int, ...] | None) -> str:
        """Return what generated code calls a table.

        Args:
            predicate: Whose facts.
            given: The positions that make the key of an index; None for the set.
        """
        kept = self._fluent if predicate in self.fluents else self._static
        slot = kept.setdefault((predicate, given), len(kept))
        return f"{'facts' if predicate in self.fluents else 'fixed'}[{slot}]"

    def changes(self, arity: Mapping[str, int]) -> dict[str, Changes]:
        """Return the slots of every fluent's facts, after all tables have been named."""
        for predicate in sorted(self.fluents):
            self.name(predicate, None)
        return {
            predicate: Changes(
                facts=self._fluent[predicate, None],
                indexes=tuple(
                    (slot, _part(given), _part(_rest(given, arity[predicate])))
                    for (owner, given), slot in self._fluent.items()
                    if owner == predicate and given is not None
                ),
            )
            for predicate in self.fluents
        }

    def static_tables(self, facts: Mapping[str, Iterable[Fact]]) -> Tables:
        """Fill the tables of the static predicates."""
        return _fill(self._static, facts)

    def fluent_tables(self, facts: Mapping[str, Iterable[Fact]]) -> Tables:
        """Fill the tables of the fluents."""
        return _fill(self._fluent, facts)


def add(tables: Tables, changes: Changes, fact: Fact) -> None:
    """Add a fact; replaces its tables in the list."""
    item = fact[0] if len(fact) == 1 else fact
    if item in tables[changes.facts]:
        return
    tables[changes.facts] = tables[changes.facts] | {item}
    for slot, key, rest in changes.indexes:
        index = tables[slot].copy()
        index[key(fact)] = tuple(sorted((*index.get(key(fact), ()), rest(fact))))
        tables[slot] = index


def remove(tables: Tables, changes: Changes, fact: Fact) -> None:
    """Remove a fact; replaces its tables in the list."""
    item = fact[0] if len(fact) == 1 else fact
    if item not in tables[changes.facts]:
        return
    tables[changes.facts] = tables[changes.facts] - {item}
    for slot, key, rest in changes.indexes:
        index = tables[slot].copy()
        left = rest(fact)
        index[key(fact)] = tuple(other for other in index[key(fact)] if other != left)
        tables[slot] = index


def _fill(slots: Mapping[tuple[str, tuple[int, ...] | None], int], facts: Mapping[str, Iterable[Fact]]) -> Tables:
    tables: Tables = []
    for predicate, given in slots:
        known = facts.get(predicate, ())
        if given is None:
            tables.append(frozenset(fact[0] if len(fact) == 1 else fact for fact in known))
            continue
        index: dict[Any, list[Any]] = {}
        if known:
            arity = len(next(iter(known)))
            key, rest = _part(given), _part(_rest(given, arity))
            for fact in known:
                index.setdefault(key(fact), []).append(rest(fact))
        tables.append({key: tuple(sorted(rests)) for key, rests in index.items()})
    return tables


def _rest(given: tuple[int, ...], arity: int) -> tuple[int, ...]:
    return tuple(position for position in range(arity) if position not in given)


def _part(positions: tuple[int, ...]) -> _Part:
    """Return what takes these positions out of a fact: one as it is, several as a tuple."""
    return itemgetter(*positions) if positions else _nothing


def _nothing(_: Fact) -> Fact:
    return ()
