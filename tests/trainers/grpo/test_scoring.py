"""Passes that score replies with the old and the reference weights hold to the bound as those that train do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import AutoModelForCausalLM

from tests.trainers.grpo.test_shared_prompt import trainer_of
from trainers.grpo.zero_variance import GroupTrainer, SharedPromptGroupTrainer

BOUND = 200


@pytest.mark.parametrize("trainer_class", [GroupTrainer, SharedPromptGroupTrainer])
def test_scoring_passes_hold_to_the_bound(trainer_class: type[Any], tiny_model: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    trainer = trainer_of(trainer_class, model, tiny_model, tmp_path, beta=0.1)
    trainer.model_wrapped = trainer.model
    sampled = trainer._generate_and_score_completions(
        [dict(row) for row in trainer.train_dataset.select(range(4)) for _ in range(4)]
    )
    ids = torch.cat([sampled["prompt_ids"], sampled["completion_ids"]], dim=1)
    mask = torch.cat([sampled["prompt_mask"], sampled["completion_mask"]], dim=1)
    longest = int(mask.sum(dim=1).max())
    passes: list[int] = []

    def count(module: nn.Module, inputs: Any) -> None:
        if isinstance(module, nn.Embedding):
            passes.append(inputs[0].numel())

    def score(bound: int) -> torch.Tensor:
        passes.clear()
        trainer.max_tokens_per_pass = bound
        with torch.no_grad():
            return trainer._get_per_token_logps_and_entropies(  # type: ignore[no-any-return]
                trainer.ref_model, ids, mask, sampled["completion_ids"].size(1), batch_size=16
            )[0]

    with register_module_forward_pre_hook(count):
        whole = score(0)
        assert max(passes) > BOUND
        cut_up = score(BOUND)
    assert longest < BOUND
    assert max(passes) <= BOUND
    kept = sampled["completion_mask"].bool()
    torch.testing.assert_close(cut_up[kept], whole[kept], rtol=0, atol=1e-5)
