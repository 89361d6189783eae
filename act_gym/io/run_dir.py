"""Run folder: configuration, provenance, metrics and outputs of a run.

```
runs/<name>/
├── config.json      every argument
├── manifest.json    provenance: program, facts, versions, git revision, sha256 of every input, machine, start
├── metrics.jsonl    one line per measurement
└── …                the program's outputs: episodes.jsonl, pairs.jsonl, checkpoint/, records.jsonl
```
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from act_gym.errors import RunError, UsageError
from act_gym.io.files import only_one
from act_gym.io.jsonl import RecordWriter, check_writable, make_folder, read_records, unreadable, write_json
from act_gym.version import __version__

__all__ = [
    "FREE_ARGUMENTS",
    "Difference",
    "Run",
    "check_folder",
    "difference_table",
    "differences",
    "has_records",
    "locked",
    "named_files",
    "refuse_secrets",
    "sha256_of",
    "versions_of",
]


_WIDTH = 60  # characters of a value in a table
_ABSENT = object()


@dataclass(frozen=True)
class Difference:
    """Difference of two values at one key path.

    Attributes:
        place: The keys from the outside in, joined by dots.
        first: The first value's entry, or `absent`.
        second: The second value's entry, or `absent`.
    """

    place: str
    first: str
    second: str


def differences(first: Any, second: Any, *, place: str = "", skip: Iterable[str] = ()) -> list[Difference]:
    """Return the differences of two JSON values by key path; only mappings are compared entry by entry.

    Args:
        first: A JSON value.
        second: Another.
        place: The name of the values themselves.
        skip: Top-level keys that may differ.
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        found = []
        for key in sorted({*first, *second} - set(skip)):
            inner = f"{place}.{key}" if place else str(key)
            found += differences(first.get(key, _ABSENT), second.get(key, _ABSENT), place=inner)
        return found
    return [] if first == second else [Difference(place, _spell(first), _spell(second))]


