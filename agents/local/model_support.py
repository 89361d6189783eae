"""Model support: the kind of attention of a model, which decides how it can be run correctly.

There are three kinds. Full attention can be shown any part of a text by a mask. Attention over a window or a chunk goes
by columns of its cache. A recurrent state (linear attention, convolutions, state spaces) summarises the whole text: it
cannot be cut, masked or shared by rows of different lengths.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = [
    "attends_everywhere",
    "backbone",
    "folded_attention",
    "folding_heads",
    "group_heads",
    "has_cache",
    "keeps_states",
    "takes_positions",
]

_FOLDED = "sdpa_folded"
_MOST_FOLDED = 16  # new tokens of a row; with more there is no gain

_KEYS = {"full_attention", "sliding_attention", "chunked_attention"}


def attends_everywhere(model: Any) -> bool:
    """Return whether every layer of a model attends to the whole text, by its configuration."""
    model_config = model.config.get_text_config()
    kinds = getattr(model_config, "layer_types", None)
    if keeps_states(model):
        return False
    return getattr(model_config, "sliding_window", None) is None if kinds is None else set(kinds) == {"full_attention"}


def keeps_states(model: Any) -> bool:
    """Return whether a layer has a recurrent state, instead of or in addition to keys and values."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    return bool(model._is_stateful) or not set(kinds) <= _KEYS


def has_cache(model: Any) -> bool:
    """Return whether a model supports transformers' `past_key_values`."""
    return "past_key_values" in inspect.signature(type(model).forward).parameters


def group_heads(device: str) -> None:
    """Enable grouped-query attention without copies on a CPU, by transformers' switch; a user's value has priority.

    Without it, a pass of several tokens with a mask copies keys and values for every head, which takes 1.2 to 1.4 times
    as long (measured on a CPU). Fast GPU kernels do not support a mask with grouped heads, so GPUs
    are left unchanged.
    """
    if device == "cpu":
        os.environ.setdefault("TRANSFORMERS_SDPA_FORCE_GQA", "1")


@contextmanager
def folding_heads(model: Any) -> Iterator[None]:
    """Let a model on a CPU read each key once for all heads that share it, in passes of a few tokens per row.

    The heads of a group are folded into the token dimension of one head. A pass of 32 rows with 2 to 8 new tokens takes
    0.5 to 0.7 of the time (measured on a CPU), and the result is equal up to rounding.
    """
    model_config = model.config.get_text_config()
    if model.device.type != "cpu" or model_config._attn_implementation != "sdpa":
        yield
        return
    _register()
    model_config._attn_implementation = _FOLDED
    try:
        yield
    finally:
        model_config._attn_implementation = "sdpa"


@cache
def _register() -> None:
    """Register `folded_attention` with transformers, once."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_FOLDED, folded_attention)
    AttentionMaskInterface.register(_FOLDED, sdpa_mask)


def folded_attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **settings: Any
) -> tuple[Any, None]:
    """Compute attention like transformers' sdpa, with the heads of a group folded into the token dimension.

    Shapes: query (B, heads, W, D), key and value (B, key heads, T, D), mask (B, 1, W, T), result (B, W, heads, D).
    """
    from torch.nn.functional import scaled_dot_product_attention
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, width, size = query.shape
    shared = key.shape[1]
    if attention_mask is None or attention_mask.shape[1] > 1 or shared == heads or not 1 < width <= _MOST_FOLDED:
        found: tuple[Any, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
        return found
    attended = scaled_dot_product_attention(
        query.reshape(rows, shared, heads // shared * width, size),
        key,
        value,
        attn_mask=attention_mask.repeat(1, 1, heads // shared, 1),
        scale=settings.get("scaling"),
    )
    return attended.reshape(rows, heads, width, size).transpose(1, 2).contiguous(), None


def takes_positions(model: Any) -> bool:
    """Return whether a model respects `position_ids`, whatever the column of a token.

    Bloom and MPT have no such argument, and Falcon with ALiBi ignores it: all three count columns.
    """
    given = "position_ids" in inspect.signature(type(backbone(model)).forward).parameters
    return given and not getattr(model.config.get_text_config(), "alibi", False)


def backbone(model: Any) -> Any:
    """Return a model without its head and without the wrapper of an adapter."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    return whole.base_model
