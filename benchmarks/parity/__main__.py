"""`python -m benchmarks.parity BENCHMARK …`: compares a benchmark's engines; see the module of its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from benchmarks.parity import alfworld, scienceworld, webshop, webshop_search
from benchmarks.programs import by_name, checking

_PROGRAMS = {
    "alfworld": alfworld.main,
    "scienceworld": scienceworld.main,
    "webshop": webshop.main,
    "webshop-search": webshop_search.main,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark's program; returns its exit status: 0, 1 for a difference, 2 for a mistake."""
    return checking(partial(by_name, "benchmarks.parity", _PROGRAMS), sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
