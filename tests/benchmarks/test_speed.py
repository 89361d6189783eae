"""The speed benchmarks can be collected, and their timer counts children."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.speed.clock import processor_time

ROOT = Path(__file__).parents[2]


def test_every_benchmark_is_collected():
    words = ["-m", "pytest", "benchmarks/speed", "--collect-only", "-q", "-p", "no:cacheprovider"]
    # pytest-benchmark warns, and a warning is an error, where it believes that several processes measure.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    found = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout
    for path in (ROOT / "benchmarks" / "speed").glob("bench_*.py"):
        assert f"{path.name}::bench_" in found.stdout


def test_the_timer_counts_children_that_have_ended():
    before = processor_time()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    assert processor_time() - before >= 0.25
