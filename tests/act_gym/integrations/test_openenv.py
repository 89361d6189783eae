"""A served environment, in a process of its own, played with OpenEnv's clients and ours."""

import re
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("openenv.core.env_server", reason="test_openenv_apart.py runs these in an environment of its own")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

from act_gym import play, tasks  # noqa: E402
from act_gym.integrations.openenv_server import Command, GameClient  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
ENV = "act/ALFWorld-generated-train"


@pytest.fixture(scope="module")
def address():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--env", ENV],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


PROGRAM = "import sys; from act_gym.cli import main; sys.exit(main(['serve', *sys.argv[1:]]))"


@pytest.fixture(scope="module")
def recorded():
    from agents.baselines import ExpertAgent

    return list(play(ENV, ExpertAgent(), tasks(ENV)[:3]))


def test_only_this_machine_is_served_and_only_who_knows_the_secret(address):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}", address)
    base, _, token = address.rpartition("/")
    with urllib.request.urlopen(f"{address}/health") as answer:
        assert answer.status == 200
    for path in ("/health", "/docs", "/", f"/{token[:-1]}/health", f"/{token}x/health", "/web", "//health"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(base + path)
        assert refused.value.code == 404
        refused.value.close()


def test_a_wrong_secret_opens_no_session(address):
    with pytest.raises(ConnectionError, match="403"), GameClient(base_url=address[:-1] + "!").sync() as client:
        client.reset()


def test_an_experts_episode_is_played_word_for_word_over_the_wire(address, recorded):
    episode = recorded[0]
    with GameClient(base_url=address).sync() as client:
        result = client.reset(task_id=episode.task.id)
        rewards = 0.0
        for turn in episode.turns:
            assert result.observation.text == turn.observation
            assert tuple(result.observation.admissible_commands) == turn.admissible_commands
            assert not result.done
            result = client.step(Command(command=turn.action))
            assert result.reward == turn.reward
            rewards += result.reward
        assert (result.done, result.observation.success, rewards) == (True, True, 1.0)
        assert result.observation.text == episode.final_observation
        state = client.state()
        assert (state.env_id, state.task_id, state.step_count) == (ENV, episode.task.id, len(episode.turns))


def test_openenvs_own_client_plays_without_knowing_us(address, recorded):
    from openenv.core import GenericEnvClient

    with GenericEnvClient(base_url=address).sync() as client:
        result = client.reset(task_id=recorded[1].task.id)
        assert result.observation["text"] == recorded[1].turns[0].observation
        result = client.step({"command": "look"})
        assert result.observation["goal"] == recorded[1].goal


def test_sessions_at_once_do_not_see_each_other(address, recorded):
    def run(episode):
        with GameClient(base_url=address).sync() as client:
            result = client.reset(task_id=episode.task.id)
            for turn in episode.turns:
                assert result.observation.text == turn.observation
                result = client.step(Command(command=turn.action))
            return result.observation.success

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, recorded)) == [True] * 3


@pytest.mark.parametrize(
    "action", [{"command": "x" * 20_000}, {"command": None}, {"command": "look", "more": 1}, {}, {"type": "call_tool"}]
)
def test_an_action_that_is_none_is_refused_and_the_session_plays_on(address, recorded, action):
    from openenv.core import GenericEnvClient

    with GenericEnvClient(base_url=address).sync() as client:
        client.reset(task_id=recorded[0].task.id)
        with pytest.raises(RuntimeError, match="VALIDATION_ERROR"):
            client.step(action)
        assert client.step({"command": "look"}).observation["text"]


def test_the_pages_snippet_plays_an_episode_to_its_end(address):
    page = (ROOT / "docs" / "integrations.md").read_text()
    snippet = re.search(r"```python\n(from act_gym.integrations.openenv_server.*?)```", page, re.DOTALL).group(1)
    done = subprocess.run([sys.executable, "-c", snippet], input=address, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"address: [\d.]+ (True|False)\n", done.stdout)


def test_a_task_that_is_not_there_is_told(address):
    with GameClient(base_url=address).sync() as client, pytest.raises(RuntimeError, match="no-such-task"):
        client.reset(task_id="alfworld/no-such-task")
