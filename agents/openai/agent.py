"""Agent on an OpenAI-compatible server, such as OpenAI, vLLM, llama.cpp or `transformers serve`.

Every running episode has at most one open request, in a thread of its own, and an answered episode continues at once. A
bad reply is data, a failed request ends its episode, and a server that fails every request stops the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import PurePath
from threading import Lock
from typing import Any

from act_gym.agent import AgentAction, AgentInput, Stream, ThreadStream, answer_all
from act_gym.errors import AgentError, AgentUnavailableError, UnknownNameError, UsageError
from agents.openai.client import Address, Endpoint, RemoteReply, RequestRefusedError
from agents.prompt_config import Question, view_seed
from agents.prompt_replay import with_hash
from agents.prompt_sets import DEFAULT
from agents.reply_formats import until, write_tool_call

__all__ = ["SERVERS", "ChatAgent", "ChatSettings"]

SERVERS = ("auto", "vllm", "transformers", "openai")
"""Kinds of servers, by the fields they accept in addition to OpenAI's: see `ChatSettings.server`."""

# Neutral sampling settings. If a field is missing, a server uses the model's generation config or its own default, and
# the same weights would play differently than with the local agent.
_NEUTRAL = {"top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
_NEUTRAL_VLLM = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
_NEUTRAL_TRANSFORMERS = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}

_OWN_FIELDS = (*_NEUTRAL_VLLM, "generation_config", "chat_template_kwargs")
_TRANSFORMERS_REFUSAL = (
    "Unexpected fields in the request"  # of `transformers serve`, for a field that it does not support
)

# Settings of the transport, which do not change a reply.
_CARRIED = {"model", "base_url", "key_env", "timeout", "deadline", "retries", "patience"}
_CARRIED |= {"input_price", "cached_price", "output_price"}


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    """Settings of a model behind a URL; those that change its behaviour are part of the agent's name."""

    model: str = ""
    """Model name on the server."""
    base_url: str = ""
    """URL of the server up to `/v1`; empty for OpenAI."""
    key_env: str = ""
    """Environment variable with the API key. Empty: OPENAI_API_KEY, if it is set and the URL is local or encrypted."""
    format: str = "tags"
    """`tags`, `react` or `tools`; see `agents.reply_formats`."""
    thinking: bool = False
    """Ask the model to reason before its action."""
    window: int = 3
    """Recent turns in the prompt."""
    list_commands: int = 0
    """Largest number of admissible commands in the prompt; 0 lists none."""
    max_characters: int = 1200
    """Longest observation in the prompt, in characters."""
    example: bool = False
    """Add a few-shot example: an expert's episode of another task of the same type."""
    history: str = "window"
    """`window`: one message with the recent turns; `conversation`: the episode as a growing chat."""
    prompts: str = DEFAULT
    """With `conversation`: prompt set, a name or a folder."""
    max_new_tokens: int = 1024
    """Longest reply in tokens, reasoning included."""
    temperature: float = 0.0
    """Sampling temperature, without top-k or top-p. Below 0: send no sampling settings and use the server's."""
    server: str = "auto"
    """Fields to send in addition to OpenAI's. `vllm`: `chat_template_kwargs.enable_thinking` and all sampling settings,
    for vLLM, SGLang and llama.cpp; `transformers`: the same for `transformers serve`; `openai`: none; `auto`:
    `openai` for OpenAI's own URL, else whichever of the first two the server accepts."""
    body: str = ""
    """Further fields of the request as a JSON object, e.g. `{"reasoning_effort": "low"}`; these have priority."""
    timeout: float = 120.0
    """Seconds without data before a request is tried again."""
    deadline: float = 600.0
    """Seconds for one decision, retries included."""
    retries: int = 6
    """Largest number of retries of a request."""
    patience: int = 8
    """Consecutive failed requests that stop the run."""
    input_price: float = 0.0
    """Price of a million prompt tokens, in any currency."""
    cached_price: float = -1.0
    """Price of a million cached prompt tokens; below 0, the same as of others."""
    output_price: float = 0.0
    """Price of a million generated tokens."""

    def check(self) -> None:
        """Validate the settings; raise a UsageError if they do not fit together."""
        if not self.model:
            raise UsageError(
                "The agent chat needs a model, e.g. --agent-options model=… base_url=http://127.0.0.1:8000/v1."
            )
        self.address().check()
        self.question()
        self.more()
        if self.server not in SERVERS:
            raise UnknownNameError("server", self.server, SERVERS)
        if min(self.timeout, self.deadline) <= 0 or min(self.max_new_tokens, self.patience) < 1 or self.retries < 0:
            raise UsageError(
                "timeout and deadline must be above 0, max_new_tokens and patience at least 1, retries at least 0."
            )
        if min(self.input_price, self.output_price) < 0:
            raise UsageError("input_price and output_price must be 0 or more, per million tokens.")

    def address(self) -> Address:
        """Return the server's URL and key variable."""
        return Address(self.base_url, self.key_env)

    def question(self) -> Question:
        """Return the prompt settings."""
        return Question(**{field.name: getattr(self, field.name) for field in fields(Question)})

    def more(self) -> dict[str, Any]:
        """Return the further fields of every request."""
        try:
            more = json.loads(self.body or "{}")
        except ValueError as cause:
            raise UsageError(f"body must be a JSON object; got {self.body!r}: {cause}.") from cause
        if not isinstance(more, dict):
            raise UsageError(f"body must be a JSON object; got {self.body!r}.")
        return more

    def fields(self, server: str) -> dict[str, Any]:
        """Return the fields in addition to OpenAI's for a kind of server, those of `body` included."""
        more = self.more()
        if server == "openai":
            return more
        sent: dict[str, Any] = {}
        if self.temperature >= 0:
            config = {"do_sample": self.temperature > 0, "temperature": self.temperature, **_NEUTRAL_TRANSFORMERS}
            sent = {"generation_config": json.dumps(config)} if server == "transformers" else dict(_NEUTRAL_VLLM)
        template = more.get("chat_template_kwargs")
        more["chat_template_kwargs"] = {
            "enable_thinking": self.thinking,
            **(template if isinstance(template, dict) else {}),
        }
        return {**sent, **more}

    def label(self) -> str:
        """Return the settings' part of the agent's name, e.g. `chat,format=react`."""
        changed = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if field.name not in _CARRIED and getattr(self, field.name) != field.default
        ]
        return ",".join(["chat", *changed]).replace("thinking=True", "thinking").replace("example=True", "example")

    def cost(self, reply: RemoteReply) -> float:
        """Return the cost of a reply, in the currency of the prices."""
        cached = min(reply.cached_tokens, reply.prompt_tokens)
        cached_price = self.input_price if self.cached_price < 0 else self.cached_price
        read = (reply.prompt_tokens - cached) * self.input_price + cached * cached_price
        return (read + reply.completion_tokens * self.output_price) / 1e6


