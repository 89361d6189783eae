"""`python -m benchmarks.parity BENCHMARK …`: compares a benchmark's engines; see the module of its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from act_gym.errors import ActGymError, UnknownNameError
from benchmarks.parity import alfworld, scienceworld, webshop, webshop_search

_PROGRAMS = {
    "alfworld": alfworld.main,
    "scienceworld": scienceworld.main,
    "webshop": webshop.main,
    "webshop-search": webshop_search.main,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program that the first word names; returns 0, 1 for a difference, 2 where nothing could be compared."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or [""]
    if name in ("", "-h", "--help"):
        sys.stdout.write(f"usage: python -m benchmarks.parity {{{','.join(_PROGRAMS)}}} [-h] …\n")
        return 0 if name else 2
    try:
        if name not in _PROGRAMS:
            raise UnknownNameError("program of benchmarks.parity for", name, _PROGRAMS)
        return _PROGRAMS[name](rest)
    except ActGymError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
