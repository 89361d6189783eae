"""`act-gym serve`: serves an environment to OpenEnv clients on this machine.

    act-gym serve --env act/ALFWorld-train

prints the URL for clients. The URL contains a secret; requests without it are refused.
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
    """Serve an environment to OpenEnv clients on this machine."""

    env: str = "act/ALFWorld-generated-train"
    """Environment id; see `act-gym list`."""
    env_options: tuple[str, ...] = ()
    """Environment options as name=value, e.g. `max_episode_steps=30`."""
    port: int = 0
    """Port; 0 for any free one."""
    sessions: int = 16
    """Maximum number of open sessions, each with its own environment."""
    commands: bool = True
    """Send the admissible commands too."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until it is interrupted; return its exit status."""
    arguments = parse(ServeConfig, sys.argv[1:] if argv is None else argv, program="act-gym serve")
    if arguments.sessions < 1:
        raise UsageError(f"--sessions is at least 1; got {arguments.sessions}.")
    from act_gym.integrations.openenv_server import make_app

    token = secrets.token_urlsafe(24)
    options = read_settings(arguments.env_options, "--env-options")
    app = make_app(arguments.env, options, token=token, sessions=arguments.sessions, commands=arguments.commands)
    import uvicorn

    try:
        listening = socket.create_server(("127.0.0.1", arguments.port))
    except (OSError, OverflowError) as cause:
        raise UsageError(f"Cannot use port {arguments.port} of 127.0.0.1: {cause}. Choose another --port.") from cause
    with listening:
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/{token}\n")
        sys.stdout.flush()
        # No access log: the secret is in every path.
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        server.run(sockets=[listening])
    return 0
