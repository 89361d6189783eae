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


def of_suite(run, suite):
    return replace(run, measurements=named(run.measurements, {("Cellar", "seen"): suite}))


def test_samples_of_a_split_share_its_column():
    runs = [summary(label, "episodes", "success", 0.5, "seen") for label in ("mini", "whole")]
    (found,) = headlines([("a", of_suite(runs[0], "cellar-mini")), ("b", runs[1])])
    assert [column.title for column in found.columns] == ["seen"]
    assert {label for label, _ in found.cells} == {"mini", "whole"}
    (found,) = headlines([("a", of_suite(runs[0], "cellar-mini"))])
    assert [column.title for column in found.columns] == ["cellar-mini"]


def test_two_suites_in_one_run_have_a_column_each():
    run = summary("base", "episodes", "success", 0.5, "seen")
    both = (*of_suite(run, "cellar-mini").measurements, *of_suite(run, "cellar-maxi").measurements)
    (found,) = headlines([("a", replace(run, measurements=both))])
    assert [column.title for column in found.columns] == ["cellar-maxi", "cellar-mini"]


def test_a_score_that_is_the_success_is_left_out():
    runs = [summary("base", "episodes", name, 0.5, "seen") for name in ("success", "score")]
    both = replace(runs[0], measurements=(*runs[0].measurements, *runs[1].measurements))
    (found,) = headlines([("a", both)])
    assert [column.name for column in found.columns] == ["success"]


def test_a_gap_is_no_column():
    gap = summary("base", "episodes", "score", 0.1, "seen - unseen")
    (found,) = headlines([("a", summary("base", "episodes", "score", 0.5, "seen")), ("b", gap)])
    assert [column.split for column in found.columns] == ["seen"]
    assert found.gaps["base (b)", "score"].value == 0.1


def test_the_terminal_shows_what_was_measured_and_a_dash_for_the_rest():
    (found,) = headlines(
        [
            ("a", summary("base", "judge", "accuracy", 0.25, "seen")),
            ("b", summary("[red]", "judge", "accuracy", 0.5, "unseen")),
        ]
    )
    out = io.StringIO()
    print_headline(found, out)
    assert "25.0" in out.getvalue()
    assert "[red]" in out.getvalue()
    assert "–" in out.getvalue()
