"""Gymnasium space of observations and actions: any Unicode string.

`gymnasium.spaces.Text` needs a character set and refuses other characters. Simulators and models may write any
character, so this space contains every string. Vector environments keep observations in shared memory, here as UTF-8
bytes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from ctypes import c_uint8
from types import ModuleType
from typing import Any, overload

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import (
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

from act_gym.errors import EngineError

__all__ = ["UnicodeText"]

_LENGTH_BYTES = 4


class UnicodeText(spaces.Text):
    """Space of all Unicode strings; `max_length` bounds samples and shared memory, not membership.

    Args:
        max_length: Longest sample in characters, and bytes for one observation in the
            shared memory of an asynchronous vector environment.
    """

    def __init__(self, max_length: int = 65_536, *, seed: int | None = None) -> None:
        super().__init__(max_length, min_length=0, seed=seed)

    def contains(self, x: Any) -> bool:
        """Return whether `x` is a string."""
        return isinstance(x, str)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Return a short random string of letters and digits."""
        if mask is None and probability is None:
            length = int(self.np_random.integers(1, min(33, self.max_length + 1)))
            mask = (length, None)
        return super().sample(mask=mask, probability=probability)

    def __repr__(self) -> str:
        return f"AnyText({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and other.max_length == self.max_length

    __hash__ = None  # type: ignore[assignment]


@create_shared_memory.register(UnicodeText)
def _create(space: UnicodeText, n: int = 1, ctx: ModuleType = multiprocessing) -> Any:
    return ctx.Array(c_uint8, n * (space.max_length + _LENGTH_BYTES))


def _rows(space: UnicodeText, shared_memory: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    flat = np.frombuffer(shared_memory.get_obj(), dtype=np.uint8)
    return flat.reshape(-1, space.max_length + _LENGTH_BYTES)  # (n, length + bytes)


@write_to_shared_memory.register(UnicodeText)
def _write(space: UnicodeText, index: int, value: str, shared_memory: Any) -> None:
    data = value.encode("utf-8", "surrogatepass")
    if len(data) > space.max_length:
        raise EngineError(
            f"An observation of {len(data):,} bytes does not fit the shared memory of "
            f"{space.max_length:,} bytes. Make the vector environment with shared_memory=False."
        )
    row = _rows(space, shared_memory)[index]
    row[:_LENGTH_BYTES] = np.frombuffer(len(data).to_bytes(_LENGTH_BYTES, "little"), np.uint8)
    row[_LENGTH_BYTES : _LENGTH_BYTES + len(data)] = np.frombuffer(data, np.uint8)


@read_from_shared_memory.register(UnicodeText)
def _read(space: UnicodeText, shared_memory: Any, n: int = 1) -> Sequence[str]:
    return _Observations(_rows(space, shared_memory)[:n])


class _Observations(Sequence[str]):
    """Live view of the observations in shared memory.

    Gymnasium reads the memory once and expects a view, as with arrays. Its own `Text` gives a tuple of strings (1.4.0),
    which would show the content from before the first reset forever. The copy that Gymnasium returns after each step is
    a tuple.
    """

    def __init__(self, rows: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self)[index]
        row = self._rows[index]
        length = int.from_bytes(row[:_LENGTH_BYTES].tobytes(), "little")
        data: bytes = row[_LENGTH_BYTES : _LENGTH_BYTES + length].tobytes()
        return data.decode("utf-8", "surrogatepass")

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return repr(tuple(self))
