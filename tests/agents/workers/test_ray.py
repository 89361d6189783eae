"""A real cluster of two nodes on this machine, one of which is killed half-way."""

import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from act_gym import tasks
from act_gym.errors import UsageError
from act_gym.io.jsonl import read_records
from act_gym.rollout import Job
from act_gym.types import Episode
from agents.registry import make_agent
from agents.workers.ray import play_on_ray

pytest.importorskip("ray")
psutil = pytest.importorskip("psutil")
ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.slow,
    # Ray leaves files and processes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]

AGENT = """
import os, time
from pathlib import Path
from act_gym import function_agent

def make(folder, pause):
    Path(folder, f"{os.getpid()}.actor").touch()
    def choose(view):
        time.sleep(float(pause))
        return "look"
    return function_agent("looker", choose)
"""
ENV = "act/ALFWorld-generated-seen"
OPTIONS = {"max_episode_steps": 3, "admissible_commands": False}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    made.shutdown()


def jobs(count):
    return [Job(ENV, task) for task in tasks(ENV)[:count]]


def key(one):
    return one.env_id, one.task.id, one.seed


def listening(process):
    """Return the addresses at which a process and its children take connections."""
    found = set()
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):  # it has just ended
            connections = member.net_connections("inet")
            found |= {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}
    return found


def test_no_episode_is_lost_or_counted_twice_when_a_node_dies(cluster, tmp_path, monkeypatch):
    (tmp_path / "looker_agent.py").write_text(AGENT)
    monkeypatch.chdir(tmp_path)  # an agent of the working folder
    node = cluster.add_node(num_cpus=1)
    wanted = jobs(40)
    make = partial(make_agent, "looker_agent:make", {"folder": str(tmp_path), "pause": "0.05"})
    arrived: list[Episode] = []
    for episode in play_on_ray(wanted, make, workers=2, address=cluster.address, env_options=OPTIONS):
        arrived.append(episode)
        if len(arrived) == 12:
            cluster.remove_node(node, allow_graceful=False)
    assert Counter(map(key, arrived)) == Counter(map(key, wanted))
    assert not [episode.error for episode in arrived if episode.error]
    assert all(len(episode.turns) == 3 and episode.agent == "looker" for episode in arrived)
    assert len(list(tmp_path.glob("*.actor"))) > 2  # another actor took over


def test_mistakes_come_back_with_their_reason(cluster):
    with pytest.raises(UsageError, match="takes no settings"):
        list(play_on_ray(jobs(1), partial(make_agent, "random", {"a": "b"}), address=cluster.address))
    with pytest.raises(UsageError, match="no Ray cluster 127"):
        list(play_on_ray(jobs(1), partial(make_agent, "random"), address="127.0.0.1:1"))
    with pytest.raises(UsageError, match="--ray-address auto"):
        list(play_on_ray(jobs(1), partial(make_agent, "random"), address="ray://127.0.0.1:1"))


def test_ray_on_this_machine_alone_is_closed_to_others(tmp_path):
    words = ["eval", "--backend", "ray", "--workers", "1", "--env", ENV, "--limit", "3", "--out", str(tmp_path / "run")]
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from act_gym.cli import main; sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", script, *words], stdout=subprocess.DEVNULL)
    addresses = set()
    while process.poll() is None:
        addresses |= listening(psutil.Process(process.pid))
        time.sleep(0.2)
    assert process.returncode == 0
    assert len(list(read_records(tmp_path / "run" / "records.jsonl"))) == 3
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
