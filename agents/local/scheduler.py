"""Continuous batching: runs a model for many episodes at once, each at its own position in its own reply.

The work of an episode, a reply to sample or commands to rank, has a slot of the KV cache. Each forward pass either
reads prompts of new episodes, or advances every running episode by one step. Finished work frees its slot at once.
Prompts wait until there are enough for a pass, because a pass costs nearly the same for one as for a few.

A step may contain drafted tokens (speculative decoding): the work keeps those that it would have sampled, so drafts
save passes and change no reply.

A slot keeps its last text. Of a new prompt, only the part after the longest common prefix is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from agents.local.kv_cache import SlotCache
from agents.local.memory import MemoryTrimmer
from agents.local.model_support import folding_heads

__all__ = ["Decoder", "Step", "Work"]

# prompt tokens in one forward pass: a CPU gains nothing from more, and padding is work
_READ_TOKENS = {"cpu": 512, "other": 8192}
# Prompts are read once this many tokens wait, or as many works as are running.
_READ_LEAST = {"cpu": 256, "other": 2048}
# A CPU runs a few dozen tokens for little more than one; a GPU runs a thousand.
_STEP_TOKENS = {"cpu": 48, "other": 1024}


@dataclass(frozen=True)
class Step:
    """The next N tokens of one row; they attend to the slot's text, to `visible` columns and to themselves.

    Attributes:
        tokens: The tokens.
        positions: Their positions in the text, from 0.
        visible: Further columns that each attends to, in addition to the slot's text.
        scratch: The number of used columns between the slot's text and these tokens.
        keep: Whether they continue the slot's text. Each then attends to those before it, and all but the last
            `Work.rejected` are kept.
    """

    tokens: list[int]
    positions: list[int]
    visible: Sequence[Sequence[int]] = ()
    scratch: int = 0
    keep: bool = False


class Work(Protocol):
    """Work of one episode for the model."""

    @property
    def prompt(self) -> Sequence[int]:
        """The tokens of the prompt."""
        ...

    tail: int
    """The number of the prompt's last tokens whose logits `begin` gets."""

    rejected: int
    """The number of last tokens, of the prompt or of a kept step, to discard."""

    @property
    def done(self) -> bool:
        """Whether the work is done."""
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
        model: A causal language model of transformers that supports 4-D attention masks.
        slots: The number of concurrent episodes; memory grows with it and with the longest text.
        reuse: Whether to reuse the cache of the prefix that a prompt shares with the slot's last text.
    """

    def __init__(self, model: Any, slots: int, *, reuse: bool = True) -> None:
        self.model = model
        self.reuse = reuse
        self.device = model.device
        self.read_tokens = self.reused_tokens = 0
        kind = "cpu" if self.device.type == "cpu" else "other"
        self._read_limit, self._read_least, self._step_limit = _READ_TOKENS[kind], _READ_LEAST[kind], _STEP_TOKENS[kind]
        self._memory = MemoryTrimmer() if kind == "cpu" else None
        self._cache = SlotCache(slots, model.config.get_text_config().num_hidden_layers)
        self._held: list[list[int]] = [[] for _ in range(slots)]
        self._unread: dict[int, Work] = {}
        self._common: dict[int, int] = {}  # length of the prefix of each unread prompt that its slot holds
        self._running: dict[int, Work] = {}

    def put(self, slot: int, work: Work) -> None:
        """Give the next work to an empty slot."""
        self._unread[slot] = work
        self._common[slot] = self._shared(slot, work.prompt, work.tail)

    def drop(self) -> None:
        """Drop all work and texts; after a failed forward pass a slot may be half written."""
        self._unread.clear()
        self._common.clear()
        self._running.clear()
        self._held = [[] for _ in self._held]

    @torch.inference_mode()
    def advance(self) -> list[int]:
        """Run the model once; return the slots whose work is done and which are empty again."""
        ran = self._read() if self._enough_unread() else self._step()
        if self._memory:
            self._memory.trim()
        done = [slot for slot in ran if self._running[slot].done]
        for slot in done:
            del self._running[slot]
        return done

    def _enough_unread(self) -> bool:
        """Return whether to read prompts next."""
        if len(self._unread) >= len(self._running):
            return True
        return sum(len(work.prompt) - self._common[slot] for slot, work in self._unread.items()) >= self._read_least

    def _read(self) -> list[int]:
        """Read the prompts of some slots, grouped by length."""
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
        """Advance every running slot by one step."""
        running = sorted(self._running)
        budget = max(8, self._step_limit // len(running))
        steps = {slot: self._running[slot].step(budget) for slot in running}
        # The first slots in order need no copy of the cache; a few idle ones among them cost less than the copy.
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
        attends to the columns before `seen[b, w]` and those that `more` lists as (row, token, column).
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
        """Return the number of a prompt's first tokens that are cached; the last `tail` are read for their logits."""
        if not self.reuse:
            return 0
        held = self._held[slot]
        most = min(len(held), len(prompt) - tail)
        return next((place for place in range(most) if held[place] != prompt[place]), most)


def _padded(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return rows as one tensor of shape (B, W), padded with zeros at the end.

    W is 1, 2, 4 or a multiple of 8: a CPU prepares and keeps kernels for each shape.
    """
    longest = max(map(len, rows))
    width = next((few for few in (1, 2, 4) if longest <= few), -(-longest // 8) * 8)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
