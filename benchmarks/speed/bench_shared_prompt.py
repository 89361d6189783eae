"""Shared-prompt benchmark: a GRPO group with one prompt pass and TRL's own pass, on a real model in one run.

    python -m pytest benchmarks/speed/bench_shared_prompt.py --benchmark-group-by=group

SmolLM2-135M-Instruct, fp32, random tokens. A *pass* is the forward and backward pass over one group, by both
classes' own method; a *step* is what `trainers.act` does for one group: sampling, rewards, pass, update. The peak of
memory is written between the lines of the run; each is of a process of its own. On a machine that others use too, add
`--benchmark-timer=time.process_time`. Machines differ and are shared: read ratios inside a group. Nothing here asserts
a time. The whole run takes half an hour on two cores; `python -m benchmarks.speed.training_step` measures a grid of
shapes with one pass each.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed.output import Say
from benchmarks.speed.passes import Peak, Shape, group_of, run_pass, trainer, with_gradients
from trainers.grpo.packing import pack
from trainers.sequences import Costs
from trainers.varlen import use

pytestmark = pytest.mark.timeout(3600)

# (prompt tokens, completion tokens, replies in a group)
SHAPES = ((256, 64, 8), (512, 64, 4), (512, 64, 8), (1024, 64, 8), (2048, 64, 8), (512, 256, 8), (256, 256, 16))
STEP = (512, 64, 8)
CLASSES = ("trl", "shared")


def one_pass(kind: str, shape: Shape) -> None:
    """Run one group forward and backward, on gradients of zeros."""
    made = trainer(kind, *shape)
    made.model.zero_grad(set_to_none=False)
    run_pass(made, shape)


def peak_of_pass(kind: str, shape: Shape) -> int:
    """Return how many bytes one pass needs at its peak, without the weights and their gradients."""
    made = trainer(kind, *shape)
    with_gradients(made.model)
    watch = Peak()
    with watch.watched():
        run_pass(made, shape)
    return watch.bytes


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "prompt {} reply {} group {}".format(*shape))
def bench_pass(benchmark: Any, say: Say, shape: Shape, kind: str) -> None:
    benchmark.group = "pass: prompt {}, reply {}, group {}".format(*shape)
    trainer.cache_clear()  # two of TRL's passes at once do not fit into 24 GB
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        peak = pool.submit(peak_of_pass, kind, shape).result()
    made = trainer(kind, *shape)
    benchmark.pedantic(one_pass, (kind, shape), rounds=3, warmup_rounds=1)
    rows = f"{shape[2]} x {sum(shape[:2])}"
    if kind == "shared":
        packs = pack(*group_of(*shape), shape[1], Costs.of(made.model.config), 0, by_sequence=use(made.model))
        rows = rows if packs is None else " x ".join(map(str, packs.input_ids.shape))
    say(f"{benchmark.group}: {kind}: {rows} tokens, {peak / 1e9:.2f} GB for a pass")


@pytest.mark.parametrize("kind", CLASSES)
def bench_step(benchmark: Any, kind: str) -> None:
    benchmark.group = "step: prompt {}, reply {}, group {}".format(*STEP)
    made = trainer(kind, *STEP)
    benchmark.pedantic(made.train, rounds=3, warmup_rounds=1)
    assert Path(made.args.output_dir).is_dir()
