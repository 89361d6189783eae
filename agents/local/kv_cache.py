"""KV cache with a slot for each running episode.

Every slot holds one text from its first token on. Rows need no common padding, a finished row frees its slot without
copying, and the next prompt of an episode reuses the prefix of the last one. `agents.local.scheduler` drives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

__all__ = ["SlotCache"]

_GROWTH = 256  # columns grow in such steps, so that memory follows the longest text and copies are rare
# Attention reads a multiple of so many columns: a CPU prepares and keeps kernels for each size.
_SEEN = 128


class SlotCache(Cache):
    """KV cache of all layers.

    `aim` sets the columns of the tokens before each forward pass. The caller passes mask and positions to the model,
    because only the caller knows the content of a row's columns.

    Args:
        slots: The number of texts.
        layers: The number of layers of the model.
    """

    def __init__(self, slots: int, layers: int) -> None:
        self._own = [_Layer(slots) for _ in range(layers)]
        super().__init__(layers=list(self._own))

    def aim(self, lines: Sequence[int], starts: torch.Tensor, tokens: int) -> int:
        """Set the slots and columns of the next forward pass.

        Args:
            lines: The slot of each row, ascending.
            starts: The column of each row's first token. Shape (B,).
            tokens: Tokens of each row, padding included: W.

        Returns:
            The number of columns that attention reads, a few of them empty.
        """
        columns = starts[:, None] + torch.arange(tokens)
        width = -(-(int(columns.max()) + 1) // _SEEN) * _SEEN
        whole = list(lines) == list(range(len(lines)))
        for layer in self._own:
            layer.aim(torch.tensor(lines), columns, width, whole)
        return width


class _Layer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, each of shape (slots, heads, columns, size)."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, slots: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.slots = slots
        self.width = 0

    def aim(self, lines: torch.Tensor, columns: torch.Tensor, width: int, whole: bool) -> None:
        self.lines, self.columns, self.width, self.whole = lines, columns, width, whole

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = self._room(key_states)
        self.values = self._room(value_states)
        self.is_initialized = True

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store keys and values of the new tokens, and return those of the rows, (B, heads, width, size)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self.keys.shape[2] < self.width:
            self.keys, self.values = self._grown(self.keys), self._grown(self.values)
        lines, columns = self.lines.to(self.keys.device), self.columns.to(self.keys.device)
        # Indices around a slice put the slice last: (B, W, heads, size).
        self.keys[lines[:, None], :, columns] = key_states.transpose(1, 2)
        self.values[lines[:, None], :, columns] = value_states.transpose(1, 2)
        if self.whole:  # no copy if the rows are the first slots in order
            return self.keys[: len(lines), :, : self.width], self.values[: len(lines), :, : self.width]
        return self.keys[lines, :, : self.width], self.values[lines, :, : self.width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002
        return self.width, 0

    def get_seq_length(self) -> int:
        return self.width

    def get_max_length(self) -> int:
        return -1

    def _room(self, states: torch.Tensor) -> torch.Tensor:
        # Zeros, because unwritten columns are hidden by a mask, and NaN times zero is NaN.
        return states.new_zeros(self.slots, states.shape[1], _rounded(self.width), states.shape[3])

    def _grown(self, held: torch.Tensor) -> torch.Tensor:
        grown = held.new_zeros(*held.shape[:2], _rounded(self.width), held.shape[3])
        grown[:, :, : held.shape[2]] = held
        return grown


def _rounded(columns: int) -> int:
    return -(-columns // _GROWTH) * _GROWTH
