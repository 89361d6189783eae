"""Costs that are counted from a model's shape."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from trainers.counting import KNOWN, Accelerator, Load, Shape, assumed, memory, operations

TINY = Shape(8, 16, 2, 2, 1, 4, 100)


@dataclass(frozen=True)
class Settings:
    lora_rank: int = 0
    gradient_checkpointing: bool = False


def test_weights_are_those_of_a_real_model(tmp_path: Path) -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    for tied in (True, False):
        config = Qwen3Config(
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=4,
            vocab_size=100,
            tie_word_embeddings=tied,
        )
        model = Qwen3ForCausalLM(config)
        config.save_pretrained(tmp_path)
        shape = Shape.read(tmp_path)
        assert shape == replace(TINY, tie_word_embeddings=tied)
        norms = sum(weight.numel() for name, weight in model.named_parameters() if "norm" in name)
        assert shape.weights == model.num_parameters() - norms


def test_adapters_are_counted_as_peft_makes_them(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from trainers.quiet import quiet

    quiet()
    kept = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    config = Qwen3Config(**{name: getattr(TINY, name) for name in kept}, head_dim=4, vocab_size=100)
    adapted = get_peft_model(Qwen3ForCausalLM(config), LoraConfig(r=3, target_modules="all-linear"))
    trained = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    assert TINY.adapter_weights(3) == trained


@pytest.mark.parametrize(("name", "billions"), [("qwen3-8b", 8.2), ("qwen3-4b", 4.0), ("olmo-3-7b-instruct", 7.3)])
def test_the_known_shapes_come_to_the_sizes_they_are_named_for(name: str, billions: float) -> None:
    assert KNOWN[name].weights / 1e9 == pytest.approx(billions, abs=0.05)


def test_a_folder_without_a_readable_shape_has_none(tmp_path: Path) -> None:
    assert Shape.read(tmp_path) is None
    for text in ("{", "[]", json.dumps({"hidden_size": 3})):
        (tmp_path / "config.json").write_text(text)
        assert Shape.read(tmp_path) is None


def test_memory_by_hand() -> None:
    load = Load(sequences=4, tokens=40, written=0, longest=12, micro_batch=2)
    full, own = memory(TINY, Settings(), load, precision="mixed")
    assert full == TINY.weights * 16
    assert own == 24 * 8 * 34 * 2 + 24 * 100 * 12
    fixed, _ = memory(TINY, Settings(lora_rank=3), load, precision="bf16")
    assert fixed == TINY.weights * 2 + TINY.adapter_weights(3) * 16
    assert memory(TINY, Settings(gradient_checkpointing=True), load, precision="mixed")[1] < own


def test_operations_and_seconds_by_hand() -> None:
    load = Load(sequences=4, tokens=40, written=5, longest=12, micro_batch=2)
    attention = 2 * 2 * 2 * 4 * 10 / 2
    passes = 40 * 6 * (TINY.weights + attention)
    assert operations(TINY, Settings(), load) == passes + 2 * TINY.weights * 4 * 5
    device = Accelerator("a device", 1e6, 1e6)
    once = assumed(TINY, Settings(), load, device=device)
    assert once == pytest.approx(operations(TINY, Settings(), load) / 1e6 + 5 * TINY.weights * 2 / 1e6)
    assert assumed(TINY, Settings(), replace(load, written=0), processes=4, device=device) == pytest.approx(
        passes / 4e6
    )
