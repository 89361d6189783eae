"""`act-gym doctor`: reports what works on this machine, and how to fix the rest.

Checks run the real thing where possible: they start Java, play the first step of each benchmark and compare checksums.
They change nothing except for files that a first step writes into the cache folder.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from typing import Literal

import gymnasium as gym
from packaging.requirements import Requirement

from act_gym.benchmarks import BENCHMARKS, NAMESPACE, Benchmark
from act_gym.config import parse
from act_gym.engines.alfworld.download import count_games, describe
from act_gym.engines.alfworld.files import GAMES_FOLDER
from act_gym.engines.java import find_java
from act_gym.engines.webshop.catalogue import OFFICIAL, shops_folder
from act_gym.engines.webshop.catalogue.folder import verify
from act_gym.errors import ActGymError, DataError, MissingDataError, MissingDependencyError
from act_gym.paths import data_dir, install_command
from act_gym.splits.alfworld import COUNTS

__all__ = ["DoctorConfig", "Finding", "findings", "main"]

_ROOM = 2 << 30
_FILES = 1024


@dataclass(frozen=True)
class DoctorConfig:
    """Check what works on this machine; the exit status is 1 if something is broken."""

    json: bool = False
    """Print one JSON list instead of a table."""


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        subject: The thing checked.
        state: `ok`, `absent` (optional and not installed) or `broken`.
        says: The result.
        cure: The command or step that fixes it, if any.
    """

    subject: str
    state: Literal["ok", "absent", "broken"]
    says: str
    cure: str = ""


