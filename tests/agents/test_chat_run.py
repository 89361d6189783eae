"""Whole evaluations with a chat agent: the key stays out of everything, and a dead server stops nothing for good."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from act_gym.cli import main
from act_gym.io.jsonl import read_records

pytest.importorskip("openai")

KEY = "sk-secret-0123456789abcdef"
ROOT = Path(__file__).resolve().parents[2]


def words_of(server, out, *words):
    return [
        *("--agent", "chat", "--model", "m", "--base-url", server.url, "--env", "act/ALFWorld-generated-seen"),
        *("--max-turns", "2", "--out", str(out), *words),
    ]


def run_eval(server, out, *words):
    """In a process of its own, with everything logged that the client can log."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.evaluate", *words_of(server, out, *words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_LOG": "debug"},
    )


def answer_by_content(handler, body):
    """The same question always gets the same answer."""
    handler.complete(f"<action>go to drawer {len(body['messages'][0]['content']) % 9 + 1}</action>")


def without_times(path):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in read_records(path)]


def test_a_key_reaches_no_file_no_log_and_no_error(faulty_server, tmp_path):
    def tell(handler, body):
        sent = handler.headers["authorization"]
        if len(faulty_server.requests) % 3 == 0:
            handler.say(500, json.dumps({"error": {"message": f"bad key {sent}"}}).encode())
        else:
            call = {"id": "1", "type": "function", "function": {"name": sent, "arguments": sent}}
            handler.complete(f"<action>{sent}</action>", reasoning_content=sent, tool_calls=[call])

    faulty_server.answer = tell
    done = run_eval(faulty_server, tmp_path / "run", "--limit", "4", "--agent-options", "retries=0")
    assert done.returncode == 3, done.stderr
    sent = [{name.lower(): value for name, value in headers.items()} for headers in faulty_server.headers]
    assert {headers["authorization"] for headers in sent} == {f"Bearer {KEY}"}
    written = {path: path.read_text() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert len(written) >= 4
    assert "Bearer [key]" in written[tmp_path / "run" / "episodes.jsonl"]
    for text in (*written.values(), done.stdout, done.stderr):
        assert KEY not in text

    faulty_server.answer = lambda handler, body: handler.say(401, handler.headers["authorization"].encode())
    refused = run_eval(faulty_server, tmp_path / "refused", "--limit", "1")
    assert refused.returncode == 1
    assert "Bearer [key]" in refused.stderr
    assert KEY not in refused.stdout + refused.stderr


def test_a_server_that_dies_stops_the_run_which_continues_to_the_same_records(faulty_server, tmp_path, capsys):
    faulty_server.answer = answer_by_content
    assert main(["eval", *words_of(faulty_server, tmp_path / "whole", "--limit", "6")]) == 0

    def die(handler, body):
        answer_by_content(handler, body) if len(faulty_server.requests) <= 12 + 7 else handler.say(503, b"{}")

    faulty_server.answer = die
    words = words_of(
        faulty_server,
        tmp_path / "broken",
        "--limit",
        "6",
        "--agent-options",
        "retries=0",
        "patience=1",
        "--batch-size",
        "1",
    )
    capsys.readouterr()
    assert main(["eval", *words]) == 1
    assert "continue with --resume" in capsys.readouterr().err
    assert len(list(read_records(tmp_path / "broken" / "episodes.jsonl"))) == 7 // 2

    faulty_server.answer = answer_by_content
    assert main(["eval", *words, "--resume"]) == 0
    same = without_times(tmp_path / "whole" / "records.jsonl")
    assert sorted(without_times(tmp_path / "broken" / "records.jsonl"), key=str) == sorted(same, key=str)
    assert {record["prompt_tokens"] for record in same} == {200}


def test_episodes_that_a_server_failed_are_played_again_to_the_same_records(faulty_server, tmp_path):
    faulty_server.answer = answer_by_content
    settings = ("--limit", "6", "--batch-size", "1", "--agent-options", "retries=0")
    assert main(["eval", *words_of(faulty_server, tmp_path / "whole", *settings)]) == 0
    started = len(faulty_server.requests)

    def fail_for_a_while(handler, body):
        broken = started + 4 <= len(faulty_server.requests) <= started + 6
        handler.say(500, b"{}") if broken else answer_by_content(handler, body)

    faulty_server.answer = fail_for_a_while
    words = words_of(faulty_server, tmp_path / "run", *settings)
    assert main(["eval", *words]) == 3
    failed = [record for record in read_records(tmp_path / "run" / "records.jsonl") if record["error"]]
    assert [record["stop"] for record in failed] == ["agent_error"] * 3

    faulty_server.answer = answer_by_content
    asked = len(faulty_server.requests)
    assert main(["eval", *words, "--resume"]) == 0
    assert len(faulty_server.requests) - asked == 3 * 2  # two turns of each episode that failed, and nothing else
    assert without_times(tmp_path / "run" / "records.jsonl") == without_times(tmp_path / "whole" / "records.jsonl")
    assert len(list(read_records(tmp_path / "run" / "episodes.jsonl"))) == 6 + 3


def test_an_address_is_an_agent(faulty_server, tmp_path):
    faulty_server.answer = answer_by_content
    words = words_of(faulty_server, tmp_path / "run", "--limit", "1")
    words[words.index("chat")] = faulty_server.url
    assert main(["eval", *words]) == 0
    (record,) = read_records(tmp_path / "run" / "records.jsonl")
    assert (record["agent"], record["turns"]) == ("m:chat", 2)


@pytest.mark.parametrize(
    ("base_url", "key_env", "sent"),
    [
        ("https://models.example/v1", "", True),
        ("http://127.0.0.1:8000/v1", "", True),
        ("http://localhost:8000/v1", "", True),
        ("http://[::1]:8000/v1", "", True),
        ("http://models.example/v1", "", False),
        ("http://127.0.0.1.models.example/v1", "", False),
        ("http://models.example/v1", "OPENAI_API_KEY", True),
    ],
)
def test_a_key_travels_unencrypted_only_where_it_was_named(monkeypatch, base_url, key_env, sent):
    from agents.openai.client import Address

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    address = Address(base_url, key_env)
    assert address.key() == (KEY if sent else "")
    assert KEY not in repr(address)


def test_a_key_that_no_header_takes_is_refused_without_being_shown(monkeypatch):
    from act_gym.errors import UsageError
    from agents.openai.client import Address

    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nx")
    with pytest.raises(UsageError, match="OPENAI_API_KEY holds") as caught:
        Address().check()
    assert KEY not in str(caught.value)
