"""Variable-length attention: sequences share a row, and each attends to itself alone.

A mask over such a row is as wide as the row, and kernels compute the masked pairs too. Here the row is cut where its
sequences end: a start attends to itself with the causal kernel, and each of its continuations attends to the start and
to itself. A token attends to the same tokens as in a row of its own, so its logits are the same; tokens of other
sequences are never read.

Registered with transformers as one of its kinds of attention; `use` lets a model attend by it: a pass then takes one
argument more, `layout`, which its layers hand on. Without a layout it is sdpa's. Written against transformers 5.23.

"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from agents.local.model_support import backbone, takes_positions
from trainers.sequences import Sequences

__all__ = ["NAME", "Layout", "attends_alone", "by_sequence", "use"]


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


NAME = "sdpa_by_sequence"


def by_sequence(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    layout: Layout | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as sdpa does, or, where there is a layout, sequence by sequence; for arguments see transformers.

    Args:
        module: The layer.
        query: Shape (1, heads, L, channels) with a layout.
        key: Shape (1, key heads, L, channels).
        value: Shape (1, key heads, L, channels).
        attention_mask: With a layout one without content, whose last size is the window, 0 for none.
        layout: The sequences of the row.
        settings: Of the kernel.

    Returns:
        Shape (1, L, heads, channels), and no weights.
    """
    told = attention_mask is not None and attention_mask.size(-2) == 0
    if layout is None:
        if told:
            raise RuntimeError(f"{type(module).__name__} was not handed the layout of its row.")
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
        return found
    assert told
    assert query.size(0) == 1
    window = attention_mask.size(-1)  # type: ignore[union-attr]
    sizes = [size for part in layout.parts for size in part.tokens]
    # Splitting, whose way back is one concatenation; slices would each need a gradient as long as the row.
    pieces = [torch.split(tensor, sizes, dim=2) for tensor in (query, key, value)]
    attended = []
    for number, part in enumerate(layout.parts):
        start = [piece[2 * number] for piece in pieces]
        if part.start:
            seen = layout.ahead(part.start, window, query.device) if window and part.start > window else None
            attended.append(sdpa_attention_forward(module, start[0], start[1], start[2], seen, **settings)[0])
        if part.continuations:
            rest = [piece[2 * number + 1] for piece in pieces]
            attended.append(_continuations(module, start, rest, part, layout, window, settings))
    return torch.cat(attended, dim=1), None


def _continuations(
    module: torch.nn.Module,
    start: Sequence[torch.Tensor],
    rest: Sequence[torch.Tensor],
    part: Sequences,
    layout: Layout,
    window: int,
    settings: Mapping[str, Any],
) -> torch.Tensor:
    """Return the attention output of continuations of one start, shape (1, tokens of them, heads, channels)."""
    count, longest, device = len(part.continuations), max(part.continuations), rest[0].device
    even = len(set(part.continuations)) == 1
    if not even:
        out, back = layout.places(part.continuations, device)
        rest = [tensor.index_select(2, out) for tensor in rest]
    # From one row of all to one row each.
    query, *others = (torch.unflatten(tensor[0], 1, (count, longest)).transpose(0, 1) for tensor in rest)
    keys, values = (
        torch.cat([common.expand(count, -1, -1, -1), own], dim=2) for common, own in zip(start[1:], others, strict=True)
    )
    seen = layout.branches(part, window, device) if part.after else layout.behind(part.start, longest, window, device)
    found: torch.Tensor = sdpa_attention_forward(module, query, keys, values, seen, **settings)[0].flatten(0, 1)
    return (found if even else found.index_select(0, back))[None]


AttentionInterface.register(NAME, by_sequence)
AttentionMaskInterface.register(NAME, sdpa_mask)


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
