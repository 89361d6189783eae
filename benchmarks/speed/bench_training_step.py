"""Training-step benchmark: TRL's and our passes over a GRPO group, and padded and packed imitation steps, in one run.

    OMP_NUM_THREADS=1 pytest benchmarks/speed/bench_training_step.py --benchmark-group-by=group \\
        --benchmark-timer=time.process_time -k "512 and 64 and 8"

SmolLM2-135M-Instruct, fp32, random tokens. A *pass* is the forward and backward pass over one group, by both classes'
own method; a *step* is what `act-gym train act` does for one group: sampling, rewards, pass, update. `extra_info` in
`--benchmark-json` has the memory of a pass at its peak, without weights and gradients. All takes half an hour on two
cores; read the ratios inside a group.
"""

from __future__ import annotations

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil
import pytest
import torch

pytestmark = pytest.mark.timeout(3600)

Shape = tuple[int, int, int]
"""Prompt tokens, completion tokens, replies in a group."""

SHAPES: tuple[Shape, ...] = (
    (256, 64, 4),
    (256, 64, 16),
    (256, 256, 4),
    (512, 64, 8),
    (1024, 64, 8),
    (1024, 128, 8),
    (2048, 64, 4),
)
STEP = (512, 64, 8)
KINDS = ("trl", "shared")
_MICRO_BATCH, _GROUPS = 16, 4


@lru_cache(maxsize=1)  # each holds a model
def trainer(kind: str, prompt: int, reply: int, group: int, groups: int = 1) -> Any:
    """Return a GRPO trainer, TRL's or ours, that samples exactly `reply` tokens."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from trainers.grpo.zero_variance import SharedPromptGroupTrainer
    from trainers.run import checkpoints
    from trainers.run.logging import quiet

    quiet()
    policy = checkpoints.load("smollm2", "fp32")
    tokens = torch.randint(1_000, 40_000, (64, prompt), generator=torch.Generator().manual_seed(0))
    made = (SharedPromptGroupTrainer if kind == "shared" else GRPOTrainer)(
        model=policy.model,
        reward_funcs=lambda completions, **_: [float(len(text) % 7) for text in completions],
        args=GRPOConfig(
            output_dir=mkdtemp(),
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            bf16=False,
            activation_checkpointing=False,
            disable_tqdm=True,
            num_generations=group,
            per_device_train_batch_size=group * groups,
            max_completion_length=reply,
            generation_kwargs={"min_new_tokens": reply},
            learning_rate=1e-6,
            save_strategy="no",
            max_steps=1,
        ),
        train_dataset=Dataset.from_list([{"prompt": policy.tokenizer.decode(row)} for row in tokens]),
        processing_class=policy.tokenizer,
    )
    made.model.train()
    for weight in made.model.parameters():
        weight.grad = torch.zeros_like(weight)  # so that a pass's own memory is what comes on top
    return made


def group_of(prompt: int, reply: int, group: int) -> torch.Tensor:
    """Return the tokens of one group. Shapes: (group, prompt + reply)."""
    generator = torch.Generator().manual_seed(0)
    shared = torch.randint(1_000, 40_000, (1, prompt), generator=generator).repeat(group, 1)
    return torch.cat([shared, torch.randint(1_000, 40_000, (group, reply), generator=generator)], dim=1)


def run_pass(kind: str, shape: Shape) -> float:
    """Run one group forward and backward; return the sum of its log-probabilities."""
    made = trainer(kind, *shape)
    ids = group_of(*shape).to(made.accelerator.device)
    found = made._get_per_token_logps_and_entropies(made.model, ids, torch.ones_like(ids), shape[1])[0]
    found.sum().backward()
    return float(found.detach().double().sum())


def peak_of_pass(kind: str, shape: Shape) -> int:
    """Return the bytes that one pass needs at its peak; for a process of its own."""
    trainer(kind, *shape)
    before: int = psutil.Process().memory_info().rss
    run_pass(kind, shape)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "prompt {} reply {} group {}".format(*shape))
def bench_pass(benchmark: Any, shape: Shape, kind: str) -> None:
    benchmark.group = "pass: prompt {}, reply {}, group {}".format(*shape)
    trainer.cache_clear()  # two of TRL's passes at once do not fit into 24 GB
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        benchmark.extra_info["peak_bytes"] = pool.submit(peak_of_pass, kind, shape).result()
    trainer(kind, *shape)
    benchmark.extra_info["log_probability"] = benchmark.pedantic(run_pass, (kind, shape), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("kind", KINDS)
def bench_step(benchmark: Any, kind: str) -> None:
    benchmark.group = "step: prompt {}, reply {}, group {}".format(*STEP)
    benchmark.pedantic(trainer(kind, *STEP).train, rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("budget", [0, 1100, 520])
def bench_token_budget(benchmark: Any, budget: int) -> None:
    """A micro-batch of four groups in passes of at most so many tokens; a group has 512, its prompt counted once."""
    benchmark.group = "micro-batch of four groups, tokens in a pass"
    prompt, reply, group = shape = (256, 64, 4)
    made = trainer("shared", *shape, _GROUPS)
    made.current_gradient_accumulation_steps = 1  # as `train` sets it
    made.max_tokens_per_pass = budget
    ids = torch.cat([group_of(*shape) + 7 * number for number in range(_GROUPS)])
    mask = torch.ones_like(ids)
    inputs = {
        "prompt_ids": ids[:, :prompt],
        "prompt_mask": mask[:, :prompt],
        "completion_ids": ids[:, prompt:],
        "completion_mask": mask[:, prompt:],
        "advantages": torch.randn(_GROUPS * group, generator=torch.Generator().manual_seed(0)),
        "num_items_in_batch": torch.tensor(float(_GROUPS * group * reply)),
    }

    def micro_batch() -> float:
        loss = made.compute_loss(made.model, inputs)
        loss.backward()
        return float(loss.detach())

    benchmark.extra_info["loss"] = benchmark.pedantic(micro_batch, rounds=3)


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def bench_imitation_step(benchmark: Any, packed: bool) -> None:
    """A step of 16 samples of 102 to 421 random tokens, as ALFWorld's decisions have."""
    from trainers.imitation import ImitationConfig
    from trainers.run import checkpoints
    from trainers.run.logging import quiet
    from trainers.sft.answers import trainer_of

    benchmark.group = f"imitation step, {_MICRO_BATCH} samples"
    quiet()
    trainer.cache_clear()
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(102, 422, (_MICRO_BATCH,), generator=generator).tolist()
    rows = [torch.randint(1_000, 40_000, (length,), generator=generator).tolist() for length in lengths]
    config = ImitationConfig(
        batch=_MICRO_BATCH,
        micro_batch=_MICRO_BATCH,
        steps=1,
        precision="fp32",
        gradient_checkpointing=True,
        pack=packed,
        save_every=0,
        out=Path(mkdtemp()),
    )
    samples = [{"input_ids": row, "labels": [-100] * (len(row) - 12) + row[-12:]} for row in rows]
    made = trainer_of(config, checkpoints.load("smollm2", "fp32"), samples)
    benchmark.pedantic(made.train, rounds=3, warmup_rounds=1)
    benchmark.extra_info["loss"] = made.state.log_history[0]["loss"]