class ChatAgent:
    """Agent on an OpenAI-compatible server.

    Args:
        settings: The settings.

    Raises:
        UsageError: The settings do not fit, or a key is missing.
        MissingDependencyError: openai is not installed.
    """

    def __init__(self, settings: ChatSettings) -> None:
        settings.check()
        self.settings = settings
        self._question = settings.question()
        guessed = "openai" if settings.address().is_openai else "vllm"
        self._server = guessed if settings.server == "auto" else settings.server
        self._failed = 0  # requests since the last answered one
        self._answered = False
        self._counting = Lock()

    @property
    def name(self) -> str:
        """The model's name with the settings that change its behaviour."""
        model = PurePath(self.settings.model).name if self.settings.model.startswith("/") else self.settings.model
        return f"{model}:{self.settings.label()}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Fingerprint for the manifest: model name, prompts and sampling. The weights on the server are unknown."""
        from agents.fingerprint import prompts_hash

        sampling = {field.name: getattr(self.settings, field.name) for field in fields(self.settings)}
        return {
            "model": self.settings.model,
            "prompts_sha256": prompts_hash(self._question),
            "question": self._question.facts(),
            "sampling": {name: value for name, value in sampling.items() if name not in _CARRIED},
            "sent": {**self._sampling(), **self.settings.fields(self._server)},
        }

    @property
    def batch_size(self) -> int:
        """Best number of episodes for one call; their requests are concurrent."""
        return 16

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Answer all inputs, with concurrent requests.

        Raises:
            AgentError: A request failed.
            AgentUnavailableError: Every further request would fail as well.
        """
        return answer_all(self.stream(len(views)), views)

    def stream(self, size: int) -> Stream:
        """Open a stream for several episodes; see `act_gym.agent.StreamingAgent`."""
        settings = self.settings
        endpoint = Endpoint(settings.address(), timeout=settings.timeout, retries=settings.retries)
        return _Requests(self, endpoint, size)

    def request(self, view: AgentInput) -> dict[str, Any]:
        """Return the request for an input: arguments of `chat.completions.create`."""
        settings = self.settings
        # OpenAI's newer models refuse the old name, and older servers lack the new one.
        limit = "max_tokens" if settings.base_url else "max_completion_tokens"
        request: dict[str, Any] = {
            "model": settings.model,
            "messages": self._question.messages(view),
            limit: settings.max_new_tokens,
        }
        request |= self._sampling()
        if settings.temperature > 0:
            request["seed"] = view_seed(view)
        if self._question.reply.tools:
            request["tools"] = [dict(tool) for tool in self._question.reply.tools]
        return {**request, "extra_body": settings.fields(self._server)}

    def _sampling(self) -> dict[str, float]:
        """Return the sampling settings among OpenAI's fields."""
        if self.settings.temperature < 0:
            return {}
        neutral = {} if self._server == "openai" else _NEUTRAL
        return {"temperature": self.settings.temperature, **neutral}

    def decide(self, endpoint: Endpoint, request: Mapping[str, Any]) -> AgentAction:
        """Request one decision and count consecutive failures; called in several threads.

        Raises:
            AgentError: The request failed.
            AgentUnavailableError: Too many failed in a row, or every further one would fail.
        """
        try:
            reply = self._ask(endpoint, request)
        except AgentError as error:
            raise self.failure(error) from None
        self._failed, self._answered = 0, True
        return with_hash(self.choice(reply), request["messages"])

    def failure(self, error: AgentError) -> AgentError | AgentUnavailableError:
        """Count a failed request; return its error, or the one that stops the run."""
        with self._counting:
            self._failed += 1
        if self._failed < self.settings.patience:
            return error
        return AgentUnavailableError(
            f"{self._failed} requests failed one after the other, the last one: {error}\n"
            "Finished episodes are kept; continue with --resume once the server answers."
        )

    def _ask(self, endpoint: Endpoint, request: Mapping[str, Any]) -> RemoteReply:
        """Send a request, with the fields of `transformers serve` if the server needs them.

        Raises:
            AgentUnavailableError: The server accepts the fields of neither kind.
        """
        try:
            return endpoint.ask(request)
        except RequestRefusedError as error:
            if self.settings.server == "auto" and _TRANSFORMERS_REFUSAL in str(error):
                self._server = "transformers"
                return endpoint.ask({**request, "extra_body": self.settings.fields(self._server)})
            if self._answered or not any(name in str(error) for name in _OWN_FIELDS):
                raise
            raise AgentUnavailableError(
                f"{error}\nIt does not take the fields that fix how it samples and whether it reasons. With "
                "--agent-options server=openai they are not sent, and its own defaults hold."
            ) from None

    def choice(self, reply: RemoteReply) -> AgentAction:
        """Parse a reply up to its stop string; without an action, the action is empty."""
        stop = self._question.reply.stop
        text = reply.text
        if self.settings.thinking and reply.cut and not reply.reasoning and "think>" not in text:
            text = f"<think>{text}"  # the chat template opened the reasoning, and the length limit cut it
        text = until(stop, text) if stop else text
        calls = "\n".join(write_tool_call(name, arguments) for name, arguments in reply.calls)
        thought = f"<think>{reply.reasoning.replace('</think>', '')}</think>" if reply.reasoning else ""
        response = thought + "\n".join(part for part in (text, calls) if part)
        read = self._question.reply.read(response)
        return AgentAction(
            action=read.action or "",
            response=response,
            thought=read.thought,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            cost=self.settings.cost(reply),
        )


class _Requests(ThreadStream[Mapping[str, Any]]):
    """Requests of several episodes over one connection pool."""

    def __init__(self, agent: ChatAgent, endpoint: Endpoint, size: int) -> None:
        self._endpoint = endpoint
        super().__init__(
            agent.request,
            partial(agent.decide, endpoint),
            size,
            deadline=agent.settings.deadline,
            late=lambda: agent.failure(endpoint.late()),
        )

    def close(self) -> None:
        """Start nothing more and close all connections."""
        super().close()
        self._endpoint.close()
