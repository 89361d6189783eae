import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.reporting.plots import write_plots
from benchmarks.stats.intervals import Interval
from benchmarks.stats.measurement import Measurement, Summary, named

pytest.importorskip("matplotlib")


def measured(split: str, task_type: str, value: float, n: int = 40) -> Measurement:
    return Measurement(
        name="success",
        value=value,
        n=n,
        low=value - 0.1,
        high=value + 0.1,
        benchmark="ALFWorld",
        split=split,
        task_type=task_type,
    )


KINDS = ("png", "svg")
SUMMARY = Summary(
    kind="episodes",
    label="$a^b$ <script>alert(1)</script>",
    subject="agent",
    measurements=(
        measured("seen", "", 0.5),
        measured("unseen", "", 0.3),
        measured("seen", "put", 0.6),
        measured("unseen", "put", 0.2),
        measured("seen", "heat", 0.4),
        measured("seen - unseen", "", 0.2),
        Measurement(name="turns", value=9.0, n=40, benchmark="ALFWorld", split="seen"),
    ),
)


def test_each_picture_is_a_png_and_an_svg_with_the_numbers_as_text(tmp_path):
    paths = write_plots(SUMMARY, tmp_path / "plots")
    assert [path.name for path in paths] == [
        f"{name}.{kind}"
        for name in ("splits", "task-types-alfworld", "seen-unseen-alfworld")
        for kind in ("png", "svg")
    ]
    for path in paths:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
    words = texts(tmp_path / "plots" / "task-types-alfworld.svg")
    assert {"put", "heat", "ALFWorld seen", "ALFWorld unseen", "60.0", "20.0", "40.0"} <= words
    words = texts(tmp_path / "plots" / "splits.svg")
    assert {"ALFWorld seen (n = 40)", "50.0", "30.0"} <= words
    assert "$a^b$ <script>alert(1)</script>: success by split" in words  # neither a formula nor markup


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    first, second = (write_plots(SUMMARY, tmp_path / name) for name in ("first", "second"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_errors_and_choices_are_named_and_get_no_line(tmp_path):
    group = ("ALFWorld", "seen")
    failed = (
        Measurement.plain("success", 0.0, 25, group),
        Measurement.plain("errors", 24, 25, group),
        Measurement.of("success", Interval(0.5, 0.3, 0.7, 24), ("ALFWorld", "unseen")),
    )
    names = {("ALFWorld", "seen"): "alfworld-seen-mini", ("ALFWorld", "unseen"): "alfworld-unseen-134, 24 of 134"}
    summary = Summary(kind="episodes", label="x", subject="x", measurements=named(failed, names))
    write_plots(summary, tmp_path)
    words = texts(tmp_path / "splits.svg")
    assert {"alfworld-seen-mini (n = 25, 24 errors: no interval)", "alfworld-unseen-134, 24 of 134 (n = 24)"} <= words
    bars = (tmp_path / "splits.svg").read_text().count("LineCollection")
    assert bars == 1  # of the split that has an interval


def test_a_run_without_success_rates_draws_nothing(tmp_path):
    assert write_plots(Summary(kind="episodes", label="", subject="", measurements=()), tmp_path) == []


def texts(path: Path) -> set[str]:
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    return {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
