"""OpenEnv integration: a server for environments, and a client.

    act-gym serve --env act/ALFWorld-train           prints a URL with a secret in it

Any OpenEnv client plays with that URL as its `base_url`: TRL's, torchforge's, or `GameClient` below. The protocol is
that of openenv 0.10: a WebSocket is a session, and each session has its own environment.
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
"""Longest command in characters; longer ones are refused."""
_IDLE = 3600.0  # seconds of silence after which a session loses its environment

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Command(Action):  # type: ignore[misc]
    """Action of an agent."""

    command: str = Field(max_length=LONGEST_COMMAND)


class Shown(Observation):  # type: ignore[misc]
    """Observation, with `reward` and `done`."""

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
    """State of a session: its task; `step_count` is the number of actions so far."""

    env_id: str = ""
    task_id: str = ""


class Game(Environment):  # type: ignore[misc]
    """OpenEnv environment around an act-gym environment.

    Args:
        env_id: For example `act/ALFWorld-train`.
        env_options: Passed to `gym.make`.
        commands: Whether to send admissible commands too; ScienceWorld lists thousands.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    # Simulators share one Java process and are not thread-safe: all sessions use one thread in turn.
    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    def __init__(self, env_id: str, env_options: Mapping[str, Any] | None = None, *, commands: bool = True) -> None:
        super().__init__()
        self._env: gym.Env[str, str] = gym.make(env_id, **(env_options or {}))
        self._commands = commands
        self._state = GameState(env_id=env_id)

    def reset(self, seed: int | None = None, episode_id: str | None = None, task_id: str | None = None) -> Shown:
        """Start a task.

        Args:
            seed: Seed of the order of tasks.
            episode_id: The session's name for the episode.
            task_id: The task; None for the next one in order.

        Raises:
            UnknownNameError: The environment has no such task.
        """
        text, info = self._env.reset(seed=seed, options={"task_id": task_id} if task_id else None)
        self._state = GameState(env_id=self._state.env_id, task_id=info["task_id"], episode_id=episode_id)
        return self._shown(text, info)

    def step(self, action: Command, timeout_s: float | None = None) -> Shown:  # noqa: ARG002  (the protocol's)
        """Execute one action."""
        text, reward, terminated, truncated, info = self._env.step(action.command)
        self._state.step_count += 1
        return self._shown(text, info, float(reward), done=terminated or truncated, truncated=truncated)

    @property
    def state(self) -> GameState:
        """The current task and step count."""
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
    """Session with a served environment; `base_url` is the URL printed by the server.

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
        token: Secret first part of every valid path; other requests get 404.
        sessions: Maximum number of open sessions.
        commands: Whether to send admissible commands too.

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
    """Middleware that accepts only paths below the secret one, for WebSockets and requests.

    OpenEnv's clients send no custom header, but all accept a path in their URL.
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
