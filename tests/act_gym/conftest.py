"""A small honest game and a small honest web server, so that much can be tested without the real ones."""

import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType

import gymnasium as gym
import pytest

from act_gym.benchmarks import BENCHMARKS, Benchmark, register_envs
from act_gym.errors import EngineError
from act_gym.types import StepResult, Task

TASKS = tuple(
    Task(
        id=f"counting/{kind}/{target}",
        benchmark="Counting",
        split="even" if target % 2 == 0 else "odd",
        task_type=kind,
        payload={"target": target},
    )
    for kind, targets in (("short", range(1, 5)), ("long", range(5, 9)))
    for target in targets
)


def tasks(split: str | None) -> tuple[Task, ...]:
    return tuple(task for task in TASKS if split in (None, task.split))


class CountingEngine:
    """Count to the target with `add`, then `say` it. `crash` fails, everything else does nothing."""

    running = 0

    def __init__(self, *, broken: str = "") -> None:
        self.versions = {"counting": "1"}
        self.goal = ""
        self._broken = broken
        self._count = self._target = 0
        self._closed = False
        type(self).running += 1

    def reset(self, task: Task) -> StepResult:
        if task.id == self._broken:
            raise EngineError(f"{task.id} does not load.")
        self._count, self._target = 0, task.payload["target"]
        self.goal = f"count to {self._target}"
        return self._state("You have 0.")

    def step(self, command: str) -> StepResult:
        if command == "crash":
            raise EngineError("The counter broke.")
        if command == "add":
            self._count += 1
            return self._state(f"You have {self._count}.")
        if command == "say":
            return self._state("Said.", said=True)
        return replace(self._state("Nothing happens."), action_valid=False)

    def admissible_commands(self) -> tuple[str, ...]:
        return ("add", "say")

    def expert_commands(self) -> tuple[str, ...]:
        return ("add",) * self._target + ("say",)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            type(self).running -= 1

    def _state(self, text: str, *, said: bool = False) -> StepResult:
        success = said and self._count == self._target
        score = 1.0 if success else min(self._count, self._target) / (self._target + 1)
        return StepResult(observation=text, score=score, raw_score=self._count, success=success, terminated=said)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[CountingEngine]]:
    """Registers `act/Counting`, `-even` and `-odd`, eight tasks, for one test; gives the engine's class."""
    module = ModuleType("counting_game")
    module.__dict__.update(tasks=tasks, CountingEngine=CountingEngine)
    monkeypatch.setitem(sys.modules, "counting_game", module)
    entry = Benchmark(
        name="Counting",
        splits=("even", "odd"),
        max_turns=20,
        task_source="counting_game:tasks",
        engines={"plain": "counting_game:CountingEngine"},
    )
    monkeypatch.setattr("act_gym.benchmarks.BENCHMARKS", {**BENCHMARKS, "Counting": entry})
    monkeypatch.setattr(CountingEngine, "running", 0)
    register_envs()
    yield CountingEngine
    for env_id in [name for name in gym.registry if name.startswith("act/Counting")]:
        del gym.registry[env_id]


class Server(ThreadingHTTPServer):
    """A small honest file server on loopback whose failures can be chosen.

    Attributes:
        files: Path (with the leading slash) and content.
        asked: The `Range` header of every request, in order.
        ranges: Whether it understands `Range`.
        breaks: Connections are cut after that many bytes; one entry is used up by each request.
        statuses: Error statuses to answer first, one for each request.
        validator: The ETag it sends; none if empty.
        stalls: It sends that many bytes and then nothing until the client goes; None to send all.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str | None] = []
        self.ranges = True
        self.breaks: list[int] = []
        self.statuses: list[int] = []
        self.validator = '"one"'
        self.stalls: int | None = None

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        if self.path not in server.files:
            self.send_error(404)
            return
        content = server.files[self.path]
        start = 0
        if asked and server.ranges and self.headers.get("If-Range", server.validator) == server.validator:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.validator:
            self.send_header("ETag", server.validator)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if server.stalls is not None:
            self.wfile.write(content[start : start + server.stalls])
            self.wfile.flush()
            self.connection.recv(1)  # returns when the client has gone
            return
        end = start + server.breaks.pop(0) if server.breaks else len(content)
        self.wfile.write(content[start:end])
        if end < len(content):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (http.server's name)
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    """A running file server on loopback."""
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()
