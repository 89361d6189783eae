"""Who may come in: whoever has the secret of the printed address, from pages of this shop alone.

The shop listens on this machine only, and yet any page in a browser, and any other user of the machine, can send it
requests. So the secret is asked for, and kept in a cookie after the first visit; the name under which the shop was
called has to be its own, or a foreign name that was made to point here could read it (DNS rebinding); and what does
something has to come from the shop's own pages.
"""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie

__all__ = ["Guard"]


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
        """Return whether somebody knows the secret; it takes as long for any wrong one."""
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
            origin: Its `Origin`; browsers say it with every POST.
            fetch_site: Its `Sec-Fetch-Site`; new browsers say it with everything.
        """
        own = {f"http://{host}" for host in self._hosts}
        return (origin is None or origin in own) and fetch_site in (None, "same-origin", "none")
