"""A real process that is interrupted while one C call runs for many minutes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainers.dry_run.measured_steps import stopped_at_once

ROOT = Path(__file__).parents[3]
WORKING = """
import hashlib, sys
from pathlib import Path
from trainers.dry_run.measured_steps import stopped_at_once
folder = Path(sys.argv[1])
with stopped_at_once(folder):
    (folder / "left").touch()
    print("working", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)  # looks at no signal, as a backward pass
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_process_inside_a_c_call(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", WORKING, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        _, log = process.communicate(timeout=240)
    assert process.returncode == 128 + number
    assert log == "\nStopped. Nothing was kept.\n"
    assert not folder.exists()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of Ctrl-C, whether or not the shell that started pytest ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_handlers_are_as_before_when_the_work_is_done(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stopped_at_once(tmp_path):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert tmp_path.exists()
