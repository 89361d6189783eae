"""Random models of two layers, one for each way in which layers attend."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, MistralConfig, Olmo3Config, PreTrainedModel, Qwen3Config, Qwen3MoeConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

SMALL = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 1,
    "eos_token_id": 1,
    "bos_token_id": None,
}
CONFIGS = {
    "llama": LlamaConfig(**SMALL),
    "qwen3": Qwen3Config(**SMALL, head_dim=8),
    "mistral, window 6": MistralConfig(**SMALL, sliding_window=6),
    "olmo3, window 6": Olmo3Config(**SMALL, sliding_window=6, layer_types=["sliding_attention", "full_attention"]),
    "mixture": Qwen3MoeConfig(**SMALL, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16),
}


def build(kind: str, attention: str = "sdpa", **changes: Any) -> PreTrainedModel:
    """Return the same model every time; `changes` are of its configuration."""
    torch.manual_seed(0)
    config = deepcopy(CONFIGS[kind])  # a trainer changes it
    for name, value in changes.items():
        setattr(config, name, value)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=torch.float32)


def save_with_tokenizer(folder: Path) -> Path:
    """Save a random model of two layers with the default model's tokenizer, and return the folder."""
    from transformers import AutoTokenizer

    from agents.local.default_model import model_path

    tokenizer = AutoTokenizer.from_pretrained(model_path("smollm2"))
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    build("llama", vocab_size=len(tokenizer), max_position_embeddings=2048, **ends).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
