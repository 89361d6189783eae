"""What a row of tokens is made of, and what of it is seen from where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from trainers.varlen.sequences import Sequences

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """What one row of tokens is made of, from its beginning to its end.

    Attributes:
        parts: Sequences, side by side.
        asked: Which of the row's places a next token is asked of, shape (S,); None for all. What comes after the
            layers, a head of a hundred thousand words, is computed for these alone.
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
        """Return what tokens of a start see through a window, as booleans of shape (1, 1, length, length)."""
        key = ("start", length, window, device)
        if key not in self._made:
            at = torch.arange(length, device=device)
            self._made[key] = _near(at[:, None], at[None, :], window)[None, None]
        return self._made[key]

    def branches(self, part: Sequences, window: int, device: torch.device) -> torch.Tensor:
        """Return what continuations see that follow different places of a start.

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
        """Return what tokens of a continuation see of the start and of itself, shape (1, 1, longest, start + longest).

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
        """Return where continuations' tokens are found when all are made as long as the longest, and the way back."""
        if ("out", lengths, device) not in self._made:
            count, longest = len(lengths), max(lengths)
            ends = torch.tensor(lengths).cumsum(dim=0)
            at = torch.arange(longest).expand(count, -1)
            real = at < torch.tensor(lengths)[:, None]
            # What is made longer is filled with the first token; nobody real looks at it.
            out = (at + (ends - torch.tensor(lengths))[:, None]).where(real, 0).flatten()
            self._made["out", lengths, device] = out.to(device)
            self._made["back", lengths, device] = real.flatten().nonzero()[:, 0].to(device)
        return self._made["out", lengths, device], self._made["back", lengths, device]


def _near(here: torch.Tensor, there: torch.Tensor, window: int) -> torch.Tensor:
    back = here - there
    return (back >= 0) & (back < window) if window else back >= 0
