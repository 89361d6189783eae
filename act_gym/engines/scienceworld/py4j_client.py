"""Minimal py4j client: one connection, one call at a time, no retry.

py4j's own client is made for interactive sessions: it resends a command without an answer, opens several connections,
and waits 40 ms for the end of a long answer. Here a resent step would corrupt the episode.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from typing import Any

__all__ = ["connect"]


def connect(process: subprocess.Popen[bytes], seconds: float) -> Any:
    """Return py4j's gateway to a server that has just been started.

    Its `_gateway_client` has two methods of its own: `allow(seconds)` limits how long each of the
    answers that follow may take, and `hang_up()` closes this end.

    Args:
        process: Prints its port and its secret, a line each, to a pipe.
        seconds: How long that may take.

    Raises:
        TimeoutError: It did not print them in time.
        ConnectionError: It printed something else or ended.
    """
    from py4j.java_gateway import GatewayParameters, JavaGateway

    port, _, secret = _first_lines(process, seconds).partition(b"\n")
    if not port.strip().isdigit() or not secret.strip():
        said = b" ".join((port, *secret.split()))[:500].decode("utf-8", "replace")
        raise ConnectionError(f"it printed {said!r} where its port was expected.")
    parameters = GatewayParameters(
        port=int(port),
        auth_token=secret.strip().decode("ascii"),
        read_timeout=seconds,
        # Off: finalizers would send from any thread at any time, in forked children too.
        enable_memory_management=False,
    )
    gateway = JavaGateway(gateway_parameters=parameters)
    gateway.set_gateway_client(_client(parameters))
    return gateway


def _first_lines(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Read two lines, or all there is if the process ends before."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    waiting = select.poll()  # select.select takes no descriptor above 1023
    waiting.register(pipe, select.POLLIN)
    until = time.monotonic() + seconds
    said = b""
    while said.count(b"\n") < 2:
        left = until - time.monotonic()
        if left <= 0 or not waiting.poll(1000 * left):
            raise TimeoutError(f"it printed no port in {seconds:g} s.")
        chunk = os.read(pipe, 4096)
        if not chunk:
            break
        said += chunk
    return said


class _Answers:
    """Reads answers, one line each, and acknowledges at once.

    A long answer arrives in pieces, and the sender holds back the last one until the others are acknowledged, which
    Linux delays by 40 ms. The socket option expires, so it is set after every read.

    It is not an `io` object, because those have a lock that a child forked during a call would wait for forever.
    """

    _OPTION = getattr(socket, "TCP_QUICKACK", None)

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def readline(self) -> bytes:
        """Return the answer to the one question that is open; less than a line if the sender has gone."""
        pieces = []
        while True:
            pieces.append(self._connection.recv(65_536))
            if self._OPTION is not None:
                self._connection.setsockopt(socket.IPPROTO_TCP, self._OPTION, 1)
            if pieces[-1][-1:] in (b"\n", b""):  # nothing follows a line's end before the next call
                return b"".join(pieces)


def _client(parameters: Any) -> Any:
    """Return py4j's client with three differences.

    It acknowledges at once, it never sends a command again nor uses a connection that failed (an
    answer may still come), and it leaves the root logger alone.
    """
    from py4j.java_gateway import GatewayClient, GatewayConnection
    from py4j.protocol import Py4JNetworkError

    class Client(GatewayClient):  # type: ignore[misc]
        connection: Any = None
        lost = False

        def send_command(self, command: str, retry: bool = True, binary: bool = False) -> Any:  # noqa: ARG002
            if self.lost:
                raise Py4JNetworkError("The connection has failed before.")
            self.lost = True  # until the answer is here
            if self.connection is None:
                self.connection = GatewayConnection(self.gateway_parameters, self.gateway_property)
                self.connection.start()
                self.connection.stream.close()
                self.connection.stream = _Answers(self.connection.socket)
            answer = self.connection.send_command(command)
            self.lost = False
            return answer

        def allow(self, seconds: float) -> None:
            """Limit how long each answer may take from now on."""
            if self.connection is not None and self.connection.socket.gettimeout() != seconds:
                self.connection.socket.settimeout(seconds)

        def hang_up(self) -> None:
            """Close our end only; shutting the connection down would end it for a parent too."""
            if self.connection is not None:
                self.connection.wr = None
                self.connection.socket.close()
                self.connection = None

    return Client(gateway_parameters=parameters)
