"""`python -m benchmarks.experts BENCHMARK …`: measures a benchmark's experts; see the module of its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from act_gym.cli import run
from benchmarks.experts import alfworld
from benchmarks.programs import by_name


def main(argv: Sequence[str]) -> int:
    """Run one benchmark's program; returns its exit status.

    Raises:
        UnknownNameError: There is no program for that benchmark.
    """
    return by_name("benchmarks.experts", {"alfworld": alfworld.main}, argv)


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
