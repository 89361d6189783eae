"""A micro-batch in passes of few tokens trains as in one."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from act_gym.errors import UsageError
from trainers import act
from trainers.act import ActConfig
from trainers.grpo.token_budget import Budget, _at_least, cut

GROUPS = st.lists(st.tuples(st.integers(1, 30), st.lists(st.integers(0, 20), min_size=1, max_size=5)), min_size=1)


@given(groups=GROUPS, budget=st.integers(1, 120), more=st.integers(0, 4))
def test_every_row_passes_once_and_no_pass_is_too_long(
    groups: list[tuple[int, list[int]]], budget: int, more: int
) -> None:
    ends = [0, *torch.tensor([len(said) for _, said in groups]).cumsum(0).tolist()]
    runs = [range(*bounds) for bounds in pairwise(ends)]
    prompts = [prompt for prompt, said in groups for _ in said]
    replies = [length for _, said in groups for length in said]

    def tokens(rows: list[int]) -> int:
        started = {run.start for run in runs if set(run) & set(rows)}
        return sum(prompts[start] for start in started) + sum(replies[row] for row in rows)

    parts = cut(runs, prompts, replies, budget)
    assert [row for rows in parts for row in rows] == list(range(len(replies)))
    for rows in parts:
        assert tokens(rows) <= budget or len(rows) == 1
    for run in runs:
        if tokens(list(run)) <= budget:
            assert sum(bool(set(run) & set(rows)) for rows in parts) == 1
    wanted = min(len(replies), len(parts) + more)
    halved = _at_least(wanted, parts)
    assert len(halved) == wanted
    assert [row for rows in halved for row in rows] == list(range(len(replies)))
    assert all(halved)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each pass that is not its micro-batch's last."""
    seen: list[int] = []
    backward = Budget._backward

    def counted(self: Any, loss: torch.Tensor) -> None:
        seen.append(1)
        backward(self, loss)

    monkeypatch.setattr(Budget, "_backward", counted)
    return seen


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss_type": "grpo"},
        {"loss_type": "dr_grpo", "zero_variance": "filter"},
        {"loss_type": "bnpo"},
        {"shared_prompt": False},
        {"micro_batch": 8, "beta": 0.1, "max_tokens_per_pass": 100},
        {"gradient_checkpointing": True},
        {"lora_rank": 4},
    ],
    ids=str,
)
def test_passes_of_few_tokens_train_as_one(
    settings: dict[str, Any], tmp_path: Path, pairs_file: Path, speaking_model: Path, passes: list[int]
) -> None:
    # Prompts have 60 to 68 tokens: however short the replies, 200 never hold four groups, and 100 never two.
    bound = settings.get("max_tokens_per_pass", 200)
    whole = ActConfig(
        pairs=pairs_file,
        model=str(speaking_model),
        out=tmp_path / "whole",
        **{
            "groups": 4,
            "num_generations": 4,
            "micro_batch": 16,
            "max_completion_tokens": 12,
            "steps": 3,
            "learning_rate": 1e-3,
            "precision": "fp32",
            "save_every": 0,
            "probe": 0,
            "probe_groups": 0,
            **settings,
            "max_tokens_per_pass": 0,
        },
    )
    act.train(whole)
    assert not passes
    cut_up = replace(whole, out=tmp_path / "cut", max_tokens_per_pass=bound)
    act.train(cut_up)
    assert len(passes) >= 3
    one, other = (
        [line for line in map(json.loads, (each.out / "metrics.jsonl").read_text().splitlines()) if "step" in line]
        for each in (whole, cut_up)
    )
    assert max(line["grad_norm"] for line in one) > 0.01
    for name in ("loss", "grad_norm", "reward"):
        assert [line[name] for line in other] == pytest.approx([line[name] for line in one], rel=1e-4, abs=1e-6), name
    weights, same = (load_file(each.out / "checkpoint" / "model.safetensors") for each in (whole, cut_up))
    for name, tensor in weights.items():
        torch.testing.assert_close(same[name], tensor, rtol=0, atol=1e-4)


def test_a_budget_below_nothing_is_refused(tmp_path: Path, pairs_file: Path, speaking_model: Path) -> None:
    with pytest.raises(UsageError, match="--max-tokens-per-pass is -1"):
        act.train(ActConfig(pairs=pairs_file, model=str(speaking_model), out=tmp_path / "run", max_tokens_per_pass=-1))
