"""What is made of a run of pytest-benchmark, and what is reported as slower than a baseline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from act_gym.errors import RunError
from benchmarks.speed import baseline
from benchmarks.speed.clock import yardstick

BENCHES = """
def bench_sum(benchmark):
    benchmark.group = "adding"
    benchmark(sum, range(100))

def bench_sum_upstream(benchmark):
    benchmark.group = "adding"
    benchmark(sum, range(10_000))

def bench_alone(benchmark):
    benchmark(len, "act")
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speed")
    (folder / "bench_small.py").write_text(BENCHES, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "bench_small.py", "-q", "-o", "python_files=bench_*.py"]
    command += ["-o", "python_functions=bench_*", "--benchmark-json=out.json", "--benchmark-max-time=0.05"]
    # Where the suite runs in several processes, pytest-benchmark would measure nothing.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    subprocess.run(command, cwd=folder, env=alone, check=True, capture_output=True)
    found = baseline.speeds(json.loads((folder / "out.json").read_text(encoding="utf-8")))
    return baseline.Report.of(found, yardstick())


def changed(report, times, ratio_times=1.0):
    made = [
        replace(speed, median=speed.median * times, ratio=None if speed.ratio is None else speed.ratio / ratio_times)
        for speed in report.speeds
    ]
    return replace(report, speeds=tuple(made))


def test_each_speed_stands_beside_the_other_implementation(report):
    ours, theirs, alone = report.speeds
    assert (ours.group, ours.name, theirs.name) == ("adding", "sum", "sum_upstream")
    assert ours.ratio == theirs.median / ours.median
    assert ours.ratio > 5  # a hundred times as many numbers
    assert (theirs.ratio, alone.ratio) == (None, None)


def test_a_report_survives_being_written(report, tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(report.to_json()), encoding="utf-8")
    assert baseline.Report.read(path) == report
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match="--save-baseline"):
        baseline.Report.read(path)


def test_what_became_slower_is_reported_by_ratio_or_yardstick(report):
    assert baseline.slower(report, report, 1.3) == []
    slowed = baseline.slower(changed(report, 2.0, ratio_times=2.0), report, 1.3)
    assert len(slowed) == 2
    assert "adding: sum, 2.00 times as slow by its ratio" in slowed[0]
    assert "alone, 2.00 times as slow by the yardstick" in slowed[1]


def test_a_machine_that_is_slower_in_everything_is_not_reported(report):
    other = replace(changed(report, 3.0), yardstick=report.yardstick * 3)
    assert baseline.slower(other, report, 1.3) == []


def test_a_part_that_was_not_measured_again_keeps_its_baseline(report):
    again = replace(report, speeds=report.speeds[:2], yardstick=report.yardstick * 2)
    kept = {speed.name: speed for speed in report.updated(again).speeds}
    assert kept.keys() == {"sum", "sum_upstream", "alone"}
    assert kept["alone"].median == pytest.approx(2 * report.speeds[2].median)


def test_the_table_goes_between_its_marks(report, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one run of python -m benchmarks.speed -->\nold\n<!-- end of that run -->\nafter\n")
    baseline.write_page(page, report)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("-->\nafter\n")
    assert "old" not in text
    assert "| adding | sum | " in text
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(RunError, match="no lines"):
        baseline.write_page(page, report)
