"""Token budget of GRPO: runs a micro-batch in passes of a bounded number of tokens.

`micro_batch` counts replies, so the memory of a pass follows the longest prompts. With a budget a micro-batch may hold
many groups: as many as fit share a pass, and one that is too long for it is cut. The gradients of the passes add up to
those of the whole micro-batch, as the loss of every kind that is offered here is a weighted sum over replies.

`Budget` is mixed into TRL's trainer and into `SharedPromptTrainer` alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from trainers.grpo.packing import runs

__all__ = ["Budget", "cut"]


class Budget:
    """Mixin, placed before a GRPO trainer, that bounds the tokens of a forward and backward pass.

    Attributes:
        max_tokens_per_pass: The bound; 0 for none. Prompts that are shared count once. One reply and its prompt always
            pass. It holds for passes that train and for those that score, and not where replies are sampled.
    """

    max_tokens_per_pass: int = 0

    def compute_loss(self: Any, model: Any, inputs: dict[str, Any], *args: Any, **settings: Any) -> Any:
        """Return a micro-batch's loss, of which all passes but the last have gone backward already."""
        whole = super().compute_loss  # type: ignore[misc]
        parts = self._parts(inputs) if self.max_tokens_per_pass and self.model.training else []
        if len(parts) < 2:
            return whole(model, inputs, *args, **settings)
        total = 0.0
        for number, rows in enumerate(parts):
            part = _taken(inputs, rows)
            last = number == len(parts) - 1
            with contextlib.nullcontext() if last else self._not_the_last(model):
                loss = whole(model, part, *args, **settings) * _weight(self.loss_type, part, inputs)
                if not last:
                    self._backward(loss)
                    total += loss.detach()
        return loss + total

    def _get_per_token_logps_and_entropies(
        self: Any,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **images: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Return TRL's values; rows that are only scored (old or reference weights) run in bounded passes."""
        whole = super()._get_per_token_logps_and_entropies  # type: ignore[misc]
        special = compute_aux_loss or any(value is not None for value in images.values())
        settings = {"compute_entropy": compute_entropy, "compute_aux_loss": compute_aux_loss, **images}
        found: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]
        if not self.max_tokens_per_pass or torch.is_grad_enabled() or special:
            found = whole(model, input_ids, attention_mask, logits_to_keep, batch_size, **settings)
            return found
        masks = attention_mask[:, :-logits_to_keep], attention_mask[:, -logits_to_keep:]
        parts = self._cut(input_ids[:, :-logits_to_keep], *masks, batch_size or len(input_ids))
        scored = [
            whole(model, input_ids[rows], attention_mask[rows], logits_to_keep, len(rows), **settings) for rows in parts
        ]
        log_probs, entropies = ([each[place] for each in scored] for place in (0, 1))
        return torch.cat(log_probs), None if entropies[0] is None else torch.cat(entropies), None

    def _parts(self: Any, inputs: dict[str, Any]) -> list[list[int]]:
        ids, mask, replies = inputs["prompt_ids"], inputs["prompt_mask"], inputs["completion_mask"]
        parts: list[list[int]] = self._cut(ids, mask, replies, len(ids))
        return parts

    def _cut(
        self: Any, prompt_ids: torch.Tensor, prompt_mask: torch.Tensor, reply_mask: torch.Tensor, most: int
    ) -> list[list[int]]:
        """Return which rows share a pass: of every `most` neighbours as many as the bound allows."""
        prompts, replies = prompt_mask.sum(dim=1).tolist(), reply_mask.sum(dim=1).tolist()
        groups = runs(prompt_ids, prompt_mask)
        if getattr(self, "unshared", True):  # then TRL's own pass runs all rows as wide as they are padded
            prompts, replies = [prompt_ids.size(1)] * len(prompts), [reply_mask.size(1)] * len(prompts)
            groups = [range(row, row + 1) for row in range(len(prompts))]
        found: list[list[int]] = []
        for start in range(0, len(prompts), most):
            rows = range(start, min(start + most, len(prompts)))
            within = [range(max(group.start, rows.start), min(group.stop, rows.stop)) for group in groups]
            found += cut([group for group in within if group], prompts, replies, self.max_tokens_per_pass)
        # With sharded weights all processes must make equally many passes.
        wanted = self.accelerator.gather(torch.tensor([len(found)], device=self.accelerator.device)).max()
        return _at_least(int(wanted), found)

    @contextlib.contextmanager
    def _not_the_last(self: Any, model: Any) -> Iterator[None]:
        """Let processes keep their gradients to themselves, and DeepSpeed its step, until the last pass."""
        state = self.accelerator.gradient_state
        before = state.sync_gradients
        state._set_sync_gradients(False)
        try:
            with self.accelerator.no_sync(model):
                yield
        finally:
            state._set_sync_gradients(before)

    def _backward(self: Any, loss: torch.Tensor) -> None:
        # As transformers calls it: DeepSpeed divides by the accumulation steps otherwise.
        self.accelerator.backward(loss, **({"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}))


def cut(groups: Sequence[range], prompts: Sequence[int], replies: Sequence[int], budget: int) -> list[list[int]]:
    """Return which rows go through the model together, in order.

    A group that fits into a pass is kept whole; one that does not is cut, and its prompt is run with each piece.

    Args:
        groups: Neighbouring rows that share a prompt.
        prompts: Tokens of each row's prompt.
        replies: Tokens of each row's reply.
        budget: Tokens of a pass; one row alone may have more.
    """
    parts: list[list[int]] = []
    room = 0
    for rows in groups:
        prompt = prompts[rows.start]
        if prompt + sum(replies[row] for row in rows) > room:
            parts.append([])
            room = budget
        room -= prompt
        for row in rows:
            if parts[-1] and replies[row] > room:
                parts.append([])
                room = budget - prompt
            parts[-1].append(row)
            room -= replies[row]
    return parts


def _at_least(count: int, parts: list[list[int]]) -> list[list[int]]:
    """Return at least so many parts, by halving those of the most rows."""
    parts = list(parts)
    while len(parts) < count:
        place = max(range(len(parts)), key=lambda number: len(parts[number]))
        half = (len(parts[place]) + 1) // 2
        parts[place : place + 1] = [parts[place][:half], parts[place][half:]]
    return parts


def _taken(inputs: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    chosen = torch.tensor(rows, device=inputs["prompt_ids"].device)
    return {key: value[chosen] if value is not None and value.ndim else value for key, value in inputs.items()}


def _weight(loss_type: str, part: dict[str, Any], inputs: dict[str, Any]) -> float:
    """Return the weight of the loss of some rows in that of all: it is divided by their tokens or their number."""
    if loss_type == "dapo":  # divided by the tokens of the whole step already
        return 1.0
    if loss_type == "bnpo":
        return _counted(part) / max(1.0, _counted(inputs))
    return len(part["prompt_ids"]) / len(inputs["prompt_ids"])


def _counted(inputs: dict[str, Any]) -> float:
    mask = inputs["completion_mask"]
    return float((mask if inputs.get("tool_mask") is None else mask * inputs["tool_mask"]).sum())
