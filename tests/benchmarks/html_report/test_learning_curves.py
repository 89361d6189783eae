"""Learning curves: which trainings a folder holds, what is drawn, and that nothing in it acts on the page."""

import json
import math

import pytest

from act_gym import RunError, UsageError
from act_gym.intervals import wilson
from benchmarks.html_report.learning_curves import _averaged, _ticks, trainings
from benchmarks.report import main
from tests.benchmarks.html_report.written import HOSTILE, episode_of, turns_of, write_episodes
from tests.benchmarks.test_report import read


def write_training(folder, *, losses=(2.0, 1.0, 0.5), solved=(0, 2), split="seen"):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{"event": "start", "after": 0, "sequences": 4}]
    lines += [{"step": step, "loss": loss, "token_accuracy": 0.5} for step, loss in enumerate(losses, start=1)]
    lines += [{"event": "eval", "step": 3, "eval/seen/success": 0.5}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    evals = []
    for step, count in enumerate(solved, start=2):
        interval = wilson(count, 4)
        evals.append({"step": step, "env_id": "act/Cellar-seen", "split": split, "games": 4, "solved": count})
        evals[-1] |= {"success": interval.value, "low": interval.low, "high": interval.high, "turns": 3.5}
    (folder / "evals.jsonl").write_text("".join(json.dumps(line) + "\n" for line in evals))
    return folder


def test_rounds_and_stages_are_found_in_their_order(tmp_path):
    for number in (10, 2, 1):
        write_training(tmp_path / "dagger" / f"round-{number}" / "train")
    labels = [training.label for training in trainings(tmp_path / "dagger")]
    assert labels == [f"dagger/round-{number}/train" for number in (1, 2, 10)]
    one = trainings(tmp_path / "dagger" / "round-2" / "train")
    assert [training.label for training in one] == ["train"]
    assert one[0].metrics["loss"] == [(1, 2.0), (2, 1.0), (3, 0.5)]


def test_a_training_alone_makes_a_page_with_intervals(tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main([str(write_training(tmp_path / "il")), "--out", str(out)]) == 0
    html, tags = read(out)
    assert "1 training," in capsys.readouterr().out
    labels = [values["aria-label"] for name, values in tags.found if name == "svg" and "aria-label" in values]
    assert "Loss over optimizer steps. Loss: 2 at step 1, 0.5 at step 3" in labels
    assert "Games solved, per cent over optimizer steps. seen: 0 at step 2, 0.5 at step 3" in labels
    assert sum(values.get("class") == "whisker" for _, values in tags.found) == 2
    assert "2 of 4" in html


def test_trainings_and_evaluations_share_a_page(tmp_path):
    write_training(tmp_path / "runs" / "il")
    (tmp_path / "runs" / "summary.json").write_text("[]")  # as a pipeline leaves it
    write_episodes(tmp_path / "runs" / "eval", "after IL", [episode_of(0, "x", turns=turns_of("go"))])
    out = tmp_path / "report.html"
    assert main([str(tmp_path / "runs"), "--out", str(out)]) == 0
    html, _ = read(out)
    assert html.index(">runs/il</h3>") < html.index(">Cellar</h2>")


def test_what_a_file_of_metrics_holds_is_text(tmp_path):
    out = tmp_path / "report.html"
    main([str(write_training(tmp_path / "il", split=HOSTILE)), "--out", str(out)])
    _, tags = read(out)
    assert [name for name, _ in tags.found if name == "img"] == []


@pytest.mark.parametrize("line", ['{"step": "x", "loss": 1.0}', '{"step": 1, "loss": "x"}', "[1]"])
def test_metrics_that_are_none_are_refused(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises((UsageError, RunError), match="metrics"):
        main([str(tmp_path), "--out", str(tmp_path / "report.html")])


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-0.5, 3.2), (2.5, 2.5), (0.0, 0.0), (1e-9, 3e-9), (-7.0, 950.0)]
)
def test_ticks_are_few_and_reach_around_all_values(low, high):
    ticks = _ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert ticks == sorted(set(ticks))


def test_many_steps_are_averaged_to_a_few_points():
    points = [(step, float(step)) for step in range(10_001)]
    found = _averaged(points)
    assert len(found) <= 240
    assert all(math.isclose(step, value) for step, value in found)


def test_replies_to_a_question_are_shown_as_text(tmp_path):
    folder = write_training(tmp_path / "il")
    lines = [
        {"step": step, "number": 3, "prompt": HOSTILE, "reply": f"{HOSTILE} {step}", "target": HOSTILE}
        for step in range(10, 500, 10)
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "report.html"
    main([str(folder), "--out", str(out)])
    html, tags = read(out)
    assert "49 replies" in html
    assert 'scope="row">490</th>' in html
    assert html.count("&lt;/script&gt;&lt;script&gt;alert(1)") >= 10
    assert [name for name, _ in tags.found if name == "img"] == []
    assert sum(name == "script" and not values.get("type") for name, values in tags.found) == 1
