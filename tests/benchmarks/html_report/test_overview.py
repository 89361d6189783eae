from benchmarks.html_report.overview import pairings
from benchmarks.html_report.runs import load
from benchmarks.reporting.tables import chance
from tests.benchmarks.html_report.written import episode_of, turns_of, write_episodes


def runs(tmp_path, *solved):
    """Write a run of ten tasks for each agent; `solved` says how many of them it solves."""
    return [
        load(
            write_episodes(
                tmp_path / str(place),
                f"agent {place}",
                [episode_of(n, "x", turns=turns_of("go"), success=n < count) for n in range(10 - place)],
            )
        )
        for place, count in enumerate(solved)
    ]


def test_two_agents_are_compared_on_the_tasks_that_both_played(tmp_path):
    table = pairings("Cellar", runs(tmp_path, 0, 9))
    assert "agent 0 − agent 1" in table
    assert "−100.0" in table
    assert "n 9" in table
    assert chance(2 / 2**9) in table  # McNemar: nine tasks that only one solved


def test_of_many_agents_each_is_compared_with_the_first(tmp_path):
    table = pairings("Cellar", runs(tmp_path, 1, 2, 3, 4, 5))
    assert table.count('scope="row"') == 4
    assert table.count("− agent 0") == 4
    assert pairings("Attic", runs(tmp_path / "other", 1, 2)) is None


def test_a_small_p_value_is_not_rounded_to_nothing():
    assert [chance(p) for p in (None, 0.0001, 0.0312, 1.0)] == ["–", "< 0.001", "0.031", "1.000"]
