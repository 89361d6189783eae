import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from act_gym import RunError, UnknownNameError
from benchmarks.compare import main
from benchmarks.evaluate import main as evaluate
from benchmarks.run.loader import FinishedRun
from benchmarks.stats.intervals import newcombe, wilson
from benchmarks.stats.paired import contrast, contrasts
from benchmarks.stats.significance import mcnemar

SUITES = ["webshop-generated-seen-mini", "webshop-generated-unseen-mini"]


def record(number, success, *, seed=0, score=None):
    return {
        "env_id": "act/Cellar-seen",
        "task_id": f"cellar/{number}",
        "task_type": f"type-{number % 2}",
        "seed": seed,
        "stop": "terminated",
        "success": success,
        "score": float(success) if score is None else score,
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The expert and the random agent on two suites, the random one with two seeds."""
    folder = tmp_path_factory.mktemp("compare")
    for name, more in (("expert", []), ("random", ["--seeds", "0", "1"])):
        evaluate(["--agent", name, "--suite", *SUITES, "--workers", "1", *more, "--out", str(folder / name)])
    return folder


def test_two_agents_are_paired_task_by_task():
    # Of 20 tasks both solve 5, the first alone 8, the second alone 2, nobody 5.
    pairs = [(1, 1)] * 5 + [(1, 0)] * 8 + [(0, 1)] * 2 + [(0, 0)] * 5
    first, second = ([record(n, bool(pair[side])) for n, pair in enumerate(pairs)] for side in (0, 1))
    success = contrasts("cellar", first, second, np.random.default_rng(0))[0]
    assert (success.only_first, success.only_second, success.test) == (8, 2, "mcnemar")
    assert success.p_value == mcnemar(8, 2)
    phi = np.corrcoef(np.array(pairs).T)[0, 1]
    alone = newcombe(wilson(13, 20), wilson(7, 20), phi)
    assert (success.p_value > 0.05, alone.low > 0) == (True, True)  # they contradict each other
    assert success.difference == replace(alone, low=0.0)
    assert success.bootstrap.value == pytest.approx(0.3)
    assert success.bootstrap.low < 0.3 < success.bootstrap.high


def test_the_same_tasks_have_one_p_value_wherever_it_is_shown():
    generator = np.random.default_rng(0)
    sides = [[record(n, bool(v), seed=s) for s in (0, 1) for n, v in enumerate(generator.integers(0, 2, 30))]] * 2
    sides[1] = [{**one, "success": bool(generator.integers(0, 2))} for one in sides[1]]
    first = contrast("cellar", "success", *sides, np.random.default_rng(1), tested=True)
    again = contrast("cellar", "success", *(side[::-1] for side in sides), np.random.default_rng(2), tested=True)
    assert first.test == "permutation"
    assert first.p_value == again.p_value
    assert (first.difference.low, first.difference.high) == pytest.approx((again.difference.low, again.difference.high))


def test_a_sure_difference_of_small_scores_is_not_shown_as_none():
    first, second = ([record(n, False, score=0.01 + shift) for n in range(40)] for shift in (0.0035, 0.0))
    found = contrast("cellar", "score", first, second, np.random.default_rng(0), tested=True)
    assert found.p_value < 0.001
    assert 0 < found.difference.low <= found.difference.value == pytest.approx(0.0035)


def test_pairing_sees_what_two_separate_intervals_do_not():
    # Hard and easy tasks, alike for both, and a small difference on each.
    generator = np.random.default_rng(0)
    base = np.linspace(0.1, 0.8, 40)
    first = [record(n, False, score=base[n] + 0.05 + generator.normal(0, 0.02)) for n in range(40)]
    second = [record(n, False, score=base[n] + generator.normal(0, 0.02)) for n in range(40)]
    score = contrasts("cellar", first, second, generator)[1]
    assert score.first.low < score.second.high  # each for itself they overlap
    assert score.difference.low > 0
    assert score.bootstrap.low > 0
    assert score.p_value < 0.001


def test_paired_intervals_hold_the_truth_about_as_often_as_they_say():
    # 150 samples of 40 tasks; 95 % ± 3 standard errors is 0.897 to 1. The difference is 0.1 on each task.
    generator = np.random.default_rng(0)
    held = {"difference": 0, "bootstrap": 0}
    for _ in range(150):
        chances = generator.uniform(0.1, 0.8, size=40)
        sides = [generator.binomial(1, chances + shift) for shift in (0.1, 0.0)]
        first, second = ([record(2 * n, bool(value)) for n, value in enumerate(side)] for side in sides)
        success = contrast("cellar", "success", first, second, generator)
        for name in held:
            interval = getattr(success, name)
            held[name] += interval.low <= 0.1 <= interval.high
    assert all(count / 150 >= 0.897 for count in held.values()), held


def test_runs_are_compared_with_their_gaps(runs, capsys):
    assert main([str(runs / "expert"), str(runs / "random"), "--json", "--detect", "0.05"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labels"] == ["expert", "random"]
    whole = {(each["suite"], each["name"]): each for each in found["contrasts"] if not each["task_type"]}
    gap = " - ".join(SUITES)
    assert set(whole) == {(suite, name) for suite in (*SUITES, gap) for name in ("success", "score")}
    seen = whole[SUITES[0], "success"]
    assert seen["tasks"] == 25
    assert seen["difference"]["value"] == pytest.approx(seen["first"]["value"] - seen["second"]["value"])
    assert seen["test"] == "permutation"  # one of them has two seeds
    assert seen["needed"] is None  # each task differs by 1: nothing is known of how differences vary
    assert whole[SUITES[0], "score"]["needed"]["difference"] == 0.05
    difference = whole[SUITES[0], "score"]["difference"]["value"] - whole[SUITES[1], "score"]["difference"]["value"]
    assert whole[gap, "score"]["difference"]["value"] == pytest.approx(difference)
    assert main([str(runs / "expert"), str(runs / "random"), "--task-types", "--detect", "0.05"]) == 0
    shown = capsys.readouterr().out
    assert "expert against random" in shown
    assert "a difference of 5 points" in shown
    assert "beauty" in shown


def changed(runs, tmp_path, change):
    """A copy of a run whose manifest was changed."""
    folder = tmp_path / "changed"
    shutil.copytree(runs / "expert", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return str(folder)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda m: m["env_options"].update(prices="given"), r"env_options\.prices"),
        (lambda m: m["suites"][SUITES[0]]["catalogue"].update(sha256="0"), rf"{SUITES[0]}\.catalogue\.sha256"),
        (lambda m: m["simulators"]["WebShop"].update(engine="other"), r"simulators\.WebShop\.engine"),
        (lambda m: m["suites"][SUITES[0]].update(simulator="scienceworld 1.3"), rf"{SUITES[0]}\.simulator"),
        (lambda m: m["suites"].pop(SUITES[1]), ""),
    ],
    ids=["settings", "catalogue", "engine", "simulator", "suites"],
)
def test_runs_of_other_suites_or_conditions_are_refused_with_what_differs(runs, tmp_path, change, place):
    folder = changed(runs, tmp_path, change)
    if not place:  # a manifest without a suite whose episodes are there is found out at once
        with pytest.raises(RunError, match="50 episodes; expected 25"):
            main([folder, str(runs / "random")])
        return
    with pytest.raises(RunError, match=rf"(?m)^  \S*{place} ") as caught:
        main([folder, str(runs / "random")])
    assert folder in str(caught.value)


def test_records_that_are_not_the_manifests_are_found_out(runs, tmp_path):
    folder = tmp_path / "swapped"
    shutil.copytree(runs / "expert", folder)
    path = folder / "records.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n")
    with pytest.raises(RunError, match="in another order"):
        FinishedRun.read(folder)
    path.write_text("\n".join([*lines, lines[0]]) + "\n")
    with pytest.raises(RunError, match="twice"):
        FinishedRun.read(folder)
    path.write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(RunError, match=SUITES[0]):
        FinishedRun.read(folder)
    (folder / "summary.json").unlink()
    with pytest.raises(RunError, match="not finished"):
        FinishedRun.read(folder)


def test_only_named_suites_are_compared(runs, capsys):
    main([str(runs / "expert"), str(runs / "random"), "--suite", SUITES[1], "--json"])
    assert {each["suite"] for each in json.loads(capsys.readouterr().out)["contrasts"]} == {SUITES[1]}
    with pytest.raises(UnknownNameError, match=SUITES[1]):
        main([str(runs / "expert"), str(runs / "random"), "--suite", "webshop-generated-unsen-mini"])
