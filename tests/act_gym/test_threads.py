"""Threads that wait let others work: what torch's own OpenMP runtime reads, in a process of its own."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

LOADING = """
import ctypes, sys
from act_gym.cli import run
run(lambda argv: ctypes.CDLL(argv[0]) and 0, sys.argv[1:])
"""


@pytest.mark.parametrize(("own", "expected"), [("", "PASSIVE"), ("active", "ACTIVE")])
def test_threads_wait_passively_unless_a_user_says_so(own: str, expected: str) -> None:
    torch = find_spec("torch")
    libraries = sorted(Path(torch.origin).parent.glob("lib/libgomp*")) if torch and torch.origin else []
    if not libraries:
        pytest.skip("This torch has no libgomp.")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_DISPLAY_ENV": "true", **({"OMP_WAIT_POLICY": own} if own else {})}
    finished = subprocess.run(
        [sys.executable, "-c", LOADING, str(libraries[0])], env=environment, capture_output=True, text=True, check=True
    )
    assert f"OMP_WAIT_POLICY = '{expected}'" in finished.stderr
