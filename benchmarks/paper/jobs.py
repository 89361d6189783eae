"""Jobs: programs with settings, keyed by content, so that what two rows have in common is done once.

A job is one program of the project with a recipe of its own; whoever likes can run it by hand. Its key is a
hash of the program and its settings. Settings name the files of earlier jobs by their folders, and a folder's
name holds its job's key; so the key covers everything that the job stands on, back to the model's weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from act_gym.io.run_dir import FREE_ARGUMENTS, sha256_of

__all__ = ["Job", "Workshop", "digest_of", "plain"]


@dataclass(frozen=True)
class Job:
    """One program with its settings.

    Attributes:
        name: What it does, e.g. `imitation`; the beginning of its folder's name.
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
        """Yield all jobs it stands on, each before those that need it, and itself last."""
        for need in self.needs:
            yield from need.everything()
        yield self


class Workshop:
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
            name: What it does, in one word.
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
        """Put what a path holds in its place: for what a job makes, its key, which stands in the path."""
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
        remembered: Hashes by path, size and time of change; gets what is found. Weights take long to read.
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
