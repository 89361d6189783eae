"""`python -m benchmarks.experts BENCHMARK …`: measures a benchmark's experts; see the module of its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from act_gym.cli import run
from act_gym.errors import UnknownNameError
from benchmarks.experts import alfworld

_PROGRAMS = {"alfworld": alfworld.main}


def main(argv: Sequence[str]) -> int:
    """Run one benchmark's program; returns its exit status.

    Raises:
        UnknownNameError: There is no program for that benchmark.
    """
    name, *rest = argv or [""]
    if name in ("", "-h", "--help"):
        sys.stdout.write(f"usage: python -m benchmarks.experts {{{','.join(_PROGRAMS)}}} [-h] …\n")
        return 0 if name else 2
    if name not in _PROGRAMS:
        raise UnknownNameError("program that measures the experts of", name, _PROGRAMS)
    return _PROGRAMS[name](rest)


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
