"""An agent behind an OpenAI-compatible address, such as OpenAI's own, vLLM, llama.cpp or `transformers serve`.

Every running episode has at most one request under way, all of them at once in one event loop of a
thread of its own; whoever is answered first plays on first. What a model writes is data, what a server
fails at ends an episode, and a server that fails at everything stops the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import PurePath
from typing import Any

from act_gym.agent import AgentAction, AgentInput
from act_gym.errors import AgentError, AgentUnavailableError, UnknownNameError, UsageError
from agents.openai.client import Address, Endpoint, RemoteReply, RequestRefusedError
from agents.openai.concurrency import Conversations
from agents.prompt_config import Question, view_seed
from agents.prompt_replay import with_hash
from agents.prompt_sets import DEFAULT
from agents.reply_formats import until, write_tool_call

__all__ = ["SERVERS", "ChatAgent", "ChatSettings"]

SERVERS = ("auto", "vllm", "transformers", "openai")
"""Which fields a server takes besides OpenAI's: see `ChatSettings.server`."""

# Sampling that changes no probability. A server fills a field that is not sent from the model's generation config, or
# from defaults of its own, so that the same weights would play otherwise than in this process.
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
_TRANSFORMERS_REFUSAL = "Unexpected fields in the request"  # of `transformers serve`, to a field that it does not know

# Settings that change how an answer is had, and not which one it is.
_CARRIED = {"model", "base_url", "key_env", "timeout", "deadline", "retries", "patience"}
_CARRIED |= {"input_price", "cached_price", "output_price"}


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    """Settings of a model behind an address; what changes its behaviour is part of the agent's name."""

    model: str = ""
    """As the server calls it."""
    base_url: str = ""
    """The server's address up to `/v1`; empty for OpenAI's own."""
    key_env: str = ""
    """Name of the environment variable that holds the key. Empty: OPENAI_API_KEY, where it is set and the address is
    this machine or encrypted."""
    format: str = "tags"
    """`tags`, `react` or `tools`; see `agents.reply_formats`."""
    thinking: bool = False
    """Whether the model is asked to reason before it answers."""
    window: int = 3
    """Recent turns in the prompt."""
    list_commands: int = 0
    """Admissible commands listed in the prompt at most; 0 lists none."""
    max_characters: int = 1200
    """Each observation in the prompt is cut to this length."""
    example: bool = False
    """Whether the prompt shows how an expert solved another task of the same kind."""
    history: str = "window"
    """`window`: one message with the recent turns; `conversation`: the episode as a growing chat."""
    prompts: str = DEFAULT
    """With `conversation`: the prompt set, a name or a folder."""
    max_new_tokens: int = 1024
    """Longest reply in tokens, reasoning included."""
    temperature: float = 0.0
    """Of sampling from all tokens. Below 0, no setting of sampling is sent and the server's own hold."""
    server: str = "auto"
    """Fields that are sent besides OpenAI's. `vllm`: `chat_template_kwargs.enable_thinking` and every setting of
    sampling, as vLLM, SGLang and llama.cpp take them; `transformers`: the same for `transformers serve`; `openai`:
    none; `auto`: `openai` for OpenAI's own address, else what the server takes of the first two."""
    body: str = ""
    """More of the request's body as a JSON object, e.g. `{"reasoning_effort": "low"}`; it wins."""
    timeout: float = 120.0
    """Seconds that a request may stay silent before it is tried again."""
    deadline: float = 600.0
    """Seconds that a decision may take, with everything that is tried again."""
    retries: int = 6
    """Times that a request is tried again at most."""
    patience: int = 8
    """Requests that may fail one after the other before the run stops."""
    input_price: float = 0.0
    """Price of a million tokens read, in any currency."""
    cached_price: float = -1.0
    """Price of a million tokens that the server had read before; below 0, the same as of others."""
    output_price: float = 0.0
    """Price of a million tokens written."""

    def check(self) -> None:
        """Raise a UsageError where the settings do not fit."""
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
            raise UsageError("timeout and deadline are more than 0, max_new_tokens and patience at least 1, retries 0.")
        if min(self.input_price, self.output_price) < 0:
            raise UsageError("input_price and output_price are 0 or more, for a million tokens each.")

    def address(self) -> Address:
        """Return where the server is."""
        return Address(self.base_url, self.key_env)

    def question(self) -> Question:
        """Return how the model is asked."""
        return Question(**{field.name: getattr(self, field.name) for field in fields(Question)})

    def more(self) -> dict[str, Any]:
        """Return what is added to every request's body."""
        try:
            more = json.loads(self.body or "{}")
        except ValueError as cause:
            raise UsageError(f"body is a JSON object; got {self.body!r}: {cause}.") from cause
        if not isinstance(more, dict):
            raise UsageError(f"body is a JSON object; got {self.body!r}.")
        return more

    def fields(self, server: str) -> dict[str, Any]:
        """Return the fields beside OpenAI's that a kind of server is sent, the body's own included."""
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
        """Return what follows the model in the agent's name, e.g. `chat,format=react`."""
        changed = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if field.name not in _CARRIED and getattr(self, field.name) != field.default
        ]
        return ",".join(["chat", *changed]).replace("thinking=True", "thinking").replace("example=True", "example")

    def cost(self, reply: RemoteReply) -> float:
        """Return what a reply cost, in the currency of the prices."""
        cached = min(reply.cached_tokens, reply.prompt_tokens)
        cached_price = self.input_price if self.cached_price < 0 else self.cached_price
        read = (reply.prompt_tokens - cached) * self.input_price + cached * cached_price
        return (read + reply.completion_tokens * self.output_price) / 1e6


