"""Costs of a stage that is counted, not run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from trainers.dry_run.costs import SHAPES, Load, Shape, adapters, held, operations, seconds

TINY = Shape(8, 2, 2, 1, 4, 16, 100, tied=False)
LOAD = Load(sequences=8, prompt=10, written=5, longest=17, micro_batch=2)


@dataclass(frozen=True)
class Settings:
    lora_rank: int = 0
    gradient_checkpointing: bool = False


def test_adapters_are_counted_as_peft_makes_them() -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from trainers.run.logging import quiet

    quiet()
    config = Qwen3Config(
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
        intermediate_size=16,
        vocab_size=100,
    )
    adapted = get_peft_model(Qwen3ForCausalLM(config), LoraConfig(r=3, target_modules="all-linear"))
    assert adapters(TINY, 3) == sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)


def test_olmos_shape_comes_to_the_weights_it_is_known_for() -> None:
    assert SHAPES["olmo-3-7b"].parameters / 1e9 == pytest.approx(7.3, abs=0.05)


def test_states_are_sixteen_bytes_a_weight_eight_in_bf16_and_few_with_adapters() -> None:
    states = {name: held(TINY, Settings(), LOAD, precision=name)[0] for name in ("mixed", "fp32", "bf16")}
    assert states == {"mixed": 16 * TINY.parameters, "fp32": 16 * TINY.parameters, "bf16": 8 * TINY.parameters}
    # Adapters: fp32 weights, gradients and two moments.
    assert held(TINY, Settings(lora_rank=3), LOAD, precision="bf16")[0] == 2 * TINY.parameters + 16 * adapters(TINY, 3)


def test_what_a_pass_keeps_grows_with_its_longest_sequences_and_shrinks_by_recomputing() -> None:
    own = held(TINY, Settings(), LOAD, precision="mixed")[1]
    assert own == TINY.activation_bytes(34, 2, checkpointing=False) + 2 * 4 * 2 * 5 * 100
    deep = replace(TINY, layers=40)
    full, less = (held(deep, Settings(gradient_checkpointing=on), LOAD, precision="mixed")[1] for on in (False, True))
    assert less < full / 3
    assert held(TINY, Settings(), replace(LOAD, longest=34), precision="mixed")[1] > own


def test_a_shared_prompt_is_counted_once() -> None:
    assert LOAD.tokens == 8 * 15
    assert replace(LOAD, group=4).tokens == 8 * 5 + 2 * 10


def test_operations_and_seconds_by_hand() -> None:
    forward = TINY.forward_flops(120, 15)
    assert operations(TINY, Settings(), LOAD) == 4 * forward, "a pass forward, two backward, and sampling"
    assert operations(TINY, Settings(gradient_checkpointing=True), LOAD) == 5 * forward
    supervised = replace(LOAD, written=0)
    assert operations(TINY, Settings(), supervised) == 3 * TINY.forward_flops(80, 10)
    alone, shared = (seconds(TINY, Settings(), supervised, processes=count) for count in (1, 4))
    assert shared == pytest.approx(alone / 4)
    assert seconds(TINY, Settings(), LOAD) > 4 * forward / 989e12 / 0.4
