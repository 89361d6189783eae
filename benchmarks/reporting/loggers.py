"""Sends what an evaluation measures to TensorBoard, Weights & Biases or trackio, through accelerate's trackers.

While episodes are played it sends success so far and speed, now and then; at the end, every number of the summary.
A tracker gets the run's label and settings. Keys stay where the tracker's own library looks for
them, and never reach a run folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from act_gym.errors import MissingDependencyError, UnknownNameError, UsageError
from benchmarks.reporting.progress import Progress
from benchmarks.stats.measurement import Summary

__all__ = ["TRACKERS", "Trackers", "check_trackers", "tracking"]

TRACKERS: tuple[str, ...] = ("tensorboard", "wandb", "trackio")
_EXTRAS = {"accelerate": "train", "tensorboard": "tracking", "wandb": "tracking", "trackio": "tracking"}
_PROJECT = "act-gym"
_EVERY = 10.0  # seconds between two looks at a running evaluation


class Trackers:
    """The open trackers of one run.

    Args:
        accelerator: Holds them; None if there are none.
    """

    def __init__(self, accelerator: Any) -> None:
        self._accelerator = accelerator
        self._sent = 0.0

    def progress(self, progress: Progress) -> None:
        """Send success and speed so far, if the last time was long enough ago."""
        if self._accelerator is not None and progress.seconds - self._sent >= _EVERY:
            self._sent = progress.seconds
            self._accelerator.log(progress.numbers(), step=progress.played)

    def finish(self, progress: Progress, summary: Summary) -> None:
        """Send every number of the summary, with the ends of its interval where it has one."""
        if self._accelerator is not None:
            self._accelerator.log({**progress.numbers(), **_flat(summary)}, step=progress.played)


@contextmanager
def tracking(names: Sequence[str], folder: Path, label: str, settings: Mapping[str, Any]) -> Iterator[Trackers]:
    """Open trackers, and close them when the block ends.

    Args:
        names: Any of `TRACKERS`; none is well.
        folder: The run folder. TensorBoard and W&B write into it, trackio where `TRACKIO_DIR` says.
        label: Name of the run in trackers.
        settings: How it is played. Nothing secret belongs here.

    Raises:
        UnknownNameError, MissingDependencyError: See `check_trackers`.
        UsageError: A tracker cannot be begun, for example because it wants a key.
    """
    if not names:
        yield Trackers(None)
        return
    check_trackers(names)
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, log_with=list(names), project_dir=folder)
    own = {
        # wandb reads its environment once a process: a later run would keep the first one's mode
        "wandb": {"name": label, "dir": str(folder), "mode": os.environ.get("WANDB_MODE")},
        "trackio": {"name": label, "embed": False},
    }
    try:
        with redirect_stdout(sys.stderr):  # stdout is for results
            simple = {key: value if isinstance(value, int | float) else str(value) for key, value in settings.items()}
            accelerator.init_trackers(_PROJECT, config=simple, init_kwargs=own)
    except Exception as cause:  # each library has errors of its own
        raise UsageError(f"A tracker of {', '.join(names)} cannot begin: {cause}") from cause
    try:
        yield Trackers(accelerator)
    finally:
        with redirect_stdout(sys.stderr):
            accelerator.end_training()
            if "trackio" in names:  # accelerate ends the run and leaves it open, and it would end once more at exit
                import trackio

                trackio.finish()


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that cannot be had.

    Raises:
        UnknownNameError: There is no such tracker.
        MissingDependencyError: A tracker's package is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)
        for package in ("accelerate", name):
            if find_spec(package) is None:
                raise MissingDependencyError(package, _EXTRAS[package])


def _flat(summary: Summary) -> dict[str, float]:
    """Return the numbers by name, e.g. `alfworld-unseen-134/success/low`, or `ALFWorld/unseen/success/low`."""
    found: dict[str, float] = {}
    for one in summary.measurements:
        place = (one.suite,) if one.suite else (one.benchmark, one.split)
        name = "/".join(filter(None, (*place, one.task_type, one.name)))
        found |= {name: one.value}
        if one.low is not None and one.high is not None:
            found |= {f"{name}/low": one.low, f"{name}/high": one.high}
    return found
