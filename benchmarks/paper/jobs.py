"""Jobs: programs with settings, keyed by content, so that shared work of two rows runs once, and resumes after a kill.

A job is one program of the project with a recipe of its own, which can be run by hand. Its key is a hash of the program
and its settings. Settings name the files of earlier jobs by their folders, and a folder's name holds its job's key; so
the key covers everything that the job depends on, back to the model's weights.

One process at a time works in a folder. A training job can run behind a launch command such as accelerate's; the lock
is handed to that command, so that no second process enters its run folder.

"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from act_gym.cli import spelled
from act_gym.errors import ActGymError, FailedEpisodesError, RunError
from act_gym.io.jsonl import replacing, write_json
from act_gym.io.run_dir import FREE_ARGUMENTS, sha256_of

__all__ = ["Job", "JobRunner", "JobStore", "command", "digest_of", "plain", "working_in"]


@dataclass(frozen=True)
class Job:
    """One program with its settings.

    Attributes:
        name: The program, e.g. `imitation`; prefix of its folder's name.
        module: The program, e.g. `trainers.imitation`.
        settings: Its arguments as plain values, without `out` and `resume`.
        folder: Its run folder.
        needs: The jobs whose files it reads.
    """

    name: str
    module: str
    settings: Mapping[str, Any]
    folder: Path
    needs: tuple[Job, ...] = ()

    @property
    def recipe(self) -> Path:
        """The file that its settings are written to."""
        return self.folder.with_name(f"{self.folder.name}.yaml")

    @property
    def marker(self) -> Path:
        """The file that says that it is done."""
        return self.folder.with_name(f"{self.folder.name}.done.json")

    @property
    def done(self) -> bool:
        """Whether it is done."""
        return self.marker.exists()

    @property
    def trains(self) -> bool:
        """Whether it leaves a checkpoint."""
        return "learning_rate" in self.settings

    @property
    def discarded(self) -> bool:
        """Whether it is done and its checkpoint was removed since."""
        return self.done and self.trains and not (self.folder / "checkpoint").is_dir()

    def everything(self) -> Iterable[Job]:
        """Yield its dependencies in topological order, and itself last."""
        for need in self.needs:
            yield from need.everything()
        yield self


class JobStore:
    """Makes jobs, each one once.

    Args:
        folder: Holds their run folders, recipes and markers.
        digest: Says what a file or a model outside it holds; see `digest_of`.
    """

    def __init__(self, folder: Path, digest: Callable[[str], str]) -> None:
        self.folder = folder
        self.jobs: dict[str, Job] = {}
        self._digest = digest

    def job(self, name: str, module: str, settings: Any) -> Job:
        """Return the job with these settings; one that was made before, if its key is the same.

        Args:
            name: One word for the job.
            module: The program.
            settings: Its dataclass, or a mapping of some of its fields. Files of other jobs are named by paths.
        """
        values = settings if isinstance(settings, Mapping) else asdict(settings)
        values = {key: value for key, value in values.items() if key not in ("out", "resume")}
        content = self._content({key: value for key, value in values.items() if key not in FREE_ARGUMENTS})
        text = json.dumps([module, content], sort_keys=True, ensure_ascii=False)
        key = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        needs = tuple(job for other, job in self.jobs.items() if f"@{other}" in text)
        return self.jobs.setdefault(key, Job(name, module, plain(values), self.folder / key, needs))

    def _content(self, value: Any, name: str = "") -> Any:
        """Replace a path by a hash of its content; for a job's output, by the key in the path."""
        if isinstance(value, Mapping):
            return {key: self._content(inner, key) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._content(inner, name) for inner in value]
        if isinstance(value, Path) or name == "model":
            place = str(value)
            inside = f"{self.folder}/"
            return f"@{place.removeprefix(inside)}" if place.startswith(inside) else self._digest(place)
        return value


def digest_of(place: str, remembered: dict[str, str]) -> str:
    """Return a hash of a file, or of the model of that name or in that folder; of the name if there is no such model.

    Args:
        place: A file, a folder with a model, or a name that `agents.local.default_model` knows.
        remembered: Hashes by path, size and time of change; is filled with new hashes. Weights take long to read.
    """
    from act_gym.errors import ActGymError
    from trainers.run.checkpoints import find_model

    path = Path(place)
    if not path.is_file():
        try:
            path = find_model(place)
        except ActGymError:
            return place
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    total = hashlib.sha256()
    for file in files:
        seen = file.stat()
        key = f"{file.resolve()} {seen.st_size} {seen.st_mtime_ns}"
        if key not in remembered:
            remembered[key] = sha256_of(file)
        total.update(f"{file.name if len(files) > 1 else ''} {remembered[key]}\n".encode())
    return total.hexdigest()


def plain(value: Any) -> Any:
    """Return settings as YAML and JSON hold them: paths as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


@contextmanager
def working_in(folder: Path) -> Iterator[TextIO]:
    """Keep others from working in a folder; gives the file that holds the lock.

    Raises:
        RunError: Another process works in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            raise RunError(
                f"{folder} is locked by another `act-gym paper` process, or by a job that survived one. Wait for it, "
                "end it, or choose another --out."
            ) from cause
        yield file


@dataclass
class JobRunner:
    """Carries jobs out.

    Attributes:
        lock: The file that `working_in` gives.
        launch: Prefix of training commands, e.g. `accelerate launch --config_file …`; empty to train here.
        failed: Why a job could not be done, by its folder.
    """

    lock: TextIO
    launch: str = ""
    failed: dict[Path, str] = field(default_factory=dict)

    def do(self, job: Job, *, needed: bool = False) -> bool:
        """Run a job after its dependencies; return whether it is done.

        Args:
            job: The job; nothing runs if it is done.
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
        """Remove the checkpoints that no open job depends on."""
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
