"""`python -m benchmarks.parity BENCHMARK …`: compares a benchmark's engines; see the module of its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from act_gym.errors import ActGymError, UnknownNameError
from benchmarks.parity import alfworld, scienceworld

_PROGRAMS = {"alfworld": alfworld.main, "scienceworld": scienceworld.main}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark's program; returns its exit status: 0, 1 for a difference, 2 for a mistake."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or [""]
    if name in ("", "-h", "--help"):
        print(f"usage: python -m benchmarks.parity {{{','.join(_PROGRAMS)}}} [-h] …")  # noqa: T201
        return 0 if name else 2
    try:
        if name not in _PROGRAMS:
            raise UnknownNameError("parity program for", name, _PROGRAMS)
        return _PROGRAMS[name](rest)
    except ActGymError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
