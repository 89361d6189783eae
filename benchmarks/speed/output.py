"""Lines that the speed benchmarks print past pytest's capture."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

__all__ = ["Say", "say"]

Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Writes a line past pytest's capture."""

    def write(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return write
