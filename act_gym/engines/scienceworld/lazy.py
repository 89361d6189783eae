"""A tuple of strings that is worked out when it is first looked at.

Listing what ScienceWorld accepts costs more than the step before it, and most readers of an `info` never
look. It knows nothing of where its items come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np

__all__ = ["LazyTuple"]


class LazyTuple(Sequence[str]):
    """Reads, compares, hashes and prints like the tuple it stands for; cannot be changed.

    A copy of it, and what comes out of a pickle, is that tuple. `json` takes tuples and lists only:
    `json.dumps(tuple(commands))`.

    Args:
        derive: Returns the items. Called at the first look and, unless it failed, never again, and
            forgotten then, with all that it held on to.
    """

    __slots__ = ("__weakref__", "_derive", "_items")

    def __init__(self, derive: Callable[[], tuple[str, ...]]) -> None:
        self._derive: Callable[[], tuple[str, ...]] | None = derive
        self._items: tuple[str, ...] = ()

    @property
    def derived(self) -> bool:
        """Whether anybody has looked yet."""
        return self._derive is None

    def _all(self) -> tuple[str, ...]:
        derive = self._derive
        if derive is not None:
            self._items = derive()
            self._derive = None  # after the items, for whoever looks from another thread
        return self._items

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __contains__(self, item: object) -> bool:
        return item in self._all()

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self._all()[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LazyTuple):
            return self._all() == other._all()
        return self._all() == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._all())

    def __add__(self, other: tuple[str, ...] | LazyTuple) -> tuple[str, ...]:
        return self._all() + tuple(other) if isinstance(other, tuple | LazyTuple) else NotImplemented

    def __radd__(self, other: tuple[str, ...]) -> tuple[str, ...]:
        return other + self._all() if isinstance(other, tuple) else NotImplemented

    def __repr__(self) -> str:
        return repr(self._all())

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (self._all(),)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        """Give numpy all items at once: `generator.choice(commands)` would ask for one after the other."""
        return np.array(self._all(), dtype=dtype)
