"""Our taskset in verifiers' own evaluation, against a server that plays as the expert does."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("verifiers.v1")

from act_gym import play, tasks
from act_gym.integrations.verifiers_taskset import read_action

ENV = "act/ALFWorld-generated-train"
ADAPTERS = Path(__file__).resolve().parents[3] / "act_gym" / "integrations"


@pytest.fixture(scope="module")
def episodes():
    from agents.baselines import ExpertAgent

    return list(play(ENV, ExpertAgent(), tasks(ENV)[:2]))


@pytest.fixture(scope="module")
def server(episodes):
    """Answers a conversation of the first task with the expert's next command, all others with no action."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(body)
            spoken = sum(message["role"] == "assistant" for message in body["messages"])
            content = "I would rather not."
            first = episodes[0]
            if first.turns[0].observation in body["messages"][0]["content"]:
                content = f"<think>hm</think><action>{first.turns[spoken].action}</action>"
            message = {"role": "assistant", "content": content}
            reply = {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
            }
            data = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/v1", asked
        running.shutdown()


@pytest.mark.slow
def test_verifiers_own_program_evaluates_our_tasks(server, episodes, tmp_path):
    url, asked = server
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("vf-eval")), "act-gym-games", "-m", "m"),
            *("--env.taskset.env-id", ENV, "--env.taskset.env-options", '{"max_episode_steps": 30}'),
            *("--select.limit", "2", "--client.base-url", url, "--client.api-key-var", "SOME_KEY"),
            *("--output-dir", str(tmp_path), "--push", "false", "--run.dir", "run"),
        ],
        env={**os.environ, "PYTHONPATH": str(ADAPTERS), "SOME_KEY": "k"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.rglob("traces.jsonl")
    traces = {}
    for line in path.read_text().splitlines():
        found = json.loads(line)
        traces[found["task"]["key"]] = found
    assert set(traces) == {episode.task.id for episode in episodes}
    solved, refused = (traces[episode.task.id] for episode in episodes)
    (trace,) = solved["traces"]
    assert (solved["ok"], trace["rewards"]["score"]["score"]) == (True, 1.0)
    assert trace["metrics"]["success"] == 1
    assert trace["metrics"]["turns"] == len(episodes[0].turns)
    assert trace["metrics"]["invalid_actions"] == 0
    shown = [node["message"]["content"] for node in trace["nodes"] if node["message"]["role"] == "user"]
    for turn, text in zip(episodes[0].turns, shown, strict=True):
        assert f"Observation:\n{turn.observation}\n\nWhat is your next action?" in text

    (trace,) = refused["traces"]
    assert (refused["ok"], trace["rewards"]["score"]["score"]) == (True, 0.0)
    assert (trace["metrics"]["turns"], trace["metrics"]["invalid_actions"]) == (30, 30)
    assert len(asked) == len(episodes[0].turns) + 30


ACTIONS = st.text(st.characters(exclude_characters="<>", exclude_categories=("Z", "C")), min_size=1)
PIECES = st.sampled_from(["<think>", "</think>", "<action>", "</action>", "\n", "look"])


@given(ACTIONS, ACTIONS)
def test_one_action_outside_the_reasoning_is_read(action, other):
    assert read_action(f"<think>or <action>{other}</action></think> so: <action> {action}\n</action>.") == action
    assert read_action(f"or <action>{other}</action></think><action>{action}</action>") == action
    assert read_action(f"<action>{action}</action><action>{other}</action>") == ""
    assert read_action(f"<think><action>{action}</action>") == ""


@given(st.lists(st.one_of(PIECES, st.text())).map("".join))
def test_our_two_parsers_agree_on_any_text(text):
    from agents.prompts import read_reply

    assert read_action(text) == (read_reply(text).action or "")
