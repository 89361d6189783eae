import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.shown.plots import write_plots
from benchmarks.statistics.measurement import Measurement, Summary

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
    assert {"put", "heat", "seen", "unseen", "60.0", "20.0", "40.0"} <= words
    words = texts(tmp_path / "plots" / "splits.svg")
    assert {"ALFWorld seen (n = 40)", "50.0", "30.0"} <= words
    assert "$a^b$ <script>alert(1)</script>: success by split" in words  # neither a formula nor markup


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    first, second = (write_plots(SUMMARY, tmp_path / name) for name in ("first", "second"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_run_without_success_rates_draws_nothing(tmp_path):
    assert write_plots(Summary(kind="episodes", label="", subject="", measurements=()), tmp_path) == []


def texts(path: Path) -> set[str]:
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    return {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