class ChatAgent:
    """A model behind an address that plays.

    Args:
        settings: Which one, where, and how it plays.

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
        self._failed = 0  # requests since the last one that was answered
        self._answered = False

    @property
    def name(self) -> str:
        """The model's name and the settings that change its behaviour."""
        model = PurePath(self.settings.model).name if self.settings.model.startswith("/") else self.settings.model
        return f"{model}:{self.settings.label()}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a manifest says of it: the model's name, words and sampling. What the server runs, only it knows."""
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
        """How many episodes it is best asked about at once; their requests are under way together."""
        return 16

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Answer all views, with all requests under way at once.

        Raises:
            AgentError: A request failed.
            AgentUnavailableError: Every further request would fail as well.
        """
        stream = self.stream(len(views))
        try:
            for number, view in enumerate(views):
                stream.ask(number, view)
            found: dict[int, AgentAction] = {}
            while len(found) < len(views):
                for number, answer in stream.answers():
                    if isinstance(answer, AgentError):
                        raise answer
                    found[number] = answer
            return [found[number] for number in range(len(views))]
        finally:
            stream.close()

    def stream(self, size: int) -> Conversations:  # noqa: ARG002  (the protocol's)
        """Begin to ask about several episodes; see `act_gym.agent.StreamingAgent`."""
        return Conversations(self._connect, self.request, self.decide)

    def _connect(self) -> Endpoint:
        settings = self.settings
        return Endpoint(
            settings.address(), timeout=settings.timeout, deadline=settings.deadline, retries=settings.retries
        )

    def request(self, view: AgentInput) -> dict[str, Any]:
        """Return what is sent for a view: arguments of `chat.completions.create`."""
        settings = self.settings
        # OpenAI's newer models refuse the old name, and older servers do not know the new one.
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
        """Return the settings of sampling among OpenAI's fields."""
        if self.settings.temperature < 0:
            return {}
        neutral = {} if self._server == "openai" else _NEUTRAL
        return {"temperature": self.settings.temperature, **neutral}

    async def decide(self, endpoint: Endpoint, request: Mapping[str, Any]) -> AgentAction:
        """Ask for one decision and count what goes wrong.

        Raises:
            AgentError: The request failed.
            AgentUnavailableError: So did too many before it, or every further one would.
        """
        try:
            reply = await self._ask(endpoint, request)
        except AgentError as error:
            self._failed += 1
            if self._failed >= self.settings.patience:
                raise AgentUnavailableError(
                    f"{self._failed} requests failed one after the other, the last one: {error}\n"
                    "What was finished is kept; continue with --resume once the server answers."
                ) from None
            raise
        self._failed, self._answered = 0, True
        return with_hash(self.choice(reply), request["messages"])

    async def _ask(self, endpoint: Endpoint, request: Mapping[str, Any]) -> RemoteReply:
        """Send a request, in the fields of `transformers serve` where that is what answers.

        Raises:
            AgentUnavailableError: The server takes the fields of neither kind.
        """
        try:
            return await endpoint.ask(request)
        except RequestRefusedError as error:
            if self.settings.server == "auto" and _TRANSFORMERS_REFUSAL in str(error):
                self._server = "transformers"
                return await endpoint.ask({**request, "extra_body": self.settings.fields(self._server)})
            if self._answered or not any(name in str(error) for name in _OWN_FIELDS):
                raise
            raise AgentUnavailableError(
                f"{error}\nIt does not take the fields that fix how it samples and whether it reasons. With "
                "--agent-options server=openai they are not sent, and its own defaults hold."
            ) from None

    def choice(self, reply: RemoteReply) -> AgentAction:
        """Read a reply up to the text that completes it; one without an action gives an empty action."""
        stop = self._question.reply.stop
        text = reply.text
        if self.settings.thinking and reply.cut and not reply.reasoning and "think>" not in text:
            text = f"<think>{text}"  # the chat template opened the reasoning, and the length cut it
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
