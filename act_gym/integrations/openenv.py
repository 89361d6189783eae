"""Our environments behind OpenEnv's server, and a client for them.

    act-gym serve --env act/ALFWorld-train           prints an address with a secret in it

Any client of OpenEnv plays with that address as its `base_url`: TRL's, torchforge's, or `GameClient` below.
The protocol is that of openenv 0.10: a WebSocket is a session, and a session has an environment of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

import gymnasium as gym

from act_gym.benchmarks import parse_id
from act_gym.errors import MissingDependencyError

try:
    from openenv.core import EnvClient
    from openenv.core.client_types import StepResult
    from openenv.core.env_server import Action, ConcurrencyConfig, Environment, Observation, State, create_fastapi_app
    from pydantic import Field
except ImportError as cause:
    raise MissingDependencyError(f"A package that serving environments needs ({cause.name})", "openenv") from cause

__all__ = ["Command", "Game", "GameClient", "GameState", "Shown", "make_app"]

LONGEST_COMMAND = 10_000
"""Characters of a command; whoever sends more is refused."""
_IDLE = 3600.0  # seconds after which a session that says nothing loses its environment

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Command(Action):  # type: ignore[misc]
    """What an agent does."""

    command: str = Field(max_length=LONGEST_COMMAND)


class Shown(Observation):  # type: ignore[misc]
    """What an environment shows; `reward` and `done` stand beside it."""

    text: str
    goal: str
    task_id: str
    task_type: str
    score: float
    success: bool
    action_valid: bool
    truncated: bool = False
    admissible_commands: list[str] = Field(default_factory=list)


class GameState(State):  # type: ignore[misc]
    """Which task a session plays; `step_count` are its actions so far."""

    env_id: str = ""
    task_id: str = ""


class Game(Environment):  # type: ignore[misc]
    """One environment of ours as OpenEnv's.

    Args:
        env_id: For example `act/ALFWorld-train`.
        env_options: Passed to `gym.make`.
        commands: Whether admissible commands are sent along; ScienceWorld lists thousands.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    # Simulators share a process of Java, and none is made for threads: all sessions take turns in one.
    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    def __init__(self, env_id: str, env_options: Mapping[str, Any] | None = None, *, commands: bool = True) -> None:
        super().__init__()
        self._env: gym.Env[str, str] = gym.make(env_id, **(env_options or {}))
        self._commands = commands
        self._state = GameState(env_id=env_id)

    def reset(self, seed: int | None = None, episode_id: str | None = None, task_id: str | None = None) -> Shown:
        """Start a task.

        Args:
            seed: Draws it, and with it the order of those that follow.
            episode_id: What the session calls the episode.
            task_id: Which task; the next of the order if None.

        Raises:
            UnknownNameError: There is no such task in the environment.
        """
        text, info = self._env.reset(seed=seed, options={"task_id": task_id} if task_id else None)
        self._state = GameState(env_id=self._state.env_id, task_id=info["task_id"], episode_id=episode_id)
        return self._shown(text, info)

    def step(self, action: Command, timeout_s: float | None = None) -> Shown:  # noqa: ARG002  (the protocol's)
        """Do one action."""
        text, reward, terminated, truncated, info = self._env.step(action.command)
        self._state.step_count += 1
        return self._shown(text, info, float(reward), done=terminated or truncated, truncated=truncated)

    @property
    def state(self) -> GameState:
        """Which task is played, and how far."""
        return self._state

    def close(self) -> None:
        """Close the simulator."""
        self._env.close()

    def _shown(self, text: str, info: Mapping[str, Any], reward: float = 0.0, **more: bool) -> Shown:
        names = ("goal", "task_id", "task_type", "score", "success", "action_valid")
        commands = list(info["admissible_commands"]) if self._commands else []
        return Shown(
            text=text, reward=reward, admissible_commands=commands, **{name: info[name] for name in names}, **more
        )


class GameClient(EnvClient[Command, Shown, GameState]):  # type: ignore[misc]
    """A session with a served environment; `base_url` is the address that the server printed.

    `GameClient(base_url=…).sync()` is the same without `await`.
    """

    def _step_payload(self, action: Command) -> dict[str, Any]:
        return {"command": action.command}

    def _parse_result(self, payload: Mapping[str, Any]) -> StepResult[Shown]:
        shown = Shown(**payload["observation"], reward=payload.get("reward"), done=payload.get("done", False))
        return StepResult(observation=shown, reward=payload.get("reward"), done=payload.get("done", False))

    def _parse_state(self, payload: Mapping[str, Any]) -> GameState:
        return GameState(**payload)


def make_app(
    env_id: str,
    env_options: Mapping[str, Any] | None = None,
    *,
    token: str,
    sessions: int = 16,
    commands: bool = True,
) -> App:
    """Return the server as an ASGI application.

    Args:
        env_id: For example `act/ALFWorld-train`.
        env_options: Passed to `gym.make`.
        token: The first part of every path that is answered; whoever does not know it gets 404.
        sessions: How many may be open at once.
        commands: Whether admissible commands are sent along.

    Raises:
        UnknownNameError: No environment has that id.
    """
    parse_id(env_id)
    app = create_fastapi_app(
        partial(Game, env_id, dict(env_options or {}), commands=commands),
        Command,
        Shown,
        concurrency_config=ConcurrencyConfig(max_concurrent_envs=sessions, session_timeout=_IDLE),
    )
    return _Gate(app, token)


class _Gate:
    """Answers only below the secret path, to WebSockets and requests alike.

    OpenEnv's clients send no header of ours, and every one of them takes a path in its address.
    """

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given, _, rest = str(scope["path"]).removeprefix("/").partition("/")
        if secrets.compare_digest(given.encode("utf-8", "replace"), self._token):
            path = f"/{rest}"
            await self._app({**scope, "path": path, "raw_path": path.encode(), "root_path": ""}, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
