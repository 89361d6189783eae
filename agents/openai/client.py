"""Client of one OpenAI-compatible URL: sends a conversation and reports failures without the API key.

The client of the package `openai` does the work. It retries temporary refusals (408, 409, 429, 5xx, no connection)
after 0.5 to 8 seconds, or after the `Retry-After` header's time, up to two minutes. This module handles chat messages,
not environments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from act_gym.errors import AgentError, AgentUnavailableError, MissingDependencyError, UsageError

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["Address", "Endpoint", "RemoteReply", "RequestRefusedError"]

OPENAI = "https://api.openai.com/v1"
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_REFUSED = (401, 403, 404)  # errors of the key, its permissions or the model's name: the same for every further request
_MALFORMED = (400, 422)  # what the request holds
_SECRET = 8  # shorter keys, such as EMPTY or none, are no secret and occur in replies
_SHOWN = 300  # characters of a server's message in an error
_LONGEST = 200_000  # characters of a reply that are kept; no action needs more


class RequestRefusedError(AgentError):
    """The server refuses a request's content, e.g. too many tokens or an unknown field."""


@dataclass(frozen=True)
class RemoteReply:
    """Reply of a server.

    Attributes:
        text: The generated text; may be empty.
        reasoning: The reasoning, if the server returns it separately.
        calls: Tool calls, each a name with the text of its arguments.
        prompt_tokens: Prompt tokens, by the server's count.
        cached_tokens: Cached tokens among them, which cost less.
        completion_tokens: Generated tokens, reasoning included.
        cut: Whether the length limit ended the reply.
    """

    text: str
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cut: bool = False


@dataclass(frozen=True)
class Address:
    """URL of a server, and the environment variable of its key.

    Attributes:
        base_url: Up to and including `/v1`; empty for OpenAI's own.
        key_env: The variable's name; empty for OPENAI_API_KEY if it is set, unless it would be sent unencrypted.
    """

    base_url: str = ""
    key_env: str = ""

    @property
    def url(self) -> str:
        """The URL."""
        return self.base_url or OPENAI

    @property
    def is_openai(self) -> bool:
        """Whether the URL is OpenAI's own."""
        return urlsplit(self.url).hostname == urlsplit(OPENAI).hostname

    def check(self) -> None:
        """Validate URL and variable, without repeating a possible secret.

        Raises:
            UsageError: One of them is malformed, or the key is missing.
        """
        try:
            parts = urlsplit(self.url)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname)
            secret = bool(parts.username or parts.password or parts.query)
            _ = parts.port
        except ValueError:
            fits, secret = False, False
        if secret:
            raise UsageError("base_url holds a user, a password or a query; keys come from the environment (key_env).")
        if not fits:
            raise UsageError(f"base_url is an address such as http://127.0.0.1:8000/v1; got {self.base_url!r}.")
        if self.key_env and not _VARIABLE.fullmatch(self.key_env):
            raise UsageError("key_env is the name of an environment variable, e.g. OPENAI_API_KEY, and not the key.")
        if self.key_env and not os.environ.get(self.key_env):
            raise UsageError(f"The environment variable {self.key_env} is not set. Run: export {self.key_env}=…")
        if not self.base_url and not self.key():
            raise UsageError(f"{OPENAI} needs a key. Run: export OPENAI_API_KEY=… (or name a server with base_url).")

    def key(self) -> str:
        """Return the key; empty if there is none for this address.

        Raises:
            UsageError: It contains characters that a header cannot.
        """
        if not self.key_env and not self._private():
            return ""
        key = os.environ.get(self.key_env or "OPENAI_API_KEY", "").strip()
        if not key.isascii() or any(not sign.isprintable() or sign == " " for sign in key):
            raise UsageError(f"The key in {self.key_env or 'OPENAI_API_KEY'} holds spaces or signs that no key has.")
        return key

    def _private(self) -> bool:
        """Return whether the connection is local or encrypted."""
        parts = urlsplit(self.url)
        if parts.scheme == "https" or parts.hostname == "localhost":
            return True
        try:
            return ip_address(parts.hostname or "").is_loopback
        except ValueError:
            return False


