"""The run folder: what was run, with what, on what, and what came of it.

```
runs/<name>/
├── config.json      every argument as it was given
├── manifest.json    what that came to: program, facts, versions, git revision, sha256 of every input, machine, start
├── metrics.jsonl    one line a measurement
└── …                what the program makes: episodes.jsonl, pairs.jsonl, checkpoint/, records.jsonl
```
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from act_gym.differences import Difference, difference_table, differences
from act_gym.errors import RunError, UsageError
from act_gym.records import RecordWriter, unreadable, write_json
from act_gym.version import __version__

__all__ = ["FREE_ARGUMENTS", "Run", "sha256_of", "versions_of"]

_PACKAGES = ("gymnasium", "alfworld", "textworld", "scienceworld", "torch", "transformers", "trl", "accelerate")
# Arguments that say how a run is carried out and not what it computes: they may change on resume.
FREE_ARGUMENTS = frozenset(
    {
        "resume",
        "keep_errors",
        "out",
        "limit_seconds",
        "json",
        "workers",
        "batch_size",
        "backend",
        "ray_address",
        "ray_gpus",
        "plots",
        "report_to",
        "dry_run",
    }
)
# What a setting is called that must never be written down. `max_new_tokens` is none.
_SECRET = re.compile(r"(^|[_-])(key|token|secret|password|passwd|credentials?|authorization)$", re.IGNORECASE)
_CREDENTIALS = re.compile(r"://[^/@\s]*:[^/@\s]*@")


class Run:
    """A run folder, made once or continued.

    Args:
        folder: Where it is.
        program: The program's module name, e.g. `trainers.act`.
        config: The program's arguments, a dataclass.
        inputs: Files the run reads; their sha256 goes into the manifest.
        facts: What else decides what the run computes, and is not told by its arguments: JSON values by name,
            such as the hash of a model's weights. They go into the manifest.
        resume: Continue a folder that is there. The manifest stays that of the first start; under `resumed` it
            has versions, revision, machine and time of every later one.

    Raises:
        RunError: The folder holds another run and `resume` is off, or `resume` is on and the
            arguments, inputs or facts are not those it was made with; the message has a table of them.
        UsageError: An argument looks like a secret, which a run folder must not hold.
    """

    def __init__(
        self,
        folder: Path,
        program: str,
        config: Any,
        *,
        inputs: Iterable[Path] = (),
        facts: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        assert is_dataclass(config)
        assert not isinstance(config, type)
        self.folder = folder
        arguments: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
        _refuse_secrets(arguments)
        decided: dict[str, Any] = json.loads(json.dumps(facts or {}))  # as it will be read again
        manifest = {
            "program": program,
            **decided,
            "versions": {"act-gym": __version__, **versions_of(_PACKAGES)},
            "git": _git_revision(),
            "inputs": {str(path): sha256_of(path) for path in inputs},
            "machine": {"platform": platform.platform(), "python": sys.version.split()[0], "cpus": os.cpu_count()},
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        if (folder / "config.json").exists():
            old = self._check_resumable(arguments, manifest, ("program", "inputs", *decided), resume)
            self._note_start(old, manifest)
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

    def _check_resumable(
        self, arguments: Mapping[str, Any], manifest: Mapping[str, Any], same: Sequence[str], resume: bool
    ) -> dict[str, Any]:
        """Return the manifest that is there; `same` are those of its keys that must not have changed."""
        if not resume:
            raise RunError(f"{self.folder} holds a run already. Continue it with --resume or choose another --out.")
        old_arguments, old_manifest = _read(self.folder / "config.json"), _read(self.folder / "manifest.json")
        changes = differences(old_arguments, arguments, skip=FREE_ARGUMENTS)
        # What follows from other arguments would only say the same again.
        changes = changes or _changes(old_manifest, manifest, same)
        if changes:
            table = difference_table(changes, ("setting", "then", "now"))
            raise RunError(f"{self.folder} was made with other settings and cannot be continued:\n{table}")
        return old_manifest

    def _note_start(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        start = {name: new[name] for name in ("started", "git", "versions", "machine")}
        write_json(self.folder / "manifest.json", {**old, "resumed": [*old.get("resumed", ()), start]})


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], names: Sequence[str]) -> list[Difference]:
    return differences(*({name: side.get(name) for name in names} for side in (old, new)))


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise RunError(f"{path.parent} is not a readable run folder: {cause}.") from cause
    if not isinstance(value, dict):
        raise RunError(f"{path.parent} is not a readable run folder: {path.name} holds no JSON object.")
    return value


def _refuse_secrets(arguments: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        words = [word.partition("=") for word in value if isinstance(word, str)] if isinstance(value, list) else []
        named = [*(key for key, equals, secret in words if equals and secret), *([name] if value else [])]
        for key in named:
            if _SECRET.search(key):
                raise UsageError(f"{key} would be written into the run folder. Pass secrets by the environment.")
        if any(_CREDENTIALS.search(str(each)) for each in (value if isinstance(value, list) else [value])):
            raise UsageError(f"The address in {name} has a password, which would be written into the run folder.")


def sha256_of(path: Path) -> str:
    """Return a file's sha256 as hexadecimal digits.

    Raises:
        RunError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as cause:
        raise unreadable(path, cause) from cause


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
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
