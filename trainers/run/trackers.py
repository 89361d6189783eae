"""Experiment trackers: reports a training to TensorBoard, Weights & Biases or trackio, one tracker run per run folder.

```
runs/<name>/
├── tensorboard/    event files, one for each start; steps that a resume repeats are purged
├── wandb/          W&B's own files
└── tracker.json    W&B's and trackio's name of the run, for a resume to continue it
```
trackio keeps its files in the folder `TRACKIO_DIR`. Keys remain where each library looks for them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from act_gym.errors import MissingDependencyError, UsageError
from act_gym.io.jsonl import write_json
from trainers.run import distributed
from trainers.run.config import ReportTo

__all__ = ["PROJECT", "Report", "check", "reporter", "reporting", "run_name"]

PROJECT = "act-gym"

Report = Callable[[int, Mapping[str, float]], None]
"""Function of a step and its values, whose names are `train/…` and `eval/…`."""


def check(report_to: ReportTo) -> None:
    """Check that a tracker's package is installed.

    Raises:
        MissingDependencyError: It is not installed.
    """
    if report_to != "none" and find_spec(report_to) is None:
        raise MissingDependencyError(f"The package {report_to}", "tracking")


def run_name(folder: Path) -> str:
    """Return a run's name in trackers: its folder's name, after the pipeline's where the run is a stage of one."""
    folder = folder.resolve()
    is_stage = (folder.parent / "config.json").exists()
    return f"{folder.parent.name}/{folder.name}" if is_stage else folder.name


@contextmanager
def reporting(trainer: Any, report_to: ReportTo, folder: Path, step: int) -> Iterator[None]:
    """Report the logs of a trainer in the block, from the first of several processes.

    Args:
        trainer: Transformers', set up without a tracker of its own.
        report_to: The tracker.
        folder: The run folder.
        step: Optimizer steps that were done, and reported, before.

    Raises:
        UsageError: The tracker cannot begin, for example because it wants a key.
    """
    if report_to == "none" or not distributed.is_first():
        yield
        return
    begin = {"tensorboard": _tensorboard, "wandb": _wandb, "trackio": _trackio}[report_to]
    with _opened(report_to, lambda: (None, begin(trainer, folder, step))):
        yield


@contextmanager
def reporter(report_to: ReportTo, folder: Path, step: int) -> Iterator[Report]:
    """Yield a function that reports a step's values, for a training loop without callbacks.

    Args:
        report_to: The tracker.
        folder: The run folder.
        step: Steps that were done, and reported, before.

    Raises:
        UsageError: The tracker cannot begin, for example because it wants a key.
    """
    if report_to == "none" or not distributed.is_first():
        yield lambda _step, _values: None
        return
    begin = {"tensorboard": _to_tensorboard, "wandb": _to_wandb, "trackio": _to_trackio}[report_to]
    with _opened(report_to, lambda: begin(folder, step)) as report:
        yield report


@contextmanager
def _opened(report_to: ReportTo, begin: Callable[[], tuple[Any, Callable[[], Any]]]) -> Iterator[Any]:
    """Open a tracker with `begin`, yield the first of its two results, and close it with the second."""
    with redirect_stdout(sys.stderr):  # stdout is for results
        try:
            given, finish = begin()
        except Exception as cause:  # each library has errors of its own
            raise UsageError(f"{report_to} cannot begin: {cause}. Or train with --report-to none.") from cause
        try:
            yield given
        finally:
            finish()


def _to_tensorboard(folder: Path, step: int) -> tuple[Report, Callable[[], Any]]:
    writer = _writer(folder, step)

    def report(number: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, number)

    return report, writer.close


def _to_wandb(folder: Path, step: int) -> tuple[Report, Callable[[], Any]]:  # noqa: ARG001 (as the others)
    run = _begin_wandb(folder)
    # As Transformers does it, so that steps which a resume repeats are not refused.
    run.define_metric("train/global_step")
    run.define_metric("*", step_metric="train/global_step", step_sync=True)
    return lambda number, values: run.log({**values, "train/global_step": number}), _finish_wandb


def _to_trackio(folder: Path, step: int) -> tuple[Report, Callable[[], Any]]:  # noqa: ARG001 (as the others)
    import trackio

    trackio.init(project=PROJECT, name=_known(folder, trackio)["name"], resume="allow")
    return lambda number, values: trackio.log({**values, "train/global_step": number}), trackio.finish


def _writer(folder: Path, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    place = folder / "tensorboard"
    # A resumed training repeats steps that an earlier event file has.
    return SummaryWriter(str(place), purge_step=step + 1 if place.exists() else None)


def _tensorboard(trainer: Any, folder: Path, step: int) -> Any:
    from transformers.integrations.integration_utils import TensorBoardCallback

    writer = _writer(folder, step)
    trainer.add_callback(TensorBoardCallback(writer))  # type: ignore[no-untyped-call]
    return writer.close


def _begin_wandb(folder: Path) -> Any:
    import wandb

    known = _known(folder)
    mode: Any = os.environ.get("WANDB_MODE")  # wandb reads it once for the whole process
    return wandb.init(
        project=os.environ.get("WANDB_PROJECT") or PROJECT,
        name=os.environ.get("WANDB_NAME") or known["name"],
        id=known["id"],
        resume="allow",
        dir=str(folder),
        mode=mode,
    )


def _finish_wandb() -> None:
    """End the run: the next stage of a pipeline is a run of its own."""
    import wandb

    wandb.finish(exit_code=int(sys.exc_info()[0] is not None))


def _wandb(trainer: Any, folder: Path, step: int) -> Any:  # noqa: ARG001 (as the others)
    from transformers.integrations.integration_utils import WandbCallback

    _begin_wandb(folder)
    trainer.add_callback(WandbCallback())  # type: ignore[no-untyped-call]
    return _finish_wandb


def _trackio(trainer: Any, folder: Path, step: int) -> Any:  # noqa: ARG001 (as the others)
    import trackio
    from transformers.integrations.integration_utils import TrackioCallback

    # The callback continues the newest run of this name.
    trainer.args.project, trainer.args.run_name = PROJECT, _known(folder, trackio)["name"]
    trainer.add_callback(TrackioCallback())  # type: ignore[no-untyped-call]

    def finish() -> None:
        with suppress(RuntimeError):  # the callback has, unless the training was interrupted
            trackio.finish()

    return finish


def _known(folder: Path, trackio: Any = None) -> dict[str, str]:
    """Return the id and the name of the run that belongs to a folder; trackio has no ids, so its names are unique."""
    path = folder / "tracker.json"
    if path.exists():
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return found
    found = {"id": uuid4().hex[:12], "name": run_name(folder)}
    if trackio is not None and found["name"] in _taken(trackio):
        found["name"] += f"-{found['id'][:6]}"
    write_json(path, found)
    return found


def _taken(trackio: Any) -> set[str]:
    try:
        return {run.name for run in trackio.Api().runs(PROJECT)}
    except ValueError:  # there is no such project yet
        return set()
