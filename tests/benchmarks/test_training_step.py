"""The benchmark of the training pass counts the operations that PyTorch counts, and shows both sides."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from act_gym.errors import UsageError
from benchmarks.speed import supervised_step
from benchmarks.speed.training_step import Measured, matmul_rate, operations, shape_of, table
from tests.trainers.dry_run.counted import SMALL
from trainers.dry_run.costs import Shape
from trainers.sequences import Sequences
from trainers.varlen import Layout, use

# What the counter does not know by itself: a CPU's fused attention, and products that are added in place.
FUSED = {
    torch.ops.aten.addmm_: lambda _, one, other, **__: 2 * one[0] * one[1] * other[1],
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda *given, **_: sdpa_flop_count(*given[:3]),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda *given, **_: sdpa_backward_flop_count(
        *given[:4]
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_operations_are_those_that_pytorch_counts(checkpointing: bool) -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SMALL))
    add_fused_lm_head(model)
    if checkpointing:
        model.train()
        model.activation_checkpointing_enable()
    rows, length = 3, 64
    ids = torch.randint(0, 256, (rows, length))
    with FlopCounterMode(display=False, custom_mapping=FUSED) as counter:
        outputs: Any = model(input_ids=ids, shift_labels=ids, fused_lm_head=True)
        outputs.log_probs.sum().backward()
    # The counter takes a kernel that looks at nothing ahead for one that looks at everything.
    counted = operations(
        Shape.of(model.config), rows * length, rows * length**2, rows * length, checkpointing=checkpointing
    )
    assert counted == pytest.approx(counter.get_total_flops(), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_operations_of_sequences_in_a_row_are_those_that_pytorch_counts(checkpointing: bool) -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SMALL))
    add_fused_lm_head(model)
    assert use(model)
    if checkpointing:
        model.train()
        model.activation_checkpointing_enable()
    part = Sequences(48, (16, 9, 16))
    asked = torch.arange(48, 60)
    layout = Layout((part, Sequences(20)), asked)
    ids = torch.randint(0, 256, (1, layout.tokens))
    with FlopCounterMode(display=False, custom_mapping=FUSED) as counter:
        outputs: Any = model(input_ids=ids, shift_labels=ids[:, asked], layout=layout, fused_lm_head=True)
        outputs.log_probs.sum().backward()
    ahead = (48**2 + 20**2) / 2  # which the counter counts, though the kernel leaves it out
    counted = operations(
        Shape.of(model.config), layout.tokens, layout.pairs + ahead, len(asked), checkpointing=checkpointing
    )
    assert layout.pairs + ahead == 48**2 + 20**2 + 3 * 16 * (48 + 16)
    assert counted == pytest.approx(counter.get_total_flops(), rel=1e-6)


def test_a_matrix_product_reaches_some_rate() -> None:
    assert 1e8 < matmul_rate(256, 2) < 1e13


def test_both_sides_stand_in_a_row_and_survive_being_written() -> None:
    ours = Measured(
        shape="512/64/8",
        kind="shared",
        checkpointing=True,
        round=0,
        rows=1,
        length=1023,
        seconds=10.0,
        elapsed=12.0,
        peak=10**9,
        operations=4e11,
        limit=8e10,
        log_probability=-1.0,
    )
    theirs = replace(ours, kind="trl", rows=8, length=576, seconds=40.0, peak=3 * 10**9, operations=2e12)
    found = [Measured.from_json(json.loads(json.dumps(each.to_json()))) for each in (theirs, ours)]
    assert found == [theirs, ours]
    row = table([*found, replace(theirs, shape="256/64/4")]).splitlines()[-1]
    assert row == "| 512 / 64 / 8 | 8 × 576 | 1 × 1,023 | 115 | 461 | 4.00 | 3.00 | 1.00 | 62% | 50% |"


def test_what_is_no_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="512/64/8"):
        shape_of("512x64")


def test_packed_steps_stand_beside_padded_ones() -> None:
    padded = supervised_step.Steps(
        packed=False, micro_batch=16, needed=1000, computed=1800, seconds=(9.0, 11.0), losses=(2.0, 1.5), peak=10**9
    )
    packed = replace(padded, packed=True, computed=1200, seconds=(5.0, 5.0), losses=(2.0, 2.0), peak=5 * 10**8)
    row = supervised_step.table([padded, packed]).splitlines()[-1]
    assert row == "| 16 | 1,800 | 1,200 | 10.0 | 5.0 | 2.00 | 1.00 | 0.50 | 0.5 |"
