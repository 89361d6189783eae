"""The chat agent against `transformers serve` with SmolLM2: a real model behind a real server, in its own process."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from copy import copy, deepcopy
from pathlib import Path

import pytest

from act_gym.errors import AgentUnavailableError
from act_gym.io.jsonl import read_records
from act_gym.rollout import play
from agents.local.agent import LocalAgent, LocalSettings
from agents.openai.agent import ChatAgent, ChatSettings

pytestmark = pytest.mark.slow
pytest.importorskip("openai")

# A generation config that plays otherwise: a request that leaves a setting out is answered with these.
GENERATION = {"do_sample": True, "temperature": 0.2, "top_k": 1, "top_p": 0.1, "min_p": 0.9, "repetition_penalty": 3.0}

# A reasoning switch like Qwen3's: without it, or with `false`, the reasoning is closed before the reply begins.
SWITCH = """{% if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}{{ '<think>

</think>

' }}{% endif %}"""

# SmolLM2's own template, which knows no tools, with a system message where tools are offered.
TEMPLATE = """{% if tools %}{{ '<|im_start|>system
You may call these functions: ' + tools | tojson + '<|im_end|>
' }}{% endif %}"""


@pytest.fixture(scope="module")
def server(policy, tmp_path_factory):
    """The address and the model's name."""
    program = Path(sys.executable).with_name("transformers")
    if not program.exists():
        pytest.skip("transformers serve is not installed. Run: pip install 'transformers[serving]'")
    source = Path(policy.tokenizer.name_or_path)
    folder = tmp_path_factory.mktemp("served") / "SmolLM2-135M-Instruct"
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "chat_template.jinja").unlink()
    own = (source / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(
        TEMPLATE + own.replace("{% if loop.first", "{% if not tools and loop.first") + SWITCH
    )
    config = folder / "generation_config.json"
    own_config = json.loads(config.read_text())
    config.unlink()
    config.write_text(json.dumps({**own_config, **GENERATION}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    log = (tmp_path_factory.mktemp("log") / "server.log").open("w")
    process = subprocess.Popen(
        [str(program), "serve", str(folder), *words],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(1500):
            assert process.poll() is None, Path(log.name).read_text()
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"{url}/v1", str(folder)
    finally:
        process.terminate()
        process.wait()
        log.close()
        shutil.rmtree(folder)


def settings(server, **more):
    url, model = server
    return ChatSettings(**{"model": model, "base_url": url, "max_new_tokens": 12, "timeout": 120.0, **more})


@pytest.fixture
def here(server, policy):
    """The served model in this process: the same weights, and the chat template that is served."""
    served = copy(policy)
    served.tokenizer = deepcopy(policy.tokenizer)
    served.tokenizer.chat_template = (Path(server[1]) / "chat_template.jinja").read_text()
    return served


@pytest.mark.parametrize("thinking", [False, True])
def test_the_same_model_is_the_same_agent_here_and_behind_a_server(server, here, make_view, thinking):
    views = [make_view(task_id=f"scienceworld/boil/{n}", observation=f"You see {n} pots.") for n in range(2)]
    remote = ChatAgent(settings(server, thinking=thinking, max_new_tokens=24)).act(views)
    local = LocalAgent(LocalSettings(thinking=thinking, max_new_tokens=24), policy=here).act(views)
    for there, choice in zip(remote, local, strict=True):
        # A server sends a reply that it takes for unfinished reasoning apart, and the agent opens it again.
        assert there.response.removeprefix("<think>") == choice.response.removeprefix("<think>")
        assert there.action == choice.action
        assert there.prompt_tokens == choice.prompt_tokens
        # The server counts the token that ends the reply, where the model wrote it, and all that follows the action.
        assert there.completion_tokens >= choice.completion_tokens


def test_sampling_is_from_all_tokens_whatever_the_generation_config_says(server, make_view):
    views = [make_view(task_id=f"scienceworld/boil/{n}") for n in range(3)]
    agent = ChatAgent(settings(server, temperature=1.5))
    assert len({choice.response for choice in agent.act(views)}) == 3
    # Where nothing is sent, the server's own settings hold: here the likeliest token every time.
    agent = ChatAgent(settings(server, temperature=-1.0))
    assert len({choice.response for choice in agent.act(views)}) == 1


def test_it_plays_and_what_it_read_is_counted(server):
    from act_gym import tasks

    chosen = tasks("act/ALFWorld-generated-seen")[:2]
    agent = ChatAgent(settings(server, format="react", input_price=1e6, output_price=1e6))
    episodes = list(
        play("act/ALFWorld-generated-seen", agent, chosen, num_envs=2, env_options={"max_episode_steps": 2})
    )
    assert sorted(episode.task.id for episode in episodes) == sorted(task.id for task in chosen)
    for episode in episodes:
        assert (episode.stop, len(episode.turns)) == ("truncated", 2)
        assert episode.agent == "SmolLM2-135M-Instruct:chat,format=react,max_new_tokens=12"
        assert all(turn.prompt_tokens > 50 and 0 < turn.completion_tokens <= 12 for turn in episode.turns)
        assert all(turn.cost == turn.prompt_tokens + turn.completion_tokens for turn in episode.turns)


def test_the_chat_template_is_given_the_function(server, make_view):
    plain, tools = (
        ChatAgent(settings(server, format=name, max_new_tokens=1)).act([make_view()])[0].prompt_tokens
        for name in ("tags", "tools")
    )
    assert tools > plain + 40  # the function's schema


def test_a_model_that_the_server_does_not_have_stops_the_run_with_the_servers_words(server, make_view):
    url, _ = server
    with pytest.raises(AgentUnavailableError, match="pinned"):
        ChatAgent(settings((url, "other"), patience=1)).act([make_view()])


def test_the_command_line_evaluates_it(server, tmp_path, capsys):
    from act_gym.cli import main

    url, model = server
    words = [
        "--agent",
        url,
        "--model",
        model,
        "--agent-options",
        "max_new_tokens=8",
        "--env",
        "act/ALFWorld-generated-seen",
    ]
    assert main(["eval", *words, "--limit", "1", "--max-turns", "1", "--out", str(tmp_path / "run")]) == 0
    records = list(read_records(tmp_path / "run" / "records.jsonl"))
    assert [(record["turns"], record["error"]) for record in records] == [(1, "")]
    assert 0 < records[0]["completion_tokens"] <= 8