def difference_table(found: Sequence[Difference], heads: tuple[str, str, str]) -> str:
    """Return differences as aligned lines under three headings."""
    rows = [heads, *((one.place, _cut(one.first), _cut(one.second)) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _spell(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


_PACKAGES = ("gymnasium", "alfworld", "textworld", "scienceworld", "torch", "transformers", "trl", "accelerate")
# Arguments that change how a run is executed and not what it computes: they may change on resume.
FREE_ARGUMENTS = frozenset(
    {
        "resume",
        "overwrite",
        "keep_errors",
        "keep_going",
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
        "measure_steps",
    }
)
# Names of settings that must never be written to disk; `max_new_tokens` is not one.
_SECRET = re.compile(r"(^|[_-])(key|token|secret|password|passwd|credentials?|authorization)$", re.IGNORECASE)
_PLACE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")  # module:name
_CREDENTIALS = re.compile(r"://[^/@\s]*:[^/@\s]*@")


class Run:
    """Run folder, created or resumed.

    Args:
        folder: Its path.
        program: The program's module name, e.g. `trainers.act`.
        config: The program's arguments, a dataclass.
        inputs: The run's input files; their sha256 goes into the manifest.
        facts: Everything else that determines the result, as JSON values by name, e.g. the hash of a model's weights.
            They go into the manifest.
        resume: Continue an existing folder. The manifest stays that of the first start; `resumed` lists versions,
            revision, machine and time of every later start.
        overwrite: Remove the outputs of the run in the folder, and start again.
        leaves: Files and folders that the program writes, the file of its records first. If that file has no record,
            the folder counts as empty and may be started with other settings. `overwrite` removes all of them.
        free: Arguments that may change on resume, in addition to `FREE_ARGUMENTS`, e.g. `micro_batch`, or
            `act.micro_batch` in a mapping.
        growing: Counts among the arguments that may grow, where 0 means all.
        facts_then: The `facts` under the arguments of the first start, if they differ; compared with the manifest
            instead of `facts`. The manifest then stores `facts`.

    Raises:
        RunError: The folder holds another run and neither `resume` nor `overwrite` is on, or `resume` is on and
            arguments, inputs or facts have changed; the message has a table of them.
        UsageError: An argument looks like a secret, which must not be written to disk, or the folder cannot be written.
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
        overwrite: bool = False,
        leaves: Sequence[str] = (),
        free: Collection[str] = (),
        growing: Collection[str] = (),
        facts_then: Mapping[str, Any] | None = None,
    ) -> None:
        assert is_dataclass(config)
        assert not isinstance(config, type)
        self.folder = folder
        self._growing, self._free = growing, free
        refuse_secrets(config)
        arguments = _as_json(config)
        decided: dict[str, Any] = json.loads(json.dumps(facts or {}))  # as JSON gives it back
        manifest = {
            "program": program,
            **decided,
            "versions": {"act-gym": __version__, **versions_of(_PACKAGES)},
            "git": _git_revision(),
            "inputs": {str(path): sha256_of(path) for path in inputs},
            "machine": {"platform": platform.platform(), "python": sys.version.split()[0], "cpus": os.cpu_count()},
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        check_folder(folder, leaves, program=program, resume=resume, overwrite=overwrite)
        make_folder(folder)
        if (folder / "config.json").exists() and not overwrite and not _is_bare(folder, leaves):
            then = {**manifest, **json.loads(json.dumps(facts_then if facts_then is not None else decided))}
            old = self._check_resumable(arguments, then, ("program", "inputs", *decided))
            self._note_start(old, manifest, arguments, decided if then != manifest else {})
        else:
            for name in leaves:
                _remove(folder / name)
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
        self, arguments: Mapping[str, Any], manifest: Mapping[str, Any], same: Sequence[str]
    ) -> dict[str, Any]:
        """Return the existing manifest; `same` are the keys that must not have changed."""
        old_arguments, old_manifest = _read(self.folder / "config.json"), _read(self.folder / "manifest.json")
        grown = {name for name in self._growing if has_grown(old_arguments.get(name), arguments.get(name))}
        changes = differences(old_arguments, arguments, skip=FREE_ARGUMENTS | grown)
        changes = [one for one in changes if one.place not in self._free]
        # Consequences of changed arguments would only repeat the message.
        changes = changes or _changes(old_manifest, manifest, same)
        if changes:
            table = difference_table(changes, ("setting", "then", "now"))
            raise RunError(
                f"{self.folder} was made with other settings and cannot be continued:\n{table}\n"
                f"Choose another --out{' or start it again with --overwrite' if 'overwrite' in arguments else ''}."
            )
        return old_manifest

    def _note_start(
        self, old: Mapping[str, Any], new: Mapping[str, Any], arguments: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> None:
        """Add a start to the manifest; `facts` replace the earlier ones, which are kept with the earlier start."""
        start = {name: new[name] for name in ("started", "git", "versions", "machine")}
        config = _read(self.folder / "config.json")
        grown = {name: config[name] for name in self._growing if config[name] != arguments[name]}
        changed = [one for one in differences(config, arguments) if one.place in self._free]
        before = {one.place: json.loads(one.first) for one in changed if one.first != "absent"}
        before |= {**grown, **{name: old.get(name) for name in facts if facts[name] != old.get(name)}}
        start |= {"before": before} if before else {}
        write_json(self.folder / "manifest.json", {**old, **facts, "resumed": [*old.get("resumed", ()), start]})
        if grown:
            write_json(self.folder / "config.json", {**config, **{name: arguments[name] for name in grown}})


def check_folder(
    folder: Path, leaves: Sequence[str] = (), *, program: str = "", resume: bool = False, overwrite: bool = False
) -> None:
    """Check, before anything is loaded, that a run can start in a folder; creates nothing.

    Args:
        folder: The run folder.
        leaves: See `Run`.
        program: See `Run`; empty if unknown.
        resume: See `Run`.
        overwrite: See `Run`.

    Raises:
        RunError: It has a run, and neither `resume` nor `overwrite` is on; or files of another program.
        UsageError: It cannot be created or written to, or both `resume` and `overwrite` are on.
    """
    if resume and overwrite:
        raise UsageError("--resume continues a run and --overwrite starts it again; give one of them.")
    check_writable(folder)
    if not (folder / "config.json").exists():
        if leaves and has_records(folder / leaves[0]):
            raise RunError(f"{folder} holds {leaves[0]} of something else. Choose another --out.")
        return
    if overwrite and program and _read(folder / "manifest.json").get("program") != program:
        raise RunError(f"{folder} holds a run of another program, which --overwrite leaves. Choose another --out.")
    if not (resume or overwrite or _is_bare(folder, leaves)):
        again = ", start it again with --overwrite" if leaves else ""
        raise RunError(f"{folder} holds a run already. Continue it with --resume{again} or choose another --out.")


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Create a run folder and lock it for one process at a time.

    Args:
        folder: The run folder.
        doing: See `act_gym.io.files.only_one`.

    Raises:
        UsageError: It cannot be created or written to.
    """
    make_folder(folder)
    with only_one(folder / ".lock", doing):
        yield


def has_records(path: Path) -> bool:
    """Return whether a file of records exists and has a complete line."""
    return path.is_file() and next(read_records(path), None) is not None


def _is_bare(folder: Path, leaves: Sequence[str]) -> bool:
    return bool(leaves) and not has_records(folder / leaves[0])


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def has_grown(then: Any, now: Any) -> bool:
    """Return whether a limit has grown; 0 means no limit."""
    return then != now and isinstance(then, int) and isinstance(now, int) and then != 0 and (now == 0 or now > then)


def _as_json(config: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return arguments


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


def refuse_secrets(config: Any) -> None:
    """Refuse arguments that look like a secret, which must not be written to disk.

    Args:
        config: The dataclass of arguments.

    Raises:
        UsageError: One looks like a secret; the message does not repeat its value.
    """
    for name, value in _as_json(config).items():
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


def source_sha256(place: str) -> str:
    """Return the sha256 of the file of `module:name`, without importing it; empty if it is not found."""
    module = Path(*place.partition(":")[0].split("."))
    for folder in (*map(Path, sys.path), Path.cwd()):
        for path in (folder / module.with_suffix(".py"), folder / module / "__init__.py"):
            if path.is_file():
                return sha256_of(path)
    return ""


def named_files(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sha256 of each file or `module:name` among options, by the option's name.

    The name alone does not identify such an option, because the file may change.

    Args:
        options: Options, e.g. an environment's `prices=limits.json`.
    """
    found = {name: _digest_of(value) for name, value in options.items()}
    return {name: digest for name, digest in found.items() if digest}


def _digest_of(value: Any) -> Any:
    if isinstance(value, list | tuple):
        digests = [_digest_of(each) for each in value]
        return digests if any(digests) else ""
    if not isinstance(value, str | Path):
        return ""
    try:
        if Path(value).is_file():
            return sha256_of(Path(value))
    except (OSError, ValueError):  # a text that is too long for a path, or contains a null
        return ""
    return source_sha256(str(value)) if _PLACE.fullmatch(str(value)) else ""


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _git_revision() -> str:
    """Return the checkout's git revision, with `+changes` if it has any; empty outside a checkout."""
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
