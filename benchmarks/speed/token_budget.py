"""Token-budget benchmark: memory and time of a GRPO micro-batch's passes under a bound on tokens.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.token_budget

Four groups of four replies of 64 random tokens to prompts of 256, SmolLM2-135M-Instruct, fp32, activations kept.
Each budget is of a process of its own. Memory is what comes on top of weights and gradients; time is processor time.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from tempfile import mkdtemp
from typing import Any

import torch

from act_gym.cli import run
from act_gym.config import parse
from benchmarks.speed.passes import Peak, group_of, with_gradients

__all__ = ["Measured", "TokenBudgetConfig", "main", "measure"]

_GROUPS, _SHAPE = 4, (256, 64, 4)


@dataclass(frozen=True)
class TokenBudgetConfig:
    """Measure a micro-batch in passes of at most so many tokens."""

    budgets: tuple[int, ...] = (0, 1100, 520)
    """Tokens of a pass; 0 for no bound. A group has 512, its prompt counted once."""


@dataclass(frozen=True)
class Measured:
    """A micro-batch: its passes, loss, the norm of its gradient, bytes at the peak and seconds of processor time."""

    passes: int
    loss: float
    norm: float
    peak: int
    seconds: float


def measure(budget: int) -> Measured:
    """Run the micro-batch in this process, which has not run another."""
    made, inputs = _trainer(), _micro_batch()
    with_gradients(made.model)
    made.max_tokens_per_pass = budget
    watch = Peak()
    with watch.watched():
        started = time.process_time()
        loss = made.compute_loss(made.model, inputs)
        loss.backward()
        seconds = time.process_time() - started
    norm = torch.cat([weight.grad.flatten() for weight in made.model.parameters()]).norm()
    passes = len(made._parts(inputs)) if budget else 1
    return Measured(passes, loss.item(), norm.item(), watch.bytes, seconds)


def _trainer() -> Any:
    from datasets import Dataset
    from trl import GRPOConfig

    from trainers.grpo.zero_variance import SharedPromptGroupTrainer
    from trainers.run import checkpoints
    from trainers.run.logging import quiet

    quiet()
    policy = checkpoints.load("smollm2", "fp32")
    rows = _GROUPS * _SHAPE[2]
    made = SharedPromptGroupTrainer(
        model=policy.model,
        reward_funcs=lambda completions, **_: [0.0 for _ in completions],  # never asked
        args=GRPOConfig(
            output_dir=mkdtemp(),
            report_to="none",
            use_cpu=True,
            bf16=False,
            num_generations=_SHAPE[2],
            per_device_train_batch_size=rows,
            activation_checkpointing=False,
            max_steps=1,
        ),
        train_dataset=Dataset.from_list([{"prompt": "Look around."}] * rows),
        processing_class=policy.tokenizer,
    )
    made.model.train()
    made.current_gradient_accumulation_steps = 1  # as `train` sets it
    return made


def _micro_batch() -> dict[str, torch.Tensor]:
    """Return what TRL makes of sampled replies."""
    prompt, reply, group = _SHAPE
    ids = torch.cat([(group_of(*_SHAPE)[0] + 7 * number) for number in range(_GROUPS)])
    mask = torch.ones_like(ids)
    return {
        "prompt_ids": ids[:, :prompt],
        "prompt_mask": mask[:, :prompt],
        "completion_ids": ids[:, prompt:],
        "completion_mask": mask[:, prompt:],
        "advantages": torch.randn(_GROUPS * group, generator=torch.Generator().manual_seed(0)),
        "num_items_in_batch": torch.tensor(float(_GROUPS * group * reply)),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parse(TokenBudgetConfig, words, program="python -m benchmarks.speed.token_budget")
    sys.stdout.write("| budget | passes | loss | gradient | GB | seconds |\n|--:|--:|--:|--:|--:|--:|\n")
    for budget in arguments.budgets:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            one = pool.submit(measure, budget).result()
        told = f"{one.loss:.6f} | {one.norm:.5f} | {one.peak / 1e9:.2f} | {one.seconds:.1f}"
        sys.stdout.write(f"| {budget or 'none'} | {one.passes} | {told} |\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
