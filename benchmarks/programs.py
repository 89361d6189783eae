"""Shared parts of checking programs: selection by name and exit status."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

from act_gym.errors import ActGymError, UnknownNameError

__all__ = ["by_name", "checking", "end_with_parent"]

Program = Callable[[Sequence[str]], int]
"""Takes the command line after its name and returns an exit status."""


def by_name(package: str, programs: Mapping[str, Program], argv: Sequence[str]) -> int:
    """Run the program that the first word names; without a word, say which there are.

    Args:
        package: The package after `python -m`.
        programs: The programs by name.
        argv: The command line.

    Raises:
        UnknownNameError: There is none of that name.
    """
    name, *rest = argv or [""]
    if name in ("", "-h", "--help"):
        sys.stdout.write(f"usage: python -m {package} {{{','.join(programs)}}} [-h] …\n")
        return 0 if name else 2
    if name not in programs:
        raise UnknownNameError(f"program of {package} for", name, programs)
    return programs[name](rest)


def checking(program: Program, argv: Sequence[str]) -> int:
    """Run a program whose exit status 1 says that a check failed: all that keeps it from checking is 2."""
    try:
        return program(argv)
    except ActGymError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def end_with_parent() -> None:
    """Let a process of a pool end when the program was killed: no other process would stop it."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
