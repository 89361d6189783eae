"""Replies of a group sampled from one run of their prompt, into a cache that has room for them.

`generate` runs a batch's prompts whole, and its cache is copied, all of it, for every token. Here neighbouring
equal prompts run once without their last tokens, and `generate` goes on from copies of what that left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from trainers.grpo.packing import runs

__all__ = ["Roomy", "from_one_prompt"]

_ROOM = 64  # tokens


class Roomy(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer's keys and values, shape (B, heads, tokens, channels), at the beginning of tensors with room behind."""

    keys: torch.Tensor
    values: torch.Tensor
    _keys: torch.Tensor | None = None
    _values: torch.Tensor | None = None

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write down what new tokens gave, and return all that is held."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self._keys = _added(self.keys, self._keys, key_states)
        self.values, self._values = _added(self.values, self._values, value_states)
        return self.keys, self.values


def _added(held: torch.Tensor, room: torch.Tensor | None, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is held with new states behind it, and the tensor that it is the beginning of."""
    begin = held.shape[-2] if held.numel() else 0
    end = begin + states.shape[-2]
    # Whoever chooses other rows leaves tensors of their own.
    if room is None or held.data_ptr() != room.data_ptr() or end > room.shape[-2]:
        room = states.new_empty(*states.shape[:-2], end + _ROOM, states.shape[-1])
        if begin:
            room[..., :begin, :] = held
    room[..., begin:end, :] = states
    return room[..., :end, :], room


@contextlib.contextmanager
def from_one_prompt(model: Any) -> Iterator[None]:
    """Let `model.generate` run neighbouring equal prompts once and continue from copies of the cache."""
    model.generate = _sharing(model, model.generate)
    try:
        yield
    finally:
        del model.generate


def _sharing(model: Any, generate: Callable[..., Any]) -> Callable[..., Any]:
    def shared(input_ids: torch.Tensor, attention_mask: torch.Tensor, **settings: Any) -> Any:
        same = runs(input_ids, attention_mask)
        if len(same) == input_ids.size(0) or input_ids.size(1) < 2 or "past_key_values" in settings:
            return generate(input_ids=input_ids, attention_mask=attention_mask, **settings)
        firsts = torch.tensor([rows.start for rows in same], device=input_ids.device)
        mask = attention_mask[firsts, :-1]
        cache = DynamicCache(config=model.config.get_text_config())
        cache.layers = [
            Roomy() if type(layer) is DynamicLayer else layer  # type: ignore[no-untyped-call]
            for layer in cache.layers
        ]
        model(
            input_ids=input_ids[firsts, :-1],
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        counts = torch.tensor([len(rows) for rows in same], device=input_ids.device)
        cache.batch_select_indices(torch.arange(len(same), device=input_ids.device).repeat_interleave(counts))
        # A model whose configuration says not to would feed whole rows to a cache that has most of them.
        settings["generation_config"] = copy(settings.get("generation_config") or model.generation_config)
        settings["generation_config"].use_cache = True
        return generate(input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, **settings)

    return shared
