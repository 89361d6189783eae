"""How a model looks back on what it has read, which decides the ways of running it that give the right answer.

Three kinds are told apart. Attention over everything can be shown any part of a text by a mask. Attention over a
window or a chunk goes by the places in its cache. A state (linear attention, convolutions, state spaces) is what a
layer has read, all in one: it cannot be cut, masked or shared by rows of different lengths.
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
_MOST_FOLDED = 16  # new tokens of a row; with more there is nothing to gain

_KEYS = {"full_attention", "sliding_attention", "chunked_attention"}


def attends_everywhere(model: Any) -> bool:
    """Return whether every layer of a model attends to all that was read, as far as its configuration says."""
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if keeps_states(model):
        return False
    return getattr(config, "sliding_window", None) is None if kinds is None else set(kinds) == {"full_attention"}


def keeps_states(model: Any) -> bool:
    """Return whether a layer keeps a state in place of, or beside, the keys and values of each token."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    return bool(model._is_stateful) or not set(kinds) <= _KEYS


def has_cache(model: Any) -> bool:
    """Return whether a model can go on from what it has read by transformers' `past_key_values`."""
    return "past_key_values" in inspect.signature(type(model).forward).parameters


def group_heads(device: str) -> None:
    """Let heads on a CPU read the keys and values that they share, by transformers' switch; a user's value wins.

    Without it a pass of several tokens with a mask copies keys and values for every head first, which takes 1.2 to 1.4
    times as long (`benchmarks/speed/bench_attention.py`). A GPU's fast kernels take no mask together with grouped
    heads, so nothing is changed there.
    """
    if device == "cpu":
        os.environ.setdefault("TRANSFORMERS_SDPA_FORCE_GQA", "1")


@contextmanager
def folding_heads(model: Any) -> Iterator[None]:
    """Let a model on a CPU read each key once for all heads that share it, in passes of a few tokens a row.

    The heads of a group become more tokens of one head. A pass of 32 rows with 2 to 8 new tokens takes 0.5 to 0.7 of
    the time (`benchmarks/speed/bench_attention.py`), and the result is the same but for rounding.
    """
    config = model.config.get_text_config()
    if model.device.type != "cpu" or config._attn_implementation != "sdpa":
        yield
        return
    _register()
    config._attn_implementation = _FOLDED
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"


@cache
def _register() -> None:
    """Tell transformers of `folded_attention`, once."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_FOLDED, folded_attention)
    AttentionMaskInterface.register(_FOLDED, sdpa_mask)


def folded_attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **settings: Any
) -> tuple[Any, None]:
    """Attend as transformers' sdpa does, the heads of a group as more tokens of one head.

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
    """Return whether a model can be told where in a text a token stands, whatever stands between in its row.

    Bloom and MPT take no positions, and Falcon with ALiBi lets them fall: all three count places in the row.
    """
    given = "position_ids" in inspect.signature(type(backbone(model)).forward).parameters
    return given and not getattr(model.config.get_text_config(), "alibi", False)


def backbone(model: Any) -> Any:
    """Return a model without its head, and without what an adapter wraps it in."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    return whole.base_model
