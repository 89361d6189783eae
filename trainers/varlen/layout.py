"""Layout of a row of tokens: its sequences, and the attention masks between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from trainers.varlen.sequences import Sequences

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """The sequences of one row of tokens, from its beginning to its end.

    Attributes:
        parts: Sequences, side by side.
        asked: Which of the row's places predict a next token, shape (S,); None for all. The model's head, with its
            vocabulary of a hundred thousand tokens, is computed for these alone.
    """

    parts: Sequence[Sequences]
    asked: torch.Tensor | None = field(default=None, compare=False)
    _made: dict[tuple[Any, ...], torch.Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def tokens(self) -> int:
        """The row's tokens."""
        return sum(sum(part.tokens) for part in self.parts)

    @property
    def pairs(self) -> float:
        """Pairs of tokens that attention computes."""
        return sum(part.pairs for part in self.parts)

    def ahead(self, length: int, window: int, device: torch.device) -> torch.Tensor:
        """Return the causal mask of a start within a window, as booleans of shape (1, 1, length, length)."""
        key = ("start", length, window, device)
        if key not in self._made:
            at = torch.arange(length, device=device)
            self._made[key] = _near(at[:, None], at[None, :], window)[None, None]
        return self._made[key]

    def branches(self, part: Sequences, window: int, device: torch.device) -> torch.Tensor:
        """Return the attention mask of continuations that follow different places of a start.

        Returns:
            Booleans of shape (continuations, 1, longest, start + longest).
        """
        key = ("branches", part, window, device)
        if key not in self._made:
            after = torch.tensor(part.after, device=device)[:, None, None]
            here = torch.arange(max(part.continuations), device=device)[:, None]
            start = torch.arange(part.start, device=device).expand(1, 1, -1)
            ahead = (start < after) & _near(after + here, start, window)
            own = _near(here, here.T, window).expand(len(part.after), -1, -1)
            self._made[key] = torch.cat([ahead, own], dim=-1)[:, None]
        return self._made[key]

    def behind(self, start: int, longest: int, window: int, device: torch.device) -> torch.Tensor:
        """Return the attention mask of a continuation over the start and itself: (1, 1, longest, start + longest).

        Args:
            start: Tokens of the start.
            longest: Tokens of the continuation.
            window: How many tokens back are seen, itself included; 0 for all.
            device: Where the mask is needed.
        """
        key = ("continuation", start, longest, window, device)
        if key not in self._made:
            at = torch.arange(start + longest, device=device)
            self._made[key] = _near(at[start:, None], at[None, :], window)[None, None]
        return self._made[key]

    def places(self, lengths: tuple[int, ...], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices that pad continuations to the longest, and the indices that undo it."""
        if ("out", lengths, device) not in self._made:
            count, longest = len(lengths), max(lengths)
            ends = torch.tensor(lengths).cumsum(dim=0)
            at = torch.arange(longest).expand(count, -1)
            real = at < torch.tensor(lengths)[:, None]
            # Padding repeats the first token; no real token attends to it.
            out = (at + (ends - torch.tensor(lengths))[:, None]).where(real, 0).flatten()
            self._made["out", lengths, device] = out.to(device)
            self._made["back", lengths, device] = real.flatten().nonzero()[:, 0].to(device)
        return self._made["out", lengths, device], self._made["back", lengths, device]


def _near(here: torch.Tensor, there: torch.Tensor, window: int) -> torch.Tensor:
    back = here - there
    return (back >= 0) & (back < window) if window else back >= 0
