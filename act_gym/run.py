"""The run folder: what was run, with what, on what, and what came of it.

```
runs/<name>/
├── config.json      every argument
├── manifest.json    program, versions, git revision, sha256 of every input, machine, start
├── metrics.jsonl    one line a measurement
└── …                what the program makes: episodes.jsonl, pairs.jsonl, checkpoint/, records.jsonl
```
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from act_gym.errors import RunError
from act_gym.records import RecordWriter, write_json
from act_gym.version import __version__

__all__ = ["Run", "sha256_of"]

_PACKAGES = ("gymnasium", "alfworld", "textworld", "scienceworld", "torch", "transformers", "trl", "accelerate")
# Arguments that say how a run is carried out and not what it computes: they may change on resume.
_FREE_ARGUMENTS = frozenset({"resume", "out", "limit_seconds", "json", "workers", "num_envs"})


class Run:
    """A run folder, made once or continued.

    Args:
        folder: Where it is.
        program: The program's module name, e.g. `trainers.act`.
        config: The program's arguments, a dataclass.
        inputs: Files the run reads; their sha256 goes into the manifest.
        resume: Continue a folder that is there.

    Raises:
        RunError: The folder holds another run and `resume` is off, or `resume` is on and the
            arguments or inputs are not those it was made with.
    """

    def __init__(
        self, folder: Path, program: str, config: Any, *, inputs: Iterable[Path] = (), resume: bool = False
    ) -> None:
        assert is_dataclass(config)
        assert not isinstance(config, type)
        self.folder = folder
        arguments: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
        manifest = {
            "program": program,
            "versions": _versions(),
            "git": _git_revision(),
            "inputs": {str(path): sha256_of(path) for path in inputs},
            "machine": {"platform": platform.platform(), "python": sys.version.split()[0], "cpus": os.cpu_count()},
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        if (folder / "config.json").exists():
            self._check_resumable(arguments, manifest, resume)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "manifest.json", manifest)
            write_json(folder / "config.json", arguments)

    def log(self, **values: Any) -> None:
        """Append one line of measurements to `metrics.jsonl`."""
        with RecordWriter(self.folder / "metrics.jsonl") as writer:
            writer.write({"time": round(time.time(), 3), **values})

    def path(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.folder / name

    def _check_resumable(self, arguments: Mapping[str, Any], manifest: Mapping[str, Any], resume: bool) -> None:
        if not resume:
            raise RunError(f"{self.folder} holds a run already. Continue it with --resume or choose another --out.")
        try:
            old_arguments = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
            old_manifest = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as cause:
            raise RunError(f"{self.folder} is not a readable run folder: {cause}.") from cause
        changes = [
            f"{key}: {old_arguments.get(key)!r} then, {arguments.get(key)!r} now"
            for key in sorted({*old_arguments, *arguments} - _FREE_ARGUMENTS)
            if old_arguments.get(key) != arguments.get(key)
        ]
        changes += [
            f"{key}: {old_manifest.get(key)!r} then, {manifest[key]!r} now"
            for key in ("program", "inputs")
            if old_manifest.get(key) != manifest[key]
        ]
        if changes:
            listing = "\n  ".join(changes)
            raise RunError(f"{self.folder} was made with other settings and cannot be continued:\n  {listing}")


def sha256_of(path: Path) -> str:
    """Return a file's sha256 as hexadecimal digits.

    Raises:
        RunError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as cause:
        raise RunError(f"Cannot read {path}: {cause.strerror or cause}.") from cause


def _versions() -> dict[str, str]:
    found = {"act-gym": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git_revision() -> str:
    """Return the checkout's revision with `+changes` if it has any; empty outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()
