"""HTTP server on 127.0.0.1 with a secret in its URL.

Only requests with the secret, from pages of this site, are answered. One thread and one connection for each request: a
browser's open connection would keep the thread.
"""

from __future__ import annotations

import re
import secrets
import socket
import sys
import traceback
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from act_gym.errors import UsageError
from act_gym.webshop_site.routes import Request, Response, Site, error_page
from act_gym.webshop_site.sessions import Customers

__all__ = ["Guard", "ShopServer"]


class Guard:
    """Checks requests.

    Args:
        port: Of this shop.
        token: The secret; drawn if empty.
    """

    def __init__(self, port: int, token: str = "") -> None:
        self.port = port
        self.token = token or secrets.token_urlsafe(24)
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        if port == 80:
            self._hosts |= {"127.0.0.1", "localhost"}
        # Cookies know no ports, so two shops on one machine need two names.
        self._cookie = f"act_gym_shop_{port}"

    def is_own_host(self, host: str | None) -> bool:
        """Return whether a request's `Host` is this shop."""
        return host is not None and host.lower() in self._hosts

    def is_token(self, given: str) -> bool:
        """Return whether a secret is right, in constant time."""
        return secrets.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def has_cookie(self, header: str | None) -> bool:
        """Return whether a request's `Cookie` holds the secret."""
        try:
            cookie = SimpleCookie(header or "").get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and self.is_token(cookie.value)

    def set_cookie(self) -> str:
        """Return the value of `Set-Cookie`. `Lax`, because a link in a terminal that is a web page leads here, too."""
        return f"{self._cookie}={self.token}; HttpOnly; SameSite=Lax; Path=/"

    def is_from_here(self, origin: str | None, fetch_site: str | None) -> bool:
        """Return whether a request was sent by a page of this shop, or by no page at all.

        Args:
            origin: Its `Origin` header; browsers send it with every POST.
            fetch_site: Its `Sec-Fetch-Site` header; new browsers always send it.
        """
        own = {f"http://{host}" for host in self._hosts}
        return (origin is None or origin in own) and fetch_site in (None, "same-origin", "none")


_LONGEST_BODY = 16_384  # bytes of a form; a search of 1,000 letters has at most 12,000
_DRAINED = 1 << 20  # bytes of a refused request that are read
_FORM = "application/x-www-form-urlencoded"
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # so that going back in the browser asks where the visit is
}


class ShopServer(ThreadingHTTPServer):
    """Serves one shop to this machine.

    Args:
        customers: The visitors; owned by the caller.
        port: The port; 0 for any free one.

    Raises:
        UsageError: The port is not available.
    """

    daemon_threads = True

    def __init__(self, customers: Customers, port: int = 0) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as cause:
            reason = cause.strerror if isinstance(cause, OSError) else str(cause)
            raise UsageError(
                f"Cannot use port {port} of 127.0.0.1: {reason}. Choose another --port, or leave it out."
            ) from cause
        self.guard = Guard(self.server_address[1])
        self.site = Site(customers)

    def address(self, path: str = "/") -> str:
        """Return an address of the shop with its secret, for the first visit."""
        return f"http://127.0.0.1:{self.guard.port}{path}?token={self.guard.token}"

    def server_bind(self) -> None:
        """Take the port, without looking for this machine's name, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, *_: object) -> None:
        """Print an error, unless only the visitor's connection failed."""
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()


class _Handler(BaseHTTPRequestHandler):
    server: ShopServer
    timeout = 30  # seconds that a visitor may take to send a request
    server_version, sys_version = "act-gym", ""
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = "text/plain; charset=utf-8"

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Log no single requests, because their URLs may contain the secret."""

    def _serve(self, method: str) -> None:
        try:
            response = self._answer(method)
        except OSError:
            return  # the visitor has gone
        except Exception:
            traceback.print_exc()
            response = error_page(500)
        self._send(response)

    def _answer(self, method: str) -> Response:
        guard, headers = self.server.guard, self.headers
        try:
            path, query = _parsed(self.path)
        except ValueError:
            return self._refusal(400)
        if not guard.is_own_host(headers["Host"]):
            return self._refusal(403, "This shop has another address.")
        if method == "GET" and "token" in query:
            if not guard.is_token(query["token"]):
                return self._refusal(403)
            return Response(303, location="/" + "/".join(quote(part, safe="") for part in path), cookie=True)
        if not guard.has_cookie(headers["Cookie"]):
            return self._refusal(403)
        form = self._form() if method == "POST" else []
        if isinstance(form, Response):
            return form
        from_here = guard.is_from_here(headers["Origin"], headers["Sec-Fetch-Site"])
        return self.server.site.answer(Request(method, path, query, form, from_here))

    def _form(self) -> list[tuple[str, str]] | Response:
        """Return the fields that were sent, or why they are not looked at."""
        length = self._length()
        if length is None:
            return error_page(411)
        if length > _LONGEST_BODY:
            return self._refusal(413)
        body = self.rfile.read(length)
        kind = (self.headers["Content-Type"] or "").partition(";")[0].strip().lower()
        if body and kind != _FORM:
            return error_page(415)
        try:
            text = body.decode("utf-8", "replace")
            return parse_qsl(
                text, keep_blank_values=True, strict_parsing=bool(text), errors="replace", max_num_fields=8
            )
        except ValueError:
            return error_page(400)

    def _length(self) -> int | None:
        given = self.headers["Content-Length"] or ""
        return int(given) if re.fullmatch(r"[0-9]{1,15}", given) else None

    def _refusal(self, status: int, text: str = "") -> Response:
        """Return why a request is refused, when as much of it has been read as lets the visitor see the answer."""
        left = min(self._length() or 0, _DRAINED)
        while left > 0 and (read := len(self.rfile.read(min(left, 65_536)))):
            left -= read
        return error_page(status, text)

    def _send(self, response: Response) -> None:
        body = response.body if isinstance(response.body, bytes) else response.body.encode("utf-8", "replace")
        self.send_response(response.status)
        self.send_header("Content-Type", response.type)
        self.send_header("Content-Length", str(len(body)))
        if response.location:
            self.send_header("Location", response.location)
        if response.cookie:
            self.send_header("Set-Cookie", self.server.guard.set_cookie())
        self.end_headers()
        self.wfile.write(body)


def _parsed(address: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return an address's path in parts and its query.

    Raises:
        ValueError: It is no address.
    """
    found = urlsplit(f"//shop{address}" if address.startswith("/") else address)
    query = dict(parse_qsl(found.query, keep_blank_values=True, errors="replace"))
    return tuple(unquote(part, errors="replace") for part in found.path.split("/") if part), query
