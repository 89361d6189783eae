"""GRPO trainer that runs each group's prompt once, when it samples and in the training pass.

A group is G completions of one prompt. TRL runs the prompt G times. Here the training pass is over packs
(`packing.py`), and `generate` continues from copies of one prompt's KV cache, which has room for the replies. Losses,
rewards, advantages, logging and saving stay TRL's, and so does the order of all random draws, except that a micro-batch
is made of whole groups.

Where a model cannot be packed, `why_not` says so and TRL's own pass is taken. Written against TRL 1.16.

"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from trl import GRPOTrainer
from trl.trainer.utils import split_tensor_dict

from trainers.grpo.packing import Packs, pack, runs
from trainers.sequences import Costs
from trainers.varlen import NAME, attends_alone, use

__all__ = ["Roomy", "SharedPromptTrainer", "from_one_prompt", "why_not"]


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
        """Append the keys and values of new tokens, and return all that are held."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self._keys = _added(self.keys, self._keys, key_states)
        self.values, self._values = _added(self.values, self._values, value_states)
        return self.keys, self.values


def _added(held: torch.Tensor, room: torch.Tensor | None, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Append new states to the held ones; return the result and the tensor that it is the beginning of."""
    begin = held.shape[-2] if held.numel() else 0
    end = begin + states.shape[-2]
    # Selecting other rows replaces the tensors.
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


_FLEX = "flex_attention"
_FULL, _SLIDING = "full_attention", "sliding_attention"


def _kind(model: Any) -> str:
    return str(model.config.get_text_config()._attn_implementation)


def why_not(model: Any) -> str:
    """Return the reason why a model's prompts cannot be shared; empty if they can."""
    kind = _kind(model)
    if kind not in ("sdpa", NAME, "eager", _FLEX):
        return f"its attention is {kind}, and only sdpa, eager and {_FLEX} take a mask of any shape"
    return attends_alone(model)


class SharedPromptTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPO whose groups share their prompt; takes what `GRPOTrainer` takes.

    Attributes:
        unshared: Why prompts are not shared; empty if they are.
    """

    _buffered_inputs: Any  # TRL's

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        model = self._bare(self.model)
        self.unshared = why_not(model)
        self._costs = None if self.unshared else Costs.of(model.config.get_text_config())
        # Continuous batching chooses a kernel by the name of a model's attention, and knows its own names only.
        if not self.unshared and not self.use_transformers_continuous_batching:
            for each in filter(None, (self.model, self.ref_model)):
                use(self._bare(each))

    def _bare(self, model: Any) -> Any:
        return self.accelerator.unwrap_model(model)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if self.unshared or not self.model.training:
            return super()._prepare_inputs(generation_batch)
        slices = self.args.steps_per_generation
        if self._step % (slices * self.num_iterations) == 0 or self._buffered_inputs is None:
            scored = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = split_tensor_dict(_shuffled(scored), slices)
        return self._buffered_inputs[self._step % slices]

    def _generate_single_turn(self, *args: Any, **settings: Any) -> Any:
        # vLLM and continuous batching have a cache of prompts themselves.
        # With sharded weights that stay so, all processes must make equally many passes: a group that is split over
        # processes would make one more in some of them.
        sharded = self.is_deepspeed_enabled and not self.args.ds3_gather_for_generation
        if self.unshared or self.use_vllm or self.use_transformers_continuous_batching or sharded:
            return super()._generate_single_turn(*args, **settings)
        with from_one_prompt(self._bare(self.model_wrapped)):
            return super()._generate_single_turn(*args, **settings)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **images: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        batch_size = batch_size or input_ids.size(0)
        chunks = [slice(start, start + batch_size) for start in range(0, input_ids.size(0), batch_size)]
        packed: list[Packs | None] = [None for _ in chunks]
        if self._costs is not None and not compute_aux_loss and all(value is None for value in images.values()):
            packed = [
                pack(
                    input_ids[rows],
                    attention_mask[rows],
                    logits_to_keep,
                    self._costs,
                    self._tokenizer.pad_token_id,
                    by_sequence=_kind(self._bare(model)) == NAME,
                )
                for rows in chunks
            ]
        if not any(packed):
            apart: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]
            apart = super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size=batch_size,
                compute_entropy=compute_entropy,
                compute_aux_loss=compute_aux_loss,
                **images,
            )
            return apart
        # As many forward passes as TRL makes: with sharded weights all processes must make equally many.
        found: list[tuple[torch.Tensor, Any]] = [
            self._of_packs(model, packs)
            if packs
            else super(SharedPromptTrainer, self)._get_per_token_logps_and_entropies(
                model, input_ids[rows], attention_mask[rows], logits_to_keep, compute_entropy=compute_entropy
            )[:2]
            for rows, packs in zip(chunks, packed, strict=True)
        ]
        log_probs = torch.cat([each[0] for each in found])
        return log_probs, torch.cat([each[1] for each in found]) if compute_entropy else None, None

    def _of_packs(self, model: Any, packs: Packs) -> tuple[torch.Tensor, torch.Tensor | None]:
        seen = {"layout": packs.layout} if packs.layout else {"attention_mask": _masks(packs, self._bare(model))}
        with self.accelerator.autocast():
            outputs = model(
                input_ids=packs.input_ids,
                position_ids=packs.position_ids,
                **seen,
                shift_labels=packs.labels,
                fused_lm_head=True,
            )
        # The reference model's head computes no entropy.
        entropy = None if outputs.entropy is None else packs.unpacked(outputs.entropy)
        return packs.unpacked(outputs.log_probs), entropy


def _masks(packs: Packs, model: Any) -> Any:
    """Return the model's attention mask: one, or one for each kind of layer."""
    model_config = model.config.get_text_config()
    kinds = getattr(model_config, "layer_types", None)
    window = getattr(model_config, "sliding_window", None)

    def mask(window: int | None) -> Any:
        if model_config._attn_implementation == _FLEX:
            return packs.blocks(window)
        seen = packs.mask(window)
        if model_config._attn_implementation == "sdpa":
            return seen
        dtype = (
            torch.get_autocast_dtype(seen.device.type) if torch.is_autocast_enabled(seen.device.type) else model.dtype
        )
        return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)

    if kinds is None:
        return mask(window)
    if _SLIDING in kinds:
        return {_FULL: mask(None), _SLIDING: mask(window)}
    return mask(None)


def _shuffled(batch: dict[str, Any]) -> dict[str, Any]:
    """Shuffle a batch's groups, whole; it draws from the global generator what TRL's shuffle draws."""
    groups = runs(batch["prompt_ids"], batch["prompt_mask"])
    group_of = [number for number, rows in enumerate(groups) for _ in rows]
    drawn = torch.randperm(len(group_of)).tolist()
    order = dict.fromkeys(group_of[row] for row in drawn)
    rows = torch.tensor([row for number in order for row in groups[number]], device=batch["prompt_ids"].device)
    return {key: value[rows] if value is not None and value.ndim else value for key, value in batch.items()}
