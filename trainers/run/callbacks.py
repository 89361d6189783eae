"""Training callbacks: `metrics.jsonl`, a progress bar and corrections of a resume.

They connect Transformers' trainers with a run folder, and are independent of rewards and losses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback

from act_gym.io.run_dir import Run
from agents.local.memory import MemoryTrimmer

__all__ = ["MemoryCallback", "MetricsCallback", "ProgressCallback", "ResumeCallback"]

# The libraries' names of metrics, and ours. Other metrics are not logged.
_NAMES: Mapping[str, str] = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "epoch": "epoch",
    "entropy": "entropy",
    "kl": "kl",
    "reward": "reward",
    "zero_variance_groups": "frac_reward_zero_std",
    "kept_groups": "kept_groups",
    "resampled_groups": "resampled_groups",
    "mastered_groups": "mastered_groups",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "clipped_ratio",
    "clip_ratio/region_mean": "clip_ratio",
    "mean_token_accuracy": "token_accuracy",
    "step_time": "seconds",
    "accuracy": "accuracy",
    "other_admissible_rate": "other_admissible_rate",
    "numbered": "numbered",
    "inadmissible_rate": "inadmissible_rate",
    "format_error_rate": "format_error_rate",
    "accuracy_expert_first": "accuracy_expert_first",
    "accuracy_expert_second": "accuracy_expert_second",
    "rewards/accuracies": "preferred",
    "rewards/margins": "margin",
    "logps/chosen": "log_probability_expert",
    "logps/rejected": "log_probability_alternative",
}

Logs = Mapping[str, Any] | None


class MetricsCallback(TrainerCallback):
    """Callback that writes every logging step to the run's metrics, under names of our own.

    Args:
        run: The run folder.
        stage: The stage's name.
        before: Lines of the steps before a resume.
    """

    def __init__(self, run: Run, stage: str, before: Sequence[Mapping[str, Any]] = ()) -> None:
        self.run = run
        self.stage = stage
        self.lines: list[Mapping[str, Any]] = [line for line in before if "step" in line]

    def on_log(self, args: Any, state: Any, control: Any, logs: Logs = None, **_: Any) -> None:  # noqa: ARG002 (theirs)
        """Translate and write one line; the trainer's closing summary is left out."""
        values = {
            ours: number for theirs, ours in _NAMES.items() if (number := _number(logs or {}, theirs)) is not None
        }
        if not state.is_world_process_zero or "learning_rate" not in values:
            return
        self.lines.append(values)
        self.run.log(stage=self.stage, step=state.global_step, **values)

    def mean_of_last(self, name: str, share: float = 0.25) -> float | None:
        """Return a metric's mean over the last share of the lines; None if it was never logged."""
        values = [line[name] for line in self.lines if name in line]
        tail = values[-max(1, round(len(values) * share)) :]
        return sum(tail) / len(tail) if tail else None


def _number(logs: Mapping[str, Any], name: str) -> float | None:
    value = logs.get(name)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return round(float(value), 8)


class MemoryCallback(TrainerCallback):
    """Callback that returns freed memory to the operating system after a step."""

    def __init__(self) -> None:
        self._memory = MemoryTrimmer()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 (theirs)
        """Trim the heap if the process has grown."""
        self._memory.trim()


class ResumeCallback(TrainerCallback):
    """Callback that restores what the libraries miss in a resume: changed intervals and our own sampler's epoch."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 (theirs)
        """Set the intervals of logging and saving from the arguments; a state restores the ones it was saved with."""
        state.compute_steps(args, state.max_steps)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any) -> None:  # noqa: ARG002 (theirs)
        """Give the innermost sampler its epoch, which no library does in a resumed epoch of several processes."""
        batches = train_dataloader.batch_sampler
        while hasattr(batches, "batch_sampler"):
            batches = batches.batch_sampler
        batches.sampler.set_epoch(int(state.epoch or 0))


class ProgressCallback(TrainerCallback):
    """Progress bar on stderr with the main metrics; off when stderr is not a terminal."""

    WATCHED = ("loss", "reward", "accuracy", "format_error_rate", "zero_variance_groups")

    def __init__(self, stage: str) -> None:
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn(f"{stage:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(stage, total=None, metrics="")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 (theirs)
        """Show the bar, from where the training resumes."""
        self.bar.update(self.task, total=state.max_steps, completed=state.global_step)
        if state.is_world_process_zero:
            self.bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 (theirs)
        """Advance the bar by one step."""
        self.bar.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Logs = None, **_: Any) -> None:  # noqa: ARG002 (theirs)
        """Show the newest metrics."""
        values = logs or {}
        shown = [f"{_NAMES[name]} {values[name]:.2f}" for name in self.WATCHED if isinstance(values.get(name), float)]
        if shown:
            self.bar.update(self.task, metrics="  ".join(shown))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 (theirs)
        """Stop the bar without clearing it."""
        self.stop()

    def stop(self) -> None:
        """Release the terminal."""
        self.bar.stop()
