"""What is counted is what a real model, PyTorch's counter and DeepSpeed hold, do and send."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from act_gym.errors import UsageError
from tests.trainers.dry_run.counted import PASSES, SMALL
from trainers.dry_run.costs import SHAPES, Shape, states_per_gpu, traffic
from trainers.sequences import Costs


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SMALL))


@pytest.fixture
def shape(model: LlamaForCausalLM) -> Shape:
    return Shape.of(model.config)


def test_a_shapes_parameters_are_a_models_but_for_its_norms(model: LlamaForCausalLM, shape: Shape) -> None:
    norms = sum(weight.numel() for name, weight in model.named_parameters() if "norm" in name)
    assert shape.parameters == sum(weight.numel() for weight in model.parameters()) - norms


@pytest.mark.parametrize(
    ("name", "billions"), [("smollm2-135m", 0.1345), ("qwen3-4b", 4.02), ("qwen3-8b", 8.19), ("llama3-70b", 70.55)]
)
def test_published_shapes_have_the_published_sizes(name: str, billions: float) -> None:
    assert SHAPES[name].parameters / 1e9 == pytest.approx(billions, rel=0.002)


@pytest.mark.parametrize("parameters", [1e8, 1.7e9, 8e9, 70e9])
def test_a_shape_of_any_size_has_about_that_size(parameters: float) -> None:
    assert Shape.about(parameters).parameters == pytest.approx(parameters, rel=0.03)


def test_operations_are_those_that_pytorch_counts(model: LlamaForCausalLM, shape: Shape) -> None:
    rows, length = 2, 48
    eager = deepcopy(model)
    eager.set_attn_implementation("eager")  # the counter passes over a CPU's fused attention
    ids = torch.randint(0, 256, (rows, length))
    with FlopCounterMode(display=False) as forward:
        loss = eager(input_ids=ids, labels=ids).loss
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    counted = shape.forward_flops(rows * length, length)
    assert counted == pytest.approx(forward.get_total_flops(), rel=1e-6)
    assert 2 * counted == pytest.approx(backward.get_total_flops(), rel=1e-6)


def test_packing_counts_the_same_operations(model: LlamaForCausalLM, shape: Shape) -> None:
    assert Costs.of(model.config) == Costs(token=2 * shape.layers * shape.layer_parameters, pair=shape.pair_flops)


def kept_bytes(model: LlamaForCausalLM, ids: torch.Tensor) -> int:
    """Return the bytes of what a forward pass keeps for the backward pass, weights and logits aside."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model.model(input_ids=ids).last_hidden_state
    hidden.sum().backward()
    model.zero_grad()
    return sum(kept.values())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_about_those_that_a_forward_pass_keeps(
    model: LlamaForCausalLM, shape: Shape, checkpointing: bool
) -> None:
    ids = torch.randint(0, 256, (4, 64))
    if checkpointing:
        model.train()
        model.activation_checkpointing_enable({"use_reentrant": False})
    try:
        found = kept_bytes(model, ids)
    finally:
        model.activation_checkpointing_disable()
        model.eval()
    counted = shape.activation_bytes(ids.numel(), 4, checkpointing=checkpointing)
    if checkpointing:  # what one block keeps while it is computed once more is not seen from outside
        counted -= shape.activation_bytes(ids.numel(), 4, checkpointing=False) / shape.layers
    assert counted == pytest.approx(found, rel=0.15)


def test_a_cache_is_as_large_as_a_models(model: LlamaForCausalLM, shape: Shape) -> None:
    ids = torch.randint(0, 256, (3, 20))
    with torch.no_grad():
        cache = model(input_ids=ids, use_cache=True).past_key_values
    held = sum(tensor.nbytes for layer in cache.layers for tensor in (layer.keys, layer.values))
    assert shape.cache_bytes(ids.numel(), 4) == held


def test_a_config_that_is_no_decoders_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"the config\.json of a decoder"):
        Shape.read(tmp_path)


@pytest.fixture(scope="module")
def measured() -> Any:
    """Two processes under ZeRO-2 and ZeRO-3, in fp32 and with bf16 weights."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            str(Path(__file__).with_name("counted.py")),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1000,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("stage", [2, 3])
def test_states_and_traffic_are_those_of_deepspeed(measured: Any, stage: Any, mixed: bool) -> None:
    found = measured[f"{stage} {'mixed' if mixed else 'fp32'}"]
    held, sent = found["held"], found["sent"]
    counted = states_per_gpu(found["parameters"], 2, stage, mixed=mixed)
    assert held["weights"] == pytest.approx(counted["weights"], rel=1e-3)
    assert held["moments"] + held["masters"] == pytest.approx(counted["optimizer"], rel=1e-3)
    if stage == 3:
        assert held["gradients"] == pytest.approx(counted["gradients"], rel=1e-3)
    # Of a gather or a scatter among two, each receives half of what there is; a sum is both.
    gathered, scattered, summed = (
        sent.get(name, 0) / 2 for name in ("all_gather_into_tensor", "reduce_scatter_tensor", "all_reduce")
    )
    expected = traffic(found["parameters"], 2, stage, width=2 if mixed else 4)
    total = PASSES * expected.per_pass + expected.per_step
    assert gathered + scattered + 2 * summed == pytest.approx(total, rel=1e-3)
