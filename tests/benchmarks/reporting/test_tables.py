import io
from dataclasses import replace

from benchmarks.reporting.tables import headlines, print_headline
from benchmarks.stats.intervals import Interval
from benchmarks.stats.measurement import Measurement, Summary, named


def summary(label, kind, name, value, split):
    one = Measurement.of(name, Interval(value, 0.0, 1.0, 4), ("Cellar", split))
    whole_type = Measurement.of(name, Interval(0.99, 0.0, 1.0, 1), ("Cellar", split, "lamp"))
    return Summary(kind=kind, label=label, subject="x", measurements=(one, whole_type))


def test_a_row_joins_the_runs_of_one_label_and_leaves_out_task_types():
    (found,) = headlines(
        [
            ("a", summary("base", "judge", "accuracy", 0.25, "seen")),
            ("b", summary("base", "next_action", "accuracy", 0.5, "seen")),
            ("c", summary("after ACT", "judge", "accuracy", 0.75, "seen")),
        ]
    )
    assert found.labels == ("base", "after ACT")
    assert [(column.kind, column.split) for column in found.columns] == [("judge", "seen"), ("next_action", "seen")]
    judged, acted = found.columns
    assert found.cells["base", judged].value == 0.25
    assert found.cells["base", acted].value == 0.5
    assert ("after ACT", acted) not in found.cells


def test_two_runs_of_one_kind_and_label_are_told_apart_by_their_folders():
    one = summary("base", "judge", "accuracy", 0.25, "seen")
    (found,) = headlines([("first", one), ("second", one)])
    assert found.labels == ("base", "base (second)")


def test_a_sample_of_a_split_has_a_column_of_its_own():
    runs = [summary(label, "episodes", "success", 0.5, "seen") for label in ("mini", "whole")]
    names = {("Cellar", "seen"): "cellar-mini"}
    mini = replace(runs[0], measurements=named(runs[0].measurements, names))
    (found,) = headlines([("a", mini), ("b", runs[1])])
    assert [column.title for column in found.columns] == ["seen", "cellar-mini"]
    assert [column.title for label, column in found.cells if label == "mini"] == ["cellar-mini"]


def test_a_gap_is_no_column():
    gap = summary("base", "episodes", "score", 0.1, "seen - unseen")
    (found,) = headlines([("a", summary("base", "episodes", "score", 0.5, "seen")), ("b", gap)])
    assert [column.split for column in found.columns] == ["seen"]
    assert found.gaps["base (b)", "score"].value == 0.1


def test_the_terminal_shows_what_was_measured_and_a_dash_for_the_rest():
    (found,) = headlines(
        [
            ("a", summary("base", "judge", "accuracy", 0.25, "seen")),
            ("b", summary("[red]", "next_action", "accuracy", 0.5, "unseen")),
        ]
    )
    out = io.StringIO()
    print_headline(found, out)
    assert "25.0" in out.getvalue()
    assert "[red]" in out.getvalue()
    assert "–" in out.getvalue()
