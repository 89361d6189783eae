"""Runs a model for many episodes at once, each at its own place in its own reply.

An episode's work, a reply to sample or commands to rank, has a slot of the cache. Each forward pass either reads
prompts of new episodes, or takes every episode that is read one step further. Work that is done leaves its slot at
once. Prompts wait until there are enough of them for a pass, for a pass costs much the same for one as for a few.

A step may hold drafted tokens, which a work guesses (speculative decoding): the work keeps those that it would have
written, so drafts save passes and change no reply.

A slot keeps the text that it held last. Of a new prompt only what follows the longest common beginning is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from agents.local.kv_cache import SlotCache
from agents.local.model_support import folding_heads

__all__ = ["Decoder", "Step", "Work"]

# Tokens of prompts read in one forward pass: a CPU gains nothing from more, and padding is work.
_READ_TOKENS = {"cpu": 512, "other": 8192}
# Prompts are read once this many tokens wait, or as many works as are running.
_READ_LEAST = {"cpu": 256, "other": 2048}
# A CPU runs a few dozen tokens for little more than one; a GPU runs a thousand.
_STEP_TOKENS = {"cpu": 48, "other": 1024}


@dataclass(frozen=True)
class Step:
    """Tokens of one row to run next, N of them; they see what the slot holds, `visible`, and themselves.

    Attributes:
        tokens: The tokens.
        positions: Their places in the text, from 0.
        visible: Columns that each sees besides those the slot holds.
        scratch: Columns between what the slot holds and these tokens that are in use.
        keep: Whether they continue the text that the slot holds. Each then sees those before it, and all stay but the
            last `Work.rejected`.
    """

    tokens: list[int]
    positions: list[int]
    visible: Sequence[Sequence[int]] = ()
    scratch: int = 0
    keep: bool = False


class Work(Protocol):
    """What an episode wants of the model."""

    @property
    def prompt(self) -> Sequence[int]:
        """The tokens that are read first."""
        ...

    tail: int
    """Logits after how many of the prompt's last tokens `begin` gets."""

    rejected: int
    """How many of the last tokens that were run, of the prompt or of a step that is kept, do not stay."""

    @property
    def done(self) -> bool:
        """Whether nothing is left to run."""
        ...

    def begin(self, logits: torch.Tensor) -> None:
        """Take the logits after the prompt's last tokens. Shape (tail, V)."""
        ...

    def step(self, budget: int) -> Step:
        """Return the tokens to run next, about `budget` at most."""
        ...

    def take(self, logits: torch.Tensor) -> None:
        """Take the logits after the step's tokens. Shape (N, V)."""
        ...


