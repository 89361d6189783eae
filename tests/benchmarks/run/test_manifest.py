import json
from hashlib import sha256

import pytest

from act_gym import MissingDataError
from act_gym.engines.alfworld.files import GAME_FILE, games_folder
from act_gym.engines.webshop.catalogue import shops_folder
from agents.baselines import RandomAgent
from agents.workers.processes import Guarded
from benchmarks.run.manifest import evaluation_facts
from benchmarks.run.schedule import make_plan


def facts(*suites, env_ids=(), agent=None, spec="random", **env_options):
    plan = make_plan(suites, env_ids, seeds=(0, 1), env_options=env_options, limit=2)
    return json.loads(json.dumps(evaluation_facts(plan, spec, {}, agent)))


def test_a_generated_shop_is_visibly_not_the_official_catalogue():
    found = facts("webshop-generated-seen")
    catalogue = found["suites"]["webshop-generated-seen"]["catalogue"]
    assert (catalogue["name"], catalogue["source"], catalogue["official"]) == ("generated", "generated", False)
    assert len(catalogue["sha256"]) == 64
    assert found["success"].keys() == found["simulators"].keys() == {"WebShop"}


@pytest.mark.skipif(not (shops_folder() / "1000").is_dir(), reason="WebShop's catalogue is not downloaded")
def test_a_catalogue_tells_whether_its_files_are_the_official_ones():
    catalogue = facts("webshop-test-500")["suites"]["webshop-test-500"]["catalogue"]
    notes = json.loads((shops_folder() / "1000" / "manifest.json").read_text())["details"]
    assert catalogue["not_official"] == notes.get("not_official", [])
    assert catalogue["official"] == ("sha256" in notes and not notes.get("not_official"))


@pytest.mark.skipif(not games_folder().is_dir(), reason="ALFWorld's games are not downloaded")
def test_alfworlds_games_are_hashed_as_they_lie_here(tmp_path):
    plan = make_plan(("alfworld-unseen-134",), (), seeds=(0,), env_options={}, limit=2)
    found = facts("alfworld-unseen-134")["suites"]["alfworld-unseen-134"]
    files = [games_folder() / task.payload["game"] / GAME_FILE for task in plan.parts[0].tasks]
    assert found["games_sha256"] == sha256(b"".join(sha256(path.read_bytes()).digest() for path in files)).hexdigest()
    with pytest.raises(MissingDataError, match="act-gym download alfworld"):
        facts("alfworld-unseen-134", data=str(tmp_path))


def test_generated_games_tell_what_makes_them():
    found = facts("alfworld-generated-seen")
    assert "alfworld" in found["suites"]["alfworld-generated-seen"]["generator"]
    assert found["simulators"]["ALFWorld"] == {"engine": "native"}
    assert "textworld" in facts("alfworld-generated-seen", engine="textworld")["simulators"]["ALFWorld"]


class Telling(RandomAgent):
    facts = {"weights_sha256": "1f", "sampling": {"temperature": 0.7}}  # noqa: RUF012


def test_what_an_agent_says_of_itself_is_taken_over():
    agent = facts("alfworld-generated-seen", agent=Guarded(Telling()))["agent"]
    assert (agent["asked_for"], agent["name"], agent["weights_sha256"]) == ("random", "random", "1f")


def test_an_agent_of_ones_own_is_told_by_its_file(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("first")
    monkeypatch.chdir(tmp_path)
    first = facts("alfworld-generated-seen", spec="mine:Agent")["agent"]["source_sha256"]
    assert first == sha256(b"first").hexdigest()
    (tmp_path / "mine.py").write_text("second")
    assert facts("alfworld-generated-seen", spec="mine:Agent")["agent"]["source_sha256"] != first
    assert facts("alfworld-generated-seen", spec="not.here:Agent")["agent"]["source_sha256"] == ""
