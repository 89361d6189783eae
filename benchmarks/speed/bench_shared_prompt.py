"""A GRPO group whose prompt is run once, beside TRL's own pass, on a real model in one run.

    python -m pytest benchmarks/speed/bench_shared_prompt.py --benchmark-group-by=group

SmolLM2-135M-Instruct, fp32, random tokens. A *pass* is the forward and backward pass over one group, by both
classes' own method; a *step* is what `trainers.act` does for one group: sampling, rewards, pass, update. The peak of
memory is written between the lines of the run; each is of a process of its own. On a machine that others use too, add
`--benchmark-timer=time.process_time`. Machines differ and are shared: read ratios inside a group. Nothing here asserts
a time. The whole run takes half an hour on two cores.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch

from trainers.packing import Costs, pack

pytestmark = pytest.mark.timeout(3600)

# (prompt tokens, completion tokens, replies in a group)
SHAPES = ((256, 64, 8), (512, 64, 4), (512, 64, 8), (1024, 64, 8), (2048, 64, 8), (512, 256, 8), (256, 256, 16))
STEP = (512, 64, 8)
CLASSES = ("trl", "shared")


@lru_cache(maxsize=1)  # each holds a model
def trainer(kind: str, prompt: int, reply: int, group: int) -> Any:
    """Return a trainer of either class that samples exactly `reply` tokens."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from trainers import checkpoints
    from trainers.quiet import quiet
    from trainers.shared_prompt import SharedPromptTrainer

    quiet()
    policy = checkpoints.load("smollm2", "fp32")
    tokens = torch.randint(1_000, 40_000, (64, prompt), generator=torch.Generator().manual_seed(0))
    made = (SharedPromptTrainer if kind == "shared" else GRPOTrainer)(
        model=policy.model,
        reward_funcs=lambda completions, **_: [float(len(text) % 7) for text in completions],
        args=GRPOConfig(
            output_dir=mkdtemp(),
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
            num_generations=group,
            per_device_train_batch_size=group,
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
    return made


def group_of(prompt: int, reply: int, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and mask of one group, shape (group, prompt + reply)."""
    generator = torch.Generator().manual_seed(0)
    shared = torch.randint(1_000, 40_000, (1, prompt), generator=generator).repeat(group, 1)
    ids = torch.cat([shared, torch.randint(1_000, 40_000, (group, reply), generator=generator)], dim=1)
    return ids, torch.ones_like(ids)


def run_pass(kind: str, shape: tuple[int, int, int]) -> None:
    """Run one group forward and backward."""
    made = trainer(kind, *shape)
    ids, mask = (tensor.to(made.accelerator.device) for tensor in group_of(*shape))
    made.model.zero_grad(set_to_none=False)
    found = made._get_per_token_logps_and_entropies(made.model, ids, mask, shape[1], compute_entropy=True)
    found[0].sum().backward()


def peak_of_pass(kind: str, shape: tuple[int, int, int]) -> int:
    """Return how many bytes one pass needs at its peak besides the weights and their gradients."""
    made = trainer(kind, *shape)
    for weight in made.model.parameters():
        weight.grad = torch.zeros_like(weight)
    before = peak = resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    run_pass(kind, shape)
    done.set()
    watcher.join()
    return peak - before


def resident() -> int:
    """Return the process's memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "prompt {} reply {} group {}".format(*shape))
def bench_pass(benchmark: Any, capsys: pytest.CaptureFixture[str], shape: tuple[int, int, int], kind: str) -> None:
    benchmark.group = "pass: prompt {}, reply {}, group {}".format(*shape)
    trainer.cache_clear()  # two of TRL's passes at once do not fit into 24 GB
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        peak = pool.submit(peak_of_pass, kind, shape).result()
    made = trainer(kind, *shape)
    benchmark.pedantic(run_pass, (kind, shape), rounds=3, warmup_rounds=1)
    rows = f"{shape[2]} x {sum(shape[:2])}"
    if kind == "shared":
        packs = pack(*group_of(*shape), shape[1], Costs.of(made.model.config), 0)
        rows = rows if packs is None else " x ".join(map(str, packs.input_ids.shape))
    with capsys.disabled():
        sys.stdout.write(f"\n{benchmark.group}: {kind}: {rows} tokens, {peak / 1e9:.2f} GB for a pass\n")


@pytest.mark.parametrize("kind", CLASSES)
def bench_step(benchmark: Any, kind: str) -> None:
    benchmark.group = "step: prompt {}, reply {}, group {}".format(*STEP)
    made = trainer(kind, *STEP)
    benchmark.pedantic(made.train, rounds=3, warmup_rounds=1)
    assert Path(made.args.output_dir).is_dir()
