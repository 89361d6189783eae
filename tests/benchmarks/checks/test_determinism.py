import pytest

from act_gym.engines.scienceworld import gold as solutions
from act_gym.splits.scienceworld import tasks
from benchmarks.checks.determinism import CONDITIONS, Walk, check, difference, lay_down, main, table

TASKS = {task.id.removeprefix("scienceworld/"): task for task in tasks()}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACT_GYM_DATA", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(solutions, "_kept", {})
        yield


@pytest.fixture(scope="module")
def walks():
    # Sensitive to who else moves: unshielded, the first one's solution ends with 42 points.
    chosen = (TASKS["chemistry-mix/24"], TASKS["find-plant/3"])
    return lay_down(chosen, steps=5, seed=0)


def test_walks_are_a_solution_and_random_commands_that_only_the_seed_decides(walks):
    assert [(walk.task.task_type, walk.kind) for walk in walks] == [
        ("chemistry-mix", "solution"),
        ("chemistry-mix", "random"),
        ("find-plant", "solution"),
        ("find-plant", "random"),
    ]
    plant = (TASKS["find-plant/3"],)
    assert lay_down(plant, steps=5, seed=0) == walks[2:]
    assert lay_down(plant, steps=5, seed=1)[1] != walks[3]


@pytest.mark.parametrize("condition", [name for name in CONDITIONS if name != "solving"])
def test_the_same_commands_show_the_same_bytes(walks, condition):
    reported = []
    assert check(walks, [condition], reported.append) == {condition: (4, 4)}
    assert reported == []


def test_working_a_solution_out_does_not_disturb_a_walk_and_gives_the_same_one(walks):
    reported = []
    assert check(walks[2:], ["solving"], reported.append) == {"solving": (2, 2)}
    assert reported == []


def test_a_difference_is_told_with_the_commands_that_lead_to_it(walks):
    walk = Walk(TASKS["boil/0"], "random", ("a", "b", "c"))
    trace = ("goal", "start", "after a", "after b", "after c")
    assert difference(walk, trace, trace) == ""
    told = difference(walk, trace, (*trace[:3], "else", "after c"))
    assert told == "scienceworld/boil/0 (random) differs after ['a', 'b']\n  ['after b']\n  ['else']"
    longer = difference(walk, trace, (*trace, "more"))
    assert longer.endswith("\n  []\n  ['more']")
    assert "| again in the same Java process | 4 | 3 |" in table({"repeat": (3, 4)})


def test_a_condition_that_does_not_exist_is_a_mistake(capsys):
    assert main(["--conditions", "weather"]) == 2
    assert "--conditions are out of repeat, process" in capsys.readouterr().err