class Endpoint:
    """Open connections to a server, for any number of threads.

    Args:
        address: The server.
        timeout: Seconds without data before a try fails.
        retries: The largest number of retries of a request.

    Raises:
        MissingDependencyError: openai is not installed.
    """

    def __init__(self, address: Address, *, timeout: float, retries: int) -> None:
        try:
            from openai import OpenAI
        except ImportError as cause:
            raise MissingDependencyError("openai", "openai") from cause
        self._address = address
        self._key = address.key()
        self._client: OpenAI = OpenAI(
            api_key=self._key or "none",
            base_url=address.url,
            timeout=timeout,
            max_retries=retries,
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def late(self) -> AgentError:
        """Return the error of a request without an answer in time."""
        return AgentError(f"{self._address.url} did not answer in time; see the settings timeout and deadline.")

    def ask(self, request: Mapping[str, Any]) -> RemoteReply:
        """Send one request.

        Args:
            request: Arguments of `chat.completions.create`.

        Raises:
            AgentError: This request failed; another one may succeed. A `RequestRefusedError` if the server refused its
                content.
            AgentUnavailableError: Every further request would fail too.
        """
        import openai

        url = self._address.url
        try:
            answer: Any = self._client.chat.completions.create(**request)
        except openai.APITimeoutError:
            raise self.late() from None
        except openai.APIConnectionError as error:
            reason = self._clean(str(error.__cause__ or error))
            if type(error.__cause__).__name__ == "ConnectError":
                raise AgentUnavailableError(
                    f"Cannot reach {url}: {reason}. Start the server, or correct base_url; then continue with --resume."
                ) from None
            raise AgentError(f"The connection to {url} broke: {reason}") from None
        except openai.APIStatusError as error:
            said = f"{url} answered {error.status_code}: {self._clean(str(error.message))}"
            if error.status_code in _REFUSED:
                raise AgentUnavailableError(f"{said}. Check model, base_url and key_env; then --resume.") from None
            raise (RequestRefusedError if error.status_code in _MALFORMED else AgentError)(said) from None
        except (openai.OpenAIError, ValueError, TypeError) as error:
            raise AgentError(f"{url} did not answer with a chat completion: {self._clean(str(error))}") from None
        return self._read(answer)

    def _read(self, answer: Any) -> RemoteReply:
        """Parse an answer without trusting that its parts exist or have the right type."""
        choices = getattr(answer, "choices", None)
        first = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(first, "message", None)
        if message is None:
            said = answer if isinstance(answer, str) else repr(answer)
            raise AgentError(f"{self._address.url} did not answer with a chat completion: {self._clean(said)}")
        usage = getattr(answer, "usage", None)
        details = getattr(usage, "prompt_tokens_details", None)
        reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
        return RemoteReply(
            text=self._hide(_text(getattr(message, "content", None))),
            reasoning=self._hide(_text(reasoning)),
            calls=tuple(self._calls(getattr(message, "tool_calls", None))),
            prompt_tokens=_count(usage, "prompt_tokens"),
            cached_tokens=_count(details, "cached_tokens"),
            completion_tokens=_count(usage, "completion_tokens"),
            cut=getattr(first, "finish_reason", None) == "length",
        )

    def _calls(self, calls: Any) -> Sequence[tuple[str, str]]:
        functions = [getattr(call, "function", None) for call in calls] if isinstance(calls, list) else []
        names = [(_text(getattr(one, "name", "")), _text(getattr(one, "arguments", ""))) for one in functions]
        return [(self._hide(name), self._hide(arguments)) for name, arguments in names]

    def _clean(self, text: str) -> str:
        """Return a server's message for an error: one short line without the key."""
        line = " ".join(self._hide(text).split())
        return line if len(line) <= _SHOWN else line[:_SHOWN] + " …"

    def _hide(self, text: str) -> str:
        """Return a text without the key, which a server may repeat in its message."""
        return text.replace(self._key, "[key]") if len(self._key) >= _SECRET else text


def _text(value: Any) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""


def _count(holder: Any, name: str) -> int:
    value = getattr(holder, name, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
