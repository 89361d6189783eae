"""Variable-length attention in a row that several sequences share.

A mask over such a row is as wide as the row, and kernels compute the masked pairs too. Here the row is cut where its
sequences end: a start attends to itself with the causal kernel, and each of its continuations attends to the start and
to itself. A token attends to the same tokens as in a row of its own, so its logits are the same; tokens of other
sequences are never read.

Registered with transformers as one of its kinds of attention; `model_support.py` lets a model use it. Without a layout
it is sdpa's. Written against transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from trainers.varlen.layout import Layout
from trainers.varlen.sequences import Sequences

__all__ = ["NAME", "by_sequence"]

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
