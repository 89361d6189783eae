"""One layer's attention when episodes read an observation or write a token: keys shared by heads, or copied for each.

python -m pytest benchmarks/speed/bench_attention.py --benchmark-timer=time.process_time
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

HEADS, KEY_HEADS, SIZE = 9, 3, 64  # SmolLM2-135M's layers


@pytest.mark.parametrize(("rows", "width"), [(8, 60), (32, 1)])
@pytest.mark.parametrize("tokens", [512, 2048])
@pytest.mark.parametrize("grouped", ["0", "1"])
def bench_masked_pass(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, rows: int, width: int, tokens: int, grouped: str
) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    monkeypatch.setenv("TRANSFORMERS_SDPA_FORCE_GQA", grouped)
    layer = SimpleNamespace(is_causal=True, num_key_value_groups=HEADS // KEY_HEADS)
    query = torch.randn(rows, HEADS, width, SIZE, dtype=torch.bfloat16)
    keys, values = (torch.randn(rows, KEY_HEADS, tokens, SIZE, dtype=torch.bfloat16) for _ in range(2))
    mask = torch.zeros(rows, 1, width, tokens, dtype=torch.bfloat16)
    benchmark.group = f"{rows} rows of {tokens} tokens, {width} new"
    benchmark(sdpa_attention_forward, layer, query, keys, values, mask)


@pytest.mark.parametrize("width", [2, 6])
@pytest.mark.parametrize("tokens", [512, 2048])
@pytest.mark.parametrize("folded", [False, True])
def bench_drafted_pass(benchmark: Any, width: int, tokens: int, folded: bool) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from agents.local.model_support import folded_attention

    layer = SimpleNamespace(is_causal=True, num_key_value_groups=HEADS // KEY_HEADS)
    query = torch.randn(32, HEADS, width, SIZE, dtype=torch.bfloat16)
    keys, values = (torch.randn(32, KEY_HEADS, tokens, SIZE, dtype=torch.bfloat16) for _ in range(2))
    mask = torch.zeros(32, 1, width, tokens, dtype=torch.bfloat16)
    benchmark.group = f"32 rows of {tokens} tokens, {width} new"
    benchmark(folded_attention if folded else sdpa_attention_forward, layer, query, keys, values, mask, scaling=0.125)
