"""Model support of variable-length attention: which models can share rows, and which take a layout.

`use` lets a model attend by `attention.py`: a pass then takes one argument more, `layout`, which its layers hand on. In
passes without it nothing changes.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Mapping
from typing import Any

import torch

from agents.local.model_support import backbone, takes_positions
from trainers.varlen.attention import NAME

__all__ = ["attends_alone", "use"]

_FULL, _SLIDING = "full_attention", "sliding_attention"


def attends_alone(model: Any) -> str:
    """Return the mechanism, other than masked attention, by which a model's tokens see each other; empty if none."""
    model_config = model.config.get_text_config()
    other = sorted(set(getattr(model_config, "layer_types", None) or ()) - {_FULL, _SLIDING})
    if other:
        return f"it has layers of {', '.join(other)}"
    if model_config.is_encoder_decoder or not hasattr(model_config, "num_attention_heads"):
        return f"{type(model).__name__} is not a decoder with attention alone"
    if not takes_positions(model):  # a sequence after another would be far from its start
        return f"{type(backbone(model)).__name__} takes no positions"
    peft = getattr(model, "active_peft_config", None)
    if peft is not None and peft.is_prompt_learning:
        return "its adapter adds tokens to the prompt"
    return ""


def use(model: Any) -> bool:
    """Let a model that attends with sdpa take a `layout`; returns whether it can.

    The layers of most models pass unknown arguments on to attention, as transformers asks them to. A model with a
    layer that does not is left as it is.
    """
    model_config = model.config.get_text_config()
    if model_config._attn_implementation == NAME:
        return True
    if model_config._attn_implementation != "sdpa" or not _hands_on(model):
        return False
    model.set_attn_implementation(NAME)
    if model_config._attn_implementation != NAME:
        return False
    backbone(model).register_forward_pre_hook(_with_windows, with_kwargs=True)
    backbone(model).register_forward_hook(_asked_alone, with_kwargs=True)
    return True


def _with_windows(model: Any, args: Any, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """Take windows for masks in a pass with a layout; a mask would be made, of the whole row, if there were none."""
    if settings.get("layout") is None:
        return None
    return args, {**settings, "attention_mask": _windows(model.config.get_text_config())}


def _asked_alone(_: Any, __: Any, settings: Mapping[str, Any], output: Any) -> Any:
    """Keep the last states of the places that are asked; TRL's head leaves others out on some devices only."""
    layout = settings.get("layout")
    if layout is not None and layout.asked is not None:
        states = output.last_hidden_state
        output.last_hidden_state = states.index_select(1, layout.asked.to(states.device))
    return output


def _windows(model_config: Any) -> Any:
    """Return the masks of a model that `by_sequence` takes: tensors without content, whose last size is a window.

    A model hands each layer the mask of its kind, and so the window reaches the layers it is for.
    """

    def told(window: int | None) -> torch.Tensor:
        return torch.empty(1, 1, 0, window or 0, dtype=torch.bool)

    kinds, window = getattr(model_config, "layer_types", None), getattr(model_config, "sliding_window", None)
    if kinds is None:
        return told(window)
    return {_FULL: told(None), _SLIDING: told(window)} if _SLIDING in kinds else told(None)


def _hands_on(model: Any) -> bool:
    """Return whether every module that takes a mask passes on the arguments that it does not name.

    StableLM's attention, for example, accepts them and drops them.
    """
    for module in model.modules():
        forward = inspect.unwrap(type(module).forward)
        parameters = inspect.signature(forward).parameters
        if "attention_mask" not in parameters:
            continue
        rest = {name for name, one in parameters.items() if one.kind is inspect.Parameter.VAR_KEYWORD}
        read = [step.argval for step in dis.get_instructions(forward) if step.opname.startswith("LOAD_")]
        if not any(rest.intersection(name if isinstance(name, tuple) else (name,)) for name in read):
            return False
    return True
