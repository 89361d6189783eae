"""Sequences that share a row attend as in rows of their own: each kernel call, and whole models of many kinds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    MptConfig,
    PreTrainedModel,
)
from trl.trainer.utils import add_fused_lm_head

from tests.tiny_models import SMALL, build
from trainers.grpo.packing import pack
from trainers.sequences import Costs, Sequences
from trainers.varlen import NAME, Layout, attends_alone, by_sequence, use

LAYER = SimpleNamespace(is_causal=True, num_key_value_groups=2)
HEADS, KEY_HEADS, CHANNELS = 4, 2, 8
# Values narrower than keys, positions that are learnt, layers without any, layers with windows, and so on.
KINDS: dict[str, dict[str, Any]] = {
    "deepseek_v2": {
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 16,
        "v_head_dim": 8,
        "num_key_value_heads": 4,
        "n_routed_experts": 4,
        "n_group": 1,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "first_k_dense_replace": 1,
    },
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "smollm3": {"head_dim": 8},
    "gemma3_text": {"head_dim": 8, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]},
    "cohere2": {"head_dim": 8, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]},
    "phi3": {"sliding_window": 6},
    "olmo2": {},
    "stablelm": {},
    "opt": {"ffn_dim": 64},
}
DROPS_ARGUMENTS = ("stablelm", "opt")


def model_of(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SMALL, **KINDS[kind]})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=torch.float32).eval()
    add_fused_lm_head(model)
    return model


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.lists(st.integers(1, 7), max_size=4)).filter(lambda part: any(part)),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_whatever_shares_a_row_sees_its_start_and_itself(parts: list[tuple[int, list[int]]], window: int) -> None:
    layout = Layout(tuple(Sequences(start, tuple(rest)) for start, rest in parts))
    torch.manual_seed(1)
    tensors = [torch.randn(1, heads, layout.tokens, CHANNELS) for heads in (HEADS, KEY_HEADS, KEY_HEADS)]
    weight = torch.randn(1, layout.tokens, HEADS, CHANNELS)

    def results(attend: Any) -> list[torch.Tensor]:
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        found = attend(*leaves)
        return [found.detach(), *torch.autograd.grad((found * weight).sum(), leaves)]

    def together(*states: torch.Tensor) -> torch.Tensor:
        return by_sequence(LAYER, *states, torch.empty(1, 1, 0, window, dtype=torch.bool), layout=layout)[0]

    def masked(*states: torch.Tensor) -> torch.Tensor:
        of, place = [], []
        for number, (start, rest) in enumerate(parts):
            lengths = [start, *rest]
            of += [(number, sequence) for sequence, length in enumerate(lengths) for _ in range(length)]
            place += [*range(start), *(start + at for length in rest for at in range(length))]
        seen = [
            [
                here[0] == there[0]
                and there[1] in (0, here[1])
                and place[row] - place[column] >= 0
                and column <= row
                and (not window or place[row] - place[column] < window)
                for column, there in enumerate(of)
            ]
            for row, here in enumerate(of)
        ]
        return by_sequence(LAYER, *states, torch.tensor(seen)[None, None])[0]

    for ours, theirs in zip(results(together), results(masked), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_many_kinds_say_of_a_pack_what_they_say_of_rows(kind: str) -> None:
    model = model_of(kind)
    assert attends_alone(model) == ""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 512, (2, 14), generator=generator).repeat_interleave(3, dim=0)
    ids = torch.cat([ids, torch.randint(2, 512, (6, 9), generator=generator)], dim=1)
    mask = torch.ones_like(ids)
    mask[3:, :5] = 0
    mask[1, -4:] = 0
    labels, places = ids.masked_fill(mask == 0, -100), (mask.cumsum(dim=1) - 1).clamp(min=0)
    with torch.no_grad():
        rows = model(input_ids=ids, attention_mask=mask, position_ids=places, labels=labels, fused_lm_head=True)
        assert use(model) == (kind not in DROPS_ARGUMENTS)
        packs = pack(ids, mask, 9, Costs(token=1.0, pair=0.0), 1, by_sequence=use(model))
        assert packs is not None
        seen = {"layout": packs.layout} if packs.layout else {"attention_mask": packs.mask()}
        found = model(
            input_ids=packs.input_ids,
            position_ids=packs.position_ids,
            shift_labels=packs.labels,
            fused_lm_head=True,
            **seen,
        )
    torch.testing.assert_close(packs.unpacked(found.log_probs), rows.log_probs[:, -9:] * mask[:, -9:])


def test_a_model_goes_on_as_before_where_there_is_no_layout(tmp_path: Any) -> None:
    model, ids = build("olmo3, window 6").eval(), torch.arange(2, 26).view(2, 12)
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    before = model(input_ids=ids, attention_mask=mask).logits
    assert use(model)
    assert use(model)  # twice does nothing more
    assert torch.equal(model(input_ids=ids, attention_mask=mask).logits, before)
    model.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config._attn_implementation == "sdpa"


@pytest.mark.parametrize("attention", ["eager", "flex_attention"])
def test_what_is_not_sdpa_is_left_as_it_is(attention: str) -> None:
    model = build("llama", attention)
    assert not use(model)
    assert model.config._attn_implementation == attention


def test_positions_that_cannot_be_told_are_a_reason_not_to_share() -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 64}
    for config, takes in (
        (BloomConfig(**sizes), False),
        (MptConfig(d_model=32, n_layers=1, n_heads=4, vocab_size=64), False),
        (FalconConfig(**sizes, alibi=True), False),
        (FalconConfig(**sizes, alibi=False), True),
    ):
        assert ("takes no positions" in attends_alone(AutoModelForCausalLM.from_config(config))) != takes


def test_a_layer_that_loses_the_layout_is_no_silent_mistake() -> None:
    states = [torch.randn(1, heads, 5, CHANNELS) for heads in (HEADS, KEY_HEADS, KEY_HEADS)]
    with pytest.raises(RuntimeError, match="not handed the layout"):
        by_sequence(LAYER, *states, torch.empty(1, 1, 0, 0, dtype=torch.bool))
