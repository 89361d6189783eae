"""Multi-process training: runs work in the first process only and shares the result with the others.

`accelerate launch` starts a program several times and gives each copy its number (`RANK`). All code that writes a
run folder, plays episodes or asks a model goes through `by_first`; the rest is the same in every process.
In a program that was started by itself all of this has no effect and no cost.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

from act_gym.errors import ActGymError, MissingDependencyError, UsageError

__all__ = [
    "by_first",
    "count",
    "described",
    "is_first",
    "join",
    "largest",
    "per_process",
    "sharded_loading",
    "shards_weights",
    "uses_deepspeed",
    "whole",
]

T = TypeVar("T")

# Work of the first process alone may take hours: expert episodes, alternatives, the hash of large weights.
_PATIENCE = timedelta(days=30)
_waiting: Any = None


def count() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def is_first() -> bool:
    """Return whether this is the process that writes."""
    return int(os.environ.get("RANK") or 0) == 0


def uses_deepspeed() -> bool:
    """Return whether the launcher asks for DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() in ("1", "true")


def shards_weights() -> bool:
    """Return whether the launcher asks for ZeRO-3, under which no process holds the weights whole."""
    return uses_deepspeed() and os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2") == "3"


def described() -> str:
    """Return a description of how this program was started; saved states fit only the same one."""
    if count() == 1:
        return "1 process"
    stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    return f"{count()} processes, ZeRO-{stage}" if uses_deepspeed() else f"{count()} processes"


def per_process(sequences: int, what: str = "sequences") -> int:
    """Return each process's share of an optimizer step.

    Raises:
        UsageError: The sequences cannot be shared equally.
    """
    if sequences % count():
        raise UsageError(f"{sequences} {what} a step cannot be shared by {count()} processes equally.")
    return sequences // count()


def join() -> None:
    """Join the other processes; the first call waits for all of them.

    Raises:
        MissingDependencyError: The launcher asks for DeepSpeed and it is not installed.
    """
    global _waiting
    if count() == 1 or _waiting is not None:
        return
    import torch
    from accelerate import PartialState

    if uses_deepspeed():
        _prepare_deepspeed(on_gpu=torch.cuda.is_available())
    if torch.cuda.is_available():
        PartialState()
    else:
        PartialState(cpu=not uses_deepspeed(), backend="gloo")
    # NCCL times out after minutes; waiting uses a group of its own, which does not.
    _waiting = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)
    atexit.register(_part)


def _part() -> None:
    import torch

    # After an exception the others may be in the middle of a collective operation and cannot take part in a shutdown.
    if torch.distributed.is_initialized() and not hasattr(sys, "last_value"):
        torch.distributed.destroy_process_group()


def _prepare_deepspeed(*, on_gpu: bool) -> None:
    try:
        import deepspeed.ops
        from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder
    except ImportError as cause:
        raise MissingDependencyError("The package deepspeed", "deepspeed") from cause
    if not on_gpu:
        # DeepSpeed would compile its own all-reduce with g++ on first use. Gloo's works without a compiler.
        deepspeed.ops.__compatible_ops__[ShareMemCommBuilder.NAME] = False


def by_first(action: Callable[[], T]) -> T:
    """Run an action in the first process while the others wait; return its result in all of them.

    Args:
        action: Called in the first process; what it returns must be picklable.

    Raises:
        ActGymError: As raised by the action, in the first process. The others end with status 1 and no message.
    """
    if count() == 1:
        return action()
    join()
    import torch

    outcome: list[Any] = [None, True]
    error: ActGymError | None = None
    if is_first():
        try:
            outcome[0] = action()
        except ActGymError as caught:
            error, outcome[1] = caught, False
    torch.distributed.broadcast_object_list(outcome, src=0, group=_waiting)
    if error is not None:
        raise error
    if not outcome[1]:
        raise SystemExit(1)
    value: T = outcome[0]
    return value


def largest(value: int) -> int:
    """Return the largest of all processes' values; all must take part."""
    if count() == 1:
        return value
    join()
    import torch

    shared = torch.tensor([value])
    torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX, group=_waiting)
    return int(shared)


@contextlib.contextmanager
def sharded_loading(*, mixed: bool) -> Iterator[None]:
    """Let `from_pretrained` keep only this process's share of each weight, where the launcher asks for ZeRO-3.

    Args:
        mixed: Whether training calculates in bfloat16: DeepSpeed then holds the weights in bfloat16 and an
            fp32 copy in the optimizer.
    """
    join()
    if count() == 1 or not uses_deepspeed():
        yield
        return
    from accelerate.utils import DeepSpeedPlugin
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    plugin = DeepSpeedPlugin()
    plugin.set_mixed_precision("bf16" if mixed else "no")
    plugin.set_deepspeed_weakref()
    try:
        yield
    finally:
        unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def whole(model: Any) -> Iterator[None]:
    """Hold a model's weights whole in every process for a while, where they are sharded; all must take part."""
    sharded = [parameter for parameter in model.parameters() if hasattr(parameter, "ds_id")]
    if not sharded:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(sharded):
        yield
