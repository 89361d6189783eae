"""How a model looks back on what it has read, which decides the ways of running it that give the right answer.

Three kinds are told apart. Attention over everything can be shown any part of a text by a mask. Attention over a
window or a chunk goes by the places in its cache. A state (linear attention, convolutions, state spaces) is what a
layer has read, all in one: it cannot be cut, masked or shared by rows of different lengths.
"""

from __future__ import annotations

import inspect
import os
from typing import Any

__all__ = ["attends_everywhere", "backbone", "group_heads", "has_cache", "keeps_states", "takes_positions"]

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
    return "past_key_values" in inspect.signature(model.forward).parameters


def group_heads(device: str) -> None:
    """Let heads on a CPU read the keys and values that they share, by transformers' switch; a user's value wins.

    Without it a pass of several tokens with a mask copies keys and values for every head first, which takes 1.2 to 1.4
    times as long (`benchmarks/speed/bench_attention.py`). A GPU's fast kernels take no mask together with grouped
    heads, so nothing is changed there.
    """
    if device == "cpu":
        os.environ.setdefault("TRANSFORMERS_SDPA_FORCE_GQA", "1")


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
