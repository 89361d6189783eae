import numpy as np
import pytest

from act_gym.engines.scienceworld import gold
from act_gym.splits.scienceworld import tasks
from benchmarks.parity.__main__ import main
from benchmarks.parity.comparison import compare
from benchmarks.parity.scienceworld import make_pair

TASKS = {task.id.removeprefix("scienceworld/"): task for task in tasks()}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACT_GYM_DATA", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(gold, "_kept", {})
        made = make_pair()
        yield made
        made.reference.close()
        made.candidate.close()


@pytest.mark.parametrize("name", ["find-plant/3", "lifespan-longest-lived/5"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # upstream's sockets
def test_solutions_and_random_walks_show_what_the_packages_own_environment_shows(pair, name):
    comparison = compare(pair, TASKS[name], steps=6, random=np.random.default_rng(1))
    assert comparison.difference is None, comparison.difference
    assert comparison.refused == ""
    assert comparison.states > 8


def test_mistakes_are_told_in_words(capsys):
    assert main(["scienceworld", "--steps", "-1"]) == 2
    assert "--steps and --limit are 0 or more" in capsys.readouterr().err
    assert main(["scienceworld", "--tasks", "boill"]) == 2
    assert "Did you mean boil" in capsys.readouterr().err