class Decoder:
    """Drives the work of several episodes through one model.

    Args:
        model: A causal language model of transformers whose attention takes a mask of four dimensions.
        slots: How many episodes there are at once; memory grows with it and with the longest text.
        reuse: Whether the beginning that a prompt shares with the slot's last text is not read again.
    """

    def __init__(self, model: Any, slots: int, *, reuse: bool = True) -> None:
        self.model = model
        self.reuse = reuse
        self.device = model.device
        self.read_tokens = self.reused_tokens = 0
        kind = "cpu" if self.device.type == "cpu" else "other"
        self._read_limit, self._read_least, self._step_limit = _READ_TOKENS[kind], _READ_LEAST[kind], _STEP_TOKENS[kind]
        self._cache = SlotCache(slots, model.config.get_text_config().num_hidden_layers)
        self._held: list[list[int]] = [[] for _ in range(slots)]
        self._unread: dict[int, Work] = {}
        self._common: dict[int, int] = {}  # tokens at the beginning of each unread prompt that its slot holds
        self._running: dict[int, Work] = {}

    def put(self, slot: int, work: Work) -> None:
        """Give an empty slot its next work."""
        self._unread[slot] = work
        self._common[slot] = self._shared(slot, work.prompt, work.tail)

    def drop(self) -> None:
        """Forget all work; a forward pass that failed may have left a slot half written, so the texts too."""
        self._unread.clear()
        self._common.clear()
        self._running.clear()
        self._held = [[] for _ in self._held]

    @torch.inference_mode()
    def advance(self) -> list[int]:
        """Run the model once and return the slots whose work is done now, which are empty again."""
        ran = self._read() if self._enough_unread() else self._step()
        done = [slot for slot in ran if self._running[slot].done]
        for slot in done:
            del self._running[slot]
        return done

    def _enough_unread(self) -> bool:
        """Return whether prompts are read next."""
        if len(self._unread) >= len(self._running):
            return True
        return sum(len(work.prompt) - self._common[slot] for slot, work in self._unread.items()) >= self._read_least

    def _read(self) -> list[int]:
        """Read the prompts of some slots, those of like length together."""
        shared = self._common
        left = {slot: len(work.prompt) - shared[slot] for slot, work in self._unread.items()}
        slots: list[int] = []
        for slot in sorted(left, key=lambda slot: left[slot]):
            if slots and (len(slots) + 1) * left[slot] > self._read_limit:
                break
            slots.append(slot)
        slots.sort()
        rows = [list(self._unread[slot].prompt[shared[slot] :]) for slot in slots]
        starts = torch.tensor([shared[slot] for slot in slots])
        tokens = _padded(rows)
        places = starts[:, None] + torch.arange(tokens.shape[1])  # (B, W)
        ends = [range(left[slot] - self._unread[slot].tail, left[slot]) for slot in slots]
        wanted = sorted({place for end in ends for place in end})
        logits = self._forward(slots, tokens, places, starts, places + 1, [], torch.tensor(wanted))
        for line, (slot, end) in enumerate(zip(slots, ends, strict=True)):
            work = self._running[slot] = self._unread.pop(slot)
            self.read_tokens += left[slot]
            self.reused_tokens += shared.pop(slot)
            work.begin(logits[line, [wanted.index(place) for place in end]])
            self._held[slot] = list(work.prompt[: len(work.prompt) - work.rejected])
        return slots

    def _step(self) -> list[int]:
        """Take every running slot one step on."""
        running = sorted(self._running)
        budget = max(8, self._step_limit // len(running))
        steps = {slot: self._running[slot].step(budget) for slot in running}
        # The first slots in order need no copy of the cache; a few idle ones among them cost less than that.
        through = running[-1] + 1
        slots = list(range(through)) if 4 * len(running) >= 3 * through else running
        idle = Step([0], [0])
        chosen = [steps.get(slot, idle) for slot in slots]
        starts = torch.tensor([len(self._held[slot]) + step.scratch for slot, step in zip(slots, chosen, strict=True)])
        tokens = _padded([step.tokens for step in chosen])
        positions = _padded([step.positions for step in chosen])
        columns = starts[:, None] + torch.arange(tokens.shape[1])  # (B, W)
        held = torch.tensor([len(self._held[slot]) for slot in slots])
        seen = held[:, None].expand_as(tokens)
        chained = torch.tensor([step.keep for step in chosen])
        seen = torch.where(chained[:, None], columns + 1, seen)
        alone = [line for line, step in enumerate(chosen) if not step.keep]
        more = [(line, place, int(columns[line, place])) for line in alone for place in range(tokens.shape[1])]
        more += [
            (line, place, column)
            for line, step in enumerate(chosen)
            for place, listed in enumerate(step.visible)
            for column in listed
        ]
        logits = self._forward(slots, tokens, positions, starts, seen, more)
        for line, (slot, step) in enumerate(zip(slots, chosen, strict=True)):
            if slot in steps:
                work = self._running[slot]
                work.take(logits[line, : len(step.tokens)])
                if step.keep:
                    self._held[slot] += step.tokens[: len(step.tokens) - work.rejected]
        return running

    def _forward(
        self,
        slots: Sequence[int],
        tokens: torch.Tensor,
        positions: torch.Tensor,
        starts: torch.Tensor,
        seen: torch.Tensor,
        more: Sequence[tuple[int, int, int]],
        keep: torch.Tensor | int = 0,
    ) -> torch.Tensor:
        """Run tokens of some slots.

        Shapes: tokens, positions and `seen` (B, W), starts (B,), result (B, W or len(keep), V). Token w of row b
        sees the columns before `seen[b, w]` and those that `more` lists as (row, token, column).
        """
        width = self._cache.aim(slots, starts, tokens.shape[1])
        visible = torch.arange(width) < seen[..., None]  # (B, W, width)
        if more:
            visible[tuple(torch.tensor(more).unbind(-1))] = True
        lowest = torch.finfo(self.model.dtype).min
        mask = torch.zeros(visible.shape, dtype=self.model.dtype).masked_fill_(~visible, lowest)[:, None]
        with folding_heads(self.model):
            logits: torch.Tensor = self.model(
                input_ids=tokens.to(self.device),
                attention_mask=mask.to(self.device),
                position_ids=positions.to(self.device),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=keep.to(self.device) if isinstance(keep, torch.Tensor) else keep,
            ).logits
        return logits

    def _shared(self, slot: int, prompt: Sequence[int], tail: int) -> int:
        """Return how many of a prompt's first tokens need not be read; the last `tail` are, for their logits."""
        if not self.reuse:
            return 0
        held = self._held[slot]
        most = min(len(held), len(prompt) - tail)
        return next((place for place in range(most) if held[place] != prompt[place]), most)


def _padded(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return rows as one tensor, shape (B, W), with zeros behind the shorter ones.

    W is 1, 2, 4 or a multiple of 8: a CPU prepares kernels for each shape that it meets, and keeps them.
    """
    longest = max(map(len, rows))
    width = next((few for few in (1, 2, 4) if longest <= few), -(-longest // 8) * 8)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
