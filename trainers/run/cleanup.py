"""Cleanup of the run folder of a command that failed before any work, so that the corrected command can use it.

Invalid data, a missing model or a prompt that is too long is detected only after the folder was made.
A folder that holds more than settings and measurements from before the training is never removed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Protocol, TypeVar

from act_gym.errors import ActGymError
from act_gym.io.jsonl import read_records
from trainers.run import distributed

__all__ = ["discard_unstarted"]

T = TypeVar("T")


class _HasRunFolder(Protocol):
    @property
    def out(self) -> Path: ...


S = TypeVar("S", bound=_HasRunFolder)

# Written before the work begins, and written again by the next command.
_PREPARED = frozenset({"config.json", "manifest.json", "proposer.json", "decisions.jsonl", "summary.json"})


def discard_unstarted(program: Callable[[S], T]) -> Callable[[S], T]:
    """Decorate a program whose arguments have `out`: remove its run folder if it fails before it does any work.

    Work is a finished record, a training step or a saved state. A folder that held a run before the call stays.
    """

    @wraps(program)
    def tidy(config: S) -> T:
        with _discarding(config.out):
            return program(config)

    return tidy


@contextmanager
def _discarding(folder: Path) -> Iterator[None]:
    existed = os.path.exists(folder)  # noqa: PTH110  (the method raises where a parent may not be read)
    before = set(folder.rglob("*")) if existed else set()
    try:
        yield
    except (ActGymError, KeyboardInterrupt):
        if distributed.is_first() and folder / "config.json" not in before and folder.is_dir():
            _discard(folder, before, existed=existed)
        raise


def _discard(folder: Path, before: set[Path], *, existed: bool) -> None:
    made = [path for path in folder.rglob("*") if path not in before]
    if any(_is_work(path, folder) for path in made):
        return
    if not existed:
        shutil.rmtree(folder)
        return
    for path in made:
        if path.is_file():
            path.unlink()


def _is_work(path: Path, folder: Path) -> bool:
    if not path.is_file() or path.name in _PREPARED or path.is_relative_to(folder / "state" / "data"):
        return False
    if path.name == "metrics.jsonl":
        return any("step" in record for record in read_records(path))
    return path.stat().st_size > 0