def findings() -> Iterator[Finding]:
    """Yield the results of all checks; starting Java and a simulator takes some seconds."""
    yield Finding("Python", "ok", f"{sys.version.partition(' ')[0]} in {sys.prefix}")
    yield from _packages()
    yield _java()
    yield _room()
    yield _open_files()
    yield from _alfworld_games()
    yield from _webshop_catalogues()
    yield _gpu()
    for benchmark in BENCHMARKS.values():
        yield _first_step(benchmark)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the results to stdout; return 1 if something is broken."""
    arguments = parse(DoctorConfig, sys.argv[1:] if argv is None else argv, program="act-gym doctor")
    found = []
    for finding in findings():
        found.append(finding)
        if not arguments.json:
            sys.stdout.write(_line(finding))
            sys.stdout.flush()
    if arguments.json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in found], indent=2) + "\n")
    return int(any(finding.state == "broken" for finding in found))


def _line(finding: Finding) -> str:
    sign = {"ok": "ok    ", "absent": "absent", "broken": "BROKEN"}[finding.state]
    cure = f"\n        → {finding.cure}" if finding.cure else ""
    return f"{sign}  {finding.subject}: {finding.says}{cure}\n"


def _packages() -> Iterator[Finding]:
    """Compare installed packages with the requirements of act-gym and of each extra."""
    wanted: dict[str, list[Requirement]] = {"": []}
    extras = [name for name in metadata("act-gym").get_all("Provides-Extra") or () if name not in ("all", "dev")]
    for requirement in map(Requirement, requires("act-gym") or ()):
        if requirement.marker is None:
            wanted[""].append(requirement)
        elif requirement.name != "act-gym":
            for extra in extras:
                if requirement.marker.evaluate({"extra": extra}):
                    wanted.setdefault(extra, []).append(requirement)
    for extra, requirements in wanted.items():
        yield _installed(extra, requirements)


def _installed(extra: str, requirements: Sequence[Requirement]) -> Finding:
    there, missing, other = [], [], []
    for requirement in requirements:
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            missing.append(requirement.name)
            continue
        there.append(f"{requirement.name} {found}")
        if not requirement.specifier.contains(found, prereleases=True):
            other.append(f"{requirement.name} is {found}, expected {requirement.specifier}")
    subject = f"packages of act-gym[{extra}]" if extra else "packages of act-gym"
    cure = install_command(extra) + " --upgrade"
    if other or (missing and not extra):
        return Finding(subject, "broken", "; ".join([*other, *(f"{name} is missing" for name in missing)]), cure)
    if missing:
        return Finding(subject, "absent", f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing", cure)
    return Finding(subject, "ok", ", ".join(there))


def _java() -> Finding:
    try:
        java = find_java()
    except MissingDependencyError as error:
        says, _, cure = str(error).partition(" Run: ")
        return Finding("Java", "absent", says, cure)
    except ActGymError as error:
        return Finding("Java", "broken", str(error))
    return Finding("Java", "ok", f"{java.version}, {java.path}")


def _room() -> Finding:
    place = data_dir()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
        free = shutil.disk_usage(place).free
    except OSError as cause:
        return Finding("cache folder", "broken", f"{place} cannot be written to: {cause.strerror}", _ANOTHER)
    says = f"{place}, {free / 1e9:.0f} GB free"
    if free < _ROOM:
        return Finding("cache folder", "broken", f"{says}; ALFWorld needs about 2", _ANOTHER)
    return Finding("cache folder", "ok", says)


_ANOTHER = "free some space there, or set ACT_GYM_DATA to another folder"


def _open_files() -> Finding:
    try:
        import resource
    except ImportError:  # not on Windows
        return Finding("open files", "ok", "no limit known")
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= limit < _FILES:
        return Finding("open files", "broken", f"{limit} at once; many workers need more", f"ulimit -n {_FILES}")
    return Finding("open files", "ok", f"{limit:,} at once")


def _gpu() -> Finding:
    """Check the GPU with the driver and with torch, in a process of its own because importing torch is slow."""
    driver = shutil.which("nvidia-smi")
    if find_spec("torch") is None:
        says = "torch is not installed" + (", a driver is there" if driver else "")
        return Finding("GPU", "absent", says, install_command("local") if driver else "")
    code = "import torch; print(torch.cuda.device_count(), torch.__version__, torch.version.cuda)"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    if asked.returncode:
        last = asked.stderr.strip().rpartition("\n")[2]
        return Finding("GPU", "broken", f"torch cannot be imported: {last}", "pip install --force-reinstall torch")
    count, torch, cuda = asked.stdout.strip().split(" ", 2)
    if count != "0":
        return Finding("GPU", "ok", f"{count} usable by torch {torch} for CUDA {cuda}")
    if driver:
        cure = "install a torch for its CUDA version: https://pytorch.org/get-started/locally"
        return Finding(
            "GPU", "broken", f"a driver is installed, but torch {torch}, built for CUDA {cuda}, finds no GPU", cure
        )
    return Finding("GPU", "absent", f"none; torch {torch} uses the CPU")


def _alfworld_games() -> Iterator[Finding]:
    place = data_dir() / GAMES_FOLDER
    if not place.is_dir():
        return  # the first step says so
    if count_games(place) == COUNTS:
        yield Finding("ALFWorld's games", "ok", describe(place))
    else:
        yield Finding("ALFWorld's games", "broken", f"only {describe(place)}", "act-gym download alfworld")


def _webshop_catalogues() -> Iterator[Finding]:
    for name in OFFICIAL:
        place = shops_folder() / name
        subject, cure = f"WebShop's catalogue {name}", f"act-gym download webshop --catalogue {name} --force"
        try:
            verify(place)
        except MissingDataError:
            continue
        except DataError as error:
            yield Finding(subject, "broken", str(error), cure)
        else:
            yield Finding(subject, "ok", f"as it was built, in {place}")


def _first_step(benchmark: Benchmark) -> Finding:
    """Start a benchmark's first task and check that the simulator answers."""
    subject = f"{NAMESPACE}/{benchmark.name}"

    def play() -> str:
        env = gym.make(subject, disable_env_checker=True, admissible_commands=False)
        try:
            _, info = env.reset(options={"task_index": 0})
            env.step("look around")
            return f"plays {info['task_id']}"
        finally:
            env.close()

    return _tried(subject, play)


def _tried(subject: str, do: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, "ok", do())
    except (MissingDependencyError, MissingDataError) as error:
        says, _, cure = str(error).partition(" Run: ")
        return Finding(subject, "absent", says, cure)
    except ActGymError as error:
        return Finding(subject, "broken", str(error))
    except Exception as error:  # any exception of a third-party package is a result
        cure = install_command(subject.rpartition("/")[2].lower()) + " --force-reinstall"
        return Finding(subject, "broken", f"{type(error).__name__}: {error}", cure)


if __name__ == "__main__":
    from act_gym.cli import run

    raise SystemExit(run(main, sys.argv[1:]))
