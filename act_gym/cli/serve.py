"""Serves an environment to clients of OpenEnv on this machine.

    act-gym serve --env act/ALFWorld-train

prints the address to give to clients. Whoever knows it may play; nobody else gets an answer.
"""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from act_gym.config import parse, read_settings
from act_gym.errors import UsageError

__all__ = ["ServeConfig", "main"]


@dataclass(frozen=True)
class ServeConfig:
    """Serve an environment to clients of OpenEnv on this machine."""

    env: str = "act/ALFWorld-generated-train"
    """Which one; `act-gym list` shows them all."""
    env_options: tuple[str, ...] = ()
    """Its own settings as name=value, e.g. `max_episode_steps=30`."""
    port: int = 0
    """Where; 0 for any that is free."""
    sessions: int = 16
    """Sessions that may be open at once, each with an environment of its own."""
    commands: bool = True
    """Whether admissible commands are sent along."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until it is interrupted; returns its exit status."""
    arguments = parse(ServeConfig, sys.argv[1:] if argv is None else argv, program="act-gym serve")
    if arguments.sessions < 1:
        raise UsageError(f"--sessions is at least 1; got {arguments.sessions}.")
    from act_gym.integrations.openenv import make_app

    token = secrets.token_urlsafe(24)
    options = read_settings(arguments.env_options, "--env-options")
    app = make_app(arguments.env, options, token=token, sessions=arguments.sessions, commands=arguments.commands)
    import uvicorn

    try:
        listening = socket.create_server(("127.0.0.1", arguments.port))
    except (OSError, OverflowError) as cause:
        raise UsageError(
            f"Port {arguments.port} of 127.0.0.1 cannot be had: {cause}. Choose another --port."
        ) from cause
    with listening:
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/{token}\n")
        sys.stdout.flush()
        # No access log: the secret is in every path.
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        server.run(sockets=[listening])
    return 0
