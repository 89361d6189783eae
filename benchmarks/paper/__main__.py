"""The program of `act-gym paper`, run as a module."""

import sys

from act_gym.cli import run
from benchmarks.paper.program import main

if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
