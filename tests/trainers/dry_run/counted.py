"""Run by a launcher in two processes: counts what DeepSpeed holds and sends, as JSON on stdout.

torchrun --standalone --nproc-per-node 2 tests/trainers/dry_run/counted.py
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

PASSES = 2
SMALL = {
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}


def size(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def counting(backend: Any, sent: Counter[str]) -> None:
    """Count the bytes of DeepSpeed's collective operations: for each the larger of what goes in and what comes out."""
    import torch

    for name in ("all_reduce", "all_gather_into_tensor", "all_gather_coalesced", "reduce_scatter_tensor"):
        real = getattr(backend, name)

        def counted(*arguments: Any, _name: str = name, _real: Any = real, **settings: Any) -> Any:
            given = [*arguments, *settings.values()]
            if _name == "all_gather_coalesced":
                sent[_name] += sum(map(size, given[0]))
            else:
                sent[_name] += max(size(value) for value in given if torch.is_tensor(value))
            return _real(*arguments, **settings)

        setattr(backend, name, counted)


def measure(stage: int, *, mixed: bool, sent: Counter[str]) -> dict[str, Any]:
    import deepspeed
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SMALL)).to(torch.bfloat16 if mixed else torch.float32)
    parameters = sum(weight.numel() for weight in model.parameters())
    engine, optimizer, *_ = deepspeed.initialize(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters()),
        config={
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": PASSES,
            # As for a model that is too large to stay gathered from the forward to the backward pass.
            "zero_optimization": {
                "stage": stage,
                "stage3_param_persistence_threshold": 0,
                "stage3_max_live_parameters": 0,
                "stage3_max_reuse_distance": 0,
            },
            "zero_allow_untested_optimizer": True,
            "bf16": {"enabled": mixed},
        },
    )
    ids = torch.randint(0, 256, (1, 16))
    for _ in range(2):
        sent.clear()
        for _ in range(PASSES):
            engine.backward(engine(input_ids=ids, labels=ids).loss)
            engine.step()
    states = [tensor for state in optimizer.optimizer.state.values() for tensor in state.values()]
    held = {
        "weights": sum(size(getattr(weight, "ds_tensor", weight)) for weight in model.parameters()),
        "moments": sum(size(tensor) for tensor in states if tensor.numel() > 1),
    }
    if stage == 3:
        held["masters"] = sum(map(size, optimizer.fp32_partitioned_groups_flat))
        held["gradients"] = size(optimizer.grad_partitions_flat_buffer)
    else:
        held["masters"] = sum(map(size, optimizer.single_partition_of_fp32_groups))
    return {"parameters": parameters, "held": held, "sent": dict(sent)}


def main() -> int:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    os.environ.update(DS_ACCELERATOR="cpu", ACCELERATE_USE_DEEPSPEED="true")
    from trainers.run import distributed
    from trainers.run.logging import quiet

    quiet()
    distributed.join()
    from deepspeed.comm import comm

    sent: Counter[str] = Counter()
    counting(comm.cdb, sent)
    found = {
        f"{stage} {'mixed' if mixed else 'fp32'}": measure(stage, mixed=mixed, sent=sent)
        for stage in (2, 3)
        for mixed in (False, True)
    }
    if distributed.is_first():
        sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
