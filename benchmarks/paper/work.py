"""Carries jobs out, each once: what is done is passed over, what was killed goes on where it was.

One process at a time works in a folder. A job runs in this process, or behind a launch command such as
accelerate's if it trains; then the lock is handed to that command, so that one which outlives us is not
joined by a second one in the same run folder.
"""

from __future__ import annotations

import fcntl
import gc
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from act_gym.cli import spelled
from act_gym.errors import ActGymError, FailedEpisodesError, RunError
from act_gym.io.jsonl import replacing, write_json
from benchmarks.paper.jobs import Job

__all__ = ["Worker", "command", "working_in"]


@contextmanager
def working_in(folder: Path) -> Iterator[TextIO]:
    """Keep others from working in a folder; gives the file that holds the lock.

    Raises:
        RunError: Somebody works there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            raise RunError(
                f"Somebody works in {folder} already: another benchmarks.paper, or a job that one started and that "
                "outlived it. Wait for it, end it, or choose another --out."
            ) from cause
        yield file


@dataclass
class Worker:
    """Carries jobs out.

    Attributes:
        lock: The file that `working_in` gives.
        launch: What stands before a training program, e.g. `accelerate launch --config_file …`; empty to train here.
        failed: Why a job could not be done, by its folder.
    """

    lock: TextIO
    launch: str = ""
    failed: dict[Path, str] = field(default_factory=dict)

    def do(self, job: Job, *, needed: bool = False) -> bool:
        """Do a job and all it stands on; return whether it is done now.

        Args:
            job: What is done, if it is not done yet.
            needed: Whether its files are needed, so that it is done again if they were discarded.
        """
        if needed and job.discarded:
            shutil.rmtree(job.folder, ignore_errors=True)
            job.marker.unlink()
        if job.done:
            return True
        for need in job.needs:
            if not self.do(need, needed=True):
                self.failed.setdefault(job.folder, self.failed[need.folder])
        if job.folder not in self.failed:
            self._try(job)
        return job.folder not in self.failed

    def discard(self, jobs: Iterable[Job]) -> None:
        """Remove the checkpoints of jobs on which none of them stands that is still to be done."""
        all_ = list(jobs)
        wanted = {need.folder for job in all_ if not job.done for need in job.needs}
        for job in all_:
            if job.done and job.folder not in wanted:
                shutil.rmtree(job.folder / "checkpoint", ignore_errors=True)

    def _try(self, job: Job) -> None:
        words = command(job, self.launch)
        _write_recipe(job)
        sys.stderr.write(f"▶ {shlex.join(words)}\n")
        started = time.monotonic()
        try:
            status = self._launched(words) if _launched(job, self.launch) else _here(job)
        except ActGymError as error:
            self.failed[job.folder] = f"{job.folder.name}: {error}"
        except Exception as error:  # one row that runs out of memory must not end the table
            traceback.print_exc()
            self.failed[job.folder] = f"{job.folder.name}: {type(error).__name__}: {error}"
        else:
            if status:
                errors = status == FailedEpisodesError.exit_status
                why = "episodes ended with an error; run it again to try them" if errors else f"exit status {status}"
                self.failed[job.folder] = f"{job.folder.name}: {why}"
        if job.folder in self.failed:
            sys.stderr.write(f"✗ {self.failed[job.folder]}\n")
            return
        seconds = round(time.monotonic() - started, 1)
        write_json(job.marker, {"command": shlex.join(words), "seconds": seconds})

    def _launched(self, words: list[str]) -> int:
        return subprocess.run(words, stdout=sys.stderr, check=False, pass_fds=(self.lock.fileno(),)).returncode


def command(job: Job, launch: str = "") -> list[str]:
    """Return what a person would type to do a job."""
    program = [*shlex.split(launch), "-m", job.module] if _launched(job, launch) else spelled(job.module)
    return [*program, *_argv(job)]


def _launched(job: Job, launch: str) -> bool:
    """Return whether a job is one that several processes share."""
    return bool(launch) and job.trains


def _argv(job: Job) -> list[str]:
    again = ["--resume"] if (job.folder / "config.json").exists() else []
    return ["--recipe", str(job.recipe), "--out", str(job.folder), *again]


def _here(job: Job) -> int:
    with redirect_stdout(sys.stderr):  # stdout is for the table
        try:
            status = import_module(job.module).main(_argv(job))
        except SystemExit as stop:  # how a command line is refused
            status = stop.code if isinstance(stop.code, int) else 1
    gc.collect()  # a trainer and its model hold each other
    return int(status or 0)


def _write_recipe(job: Job) -> None:
    import yaml

    values: Mapping[str, Any] = job.settings
    with replacing(job.recipe) as file:
        file.write(f"# {job.module}\n")
        yaml.safe_dump(dict(values), file, sort_keys=False, allow_unicode=True)
