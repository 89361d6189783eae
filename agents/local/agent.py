"""Agent on a local language model, for many episodes at once.

Its prompts come from `agents.prompts`, as in training. A reply without an action is a turn with an empty action, not an
error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from act_gym.agent import AgentAction, AgentInput
from act_gym.errors import AgentError, UnknownNameError, UsageError
from act_gym.rollout import BatchStream
from agents.placeholders import fill
from agents.prompt_config import Question, trained_with, view_seed, warn_if_other
from agents.prompt_replay import prompts_of, with_hash
from agents.prompts import Message, format_reply

if TYPE_CHECKING:
    from act_gym.agent import Stream
    from agents.local.constrained_decoding import Ranking
    from agents.local.model import Completion, Policy
    from agents.local.scheduler import Work

__all__ = ["LocalAgent", "LocalSettings"]

# episodes at once; measured on a CPU in docs/design/agents.md, a guess for a GPU
CPU_BATCH, GPU_BATCH = 32, 64

_MOST_LIKELY = 256  # commands tokenised to draft a reply; more would cost more than the draft saves

_DECODES = ("free", "ranked")
_AUTO, _AS_TRAINED = "auto", -1  # settings recorded by the checkpoint


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """Settings of a local model agent; those that change its behaviour are part of its name."""

    model: str = "smollm2"
    """`smollm2`, a model folder, or a Hugging Face hub id."""
    adapter: str = ""
    """Folder of a PEFT adapter, merged into the model; empty for none."""
    decode: str = "free"
    """`free`: sample a reply; `ranked`: take the likeliest admissible command (a placeholder in a command, e.g. a
    search query, is filled with the goal)."""
    format: str = "tags"
    """`tags`, `react` or `tools` (needs a chat template with tools); `ranked` supports only `tags`."""
    thinking: bool = False
    """Ask the model to reason before its action; only with `free`."""
    window: int = _AS_TRAINED
    """Recent turns in the prompt with history=window; -1: as in the checkpoint's training, else 3."""
    list_commands: int = _AS_TRAINED
    """Largest number of admissible commands in the prompt; 0 lists none; -1: as in the checkpoint's training, else 0.
    """
    max_characters: int = _AS_TRAINED
    """Longest observation in the prompt, in characters; -1: as in the checkpoint's training, else 1,200."""
    example: bool = False
    """Add a few-shot example: an expert's episode of another task of the same type."""
    history: str = _AUTO
    """`window`: one message with the recent turns; `conversation`: the episode as a growing chat, whose KV cache is
    reused; `auto`: as in the checkpoint's training, else `window`."""
    prompts: str = _AUTO
    """Prompt set, a name or a folder; `auto`: as in the checkpoint's training, else `default`."""
    max_new_tokens: int = 0
    """Longest reply in tokens; 0: 32, 128 or 64, depending on the format, or 512 with thinking."""
    temperature: float = 0.0
    """Sampling temperature with `free`; 0 is greedy."""
    max_nodes: int = 2048
    """Token budget of `ranked` for one decision; then it takes the best command so far."""
    device: str = "auto"
    """`auto` or a torch device."""
    dtype: str = "auto"
    """`auto`, `float32`, `bfloat16` or `float16`."""

    def check(self) -> None:
        """Validate the settings; raise a UsageError if they do not fit together."""
        if self.decode not in _DECODES:
            raise UnknownNameError("decode", self.decode, _DECODES)
        if self.decode == "ranked" and self.thinking:
            raise UsageError("decode=ranked scores commands and reads no reasoning; use thinking with decode=free.")
        if self.decode == "ranked" and self.format != "tags":
            raise UsageError("decode=ranked scores replies of format=tags; use other formats with decode=free.")
        if min(self.window, self.list_commands) < _AS_TRAINED or min(self.max_new_tokens, self.temperature) < 0:
            raise UsageError("The numbers of a local agent are 0 or more.")
        if self.max_nodes < 1 or (self.max_characters < 1 and self.max_characters != _AS_TRAINED):
            raise UsageError("max_nodes and max_characters of a local agent are at least 1.")
        self.question()

    def question(self) -> Question:
        """Return the prompt settings."""
        values = {field.name: getattr(self, field.name) for field in fields(Question)}
        own = {name: value for name, value in values.items() if value not in (_AUTO, _AS_TRAINED)}
        taken = {name: value for name, value in trained_with(self.model).items() if name in values.keys() - own.keys()}
        if own.get("history") == "conversation":
            taken.pop("list_commands", None)  # a conversation lists no commands
        question = Question(**{**taken, **own})
        warn_if_other(self.model, question)
        return question

    def label(self) -> str:
        """Return the settings' part of the agent's name, e.g. `ranked,window=0`."""
        places = {"model", "adapter", "device", "decode"}
        ignored = {"temperature", "max_new_tokens"} if self.decode == "ranked" else {"max_nodes"}
        changed = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if field.name not in places | ignored and getattr(self, field.name) != field.default
        ]
        return ",".join([self.decode, *changed]).replace("thinking=True", "thinking").replace("example=True", "example")


class LocalAgent:
    """Agent on a local language model.

    Args:
        settings: The settings.
        policy: A loaded model; None loads `settings.model`.

    Raises:
        UsageError: The settings do not fit together, or the model does not exist.
        MissingDependencyError: A package or the model is not installed.
    """

    def __init__(self, settings: LocalSettings | None = None, *, policy: Policy | None = None) -> None:
        self.settings = settings or LocalSettings()
        self.settings.check()
        self._question = self.settings.question()
        self.policy = policy or _load(self.settings)
        if self._question.reply.tools:
            self.policy = self.policy.offering(self._question.reply.tools)

    @property
    def name(self) -> str:
        """The model's name with the settings that change its behaviour."""
        return f"{self.policy.name}:{self.settings.label()}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Fingerprint for the manifest: weights, prompts and sampling."""
        from agents.fingerprint import model_facts
        from agents.local.default_model import model_path

        names = [model_path(self.settings.model), *filter(None, [self.settings.adapter])]
        carried = ("model", "adapter", "device", "dtype")
        sampling = {field.name: getattr(self.settings, field.name) for field in fields(self.settings)}
        return {
            **model_facts(self.policy, self._question, [Path(name) for name in names]),
            "sampling": {name: value for name, value in sampling.items() if name not in carried},
        }

    @property
    def batch_size(self) -> int:
        """Best number of episodes for one call."""
        return CPU_BATCH if self.policy.model.device.type == "cpu" else GPU_BATCH

    def stream(self, size: int) -> Stream:
        """Open a stream for several episodes, each answered as soon as its own reply is complete; see `StreamingAgent`.

        The prefix that a prompt shares with the episode's last one stays in the KV cache. A model without support for
        4-D attention masks answers in batches instead.
        """
        from agents.local.constrained_decoding import takes_masks
        from agents.local.scheduler import Decoder
        from agents.local.stream import LocalStream

        return (
            LocalStream(self, Decoder(self.policy.model, size), self._begin)
            if takes_masks(self.policy)
            else BatchStream(self)
        )

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Answer all inputs in one batch.

        Raises:
            AgentError: The model failed, a state does not fit its context, or there is no command to rank.
        """
        try:
            prompts = [self._prompt(view) for view in views]
            answer = self._ranked if self.settings.decode == "ranked" else self._free
            return [with_hash(one, prompt) for one, prompt in zip(answer(views, prompts), prompts, strict=True)]
        except (
            RuntimeError,
            ValueError,
            MemoryError,
        ) as cause:  # errors of CUDA and of the allocator are RuntimeErrors
            raise AgentError(f"{self.name} failed on {len(views)} views: {cause}") from cause

    def _free(self, views: Sequence[AgentInput], prompts: Sequence[Sequence[Message]]) -> list[AgentAction]:
        completions = self.policy.generate(
            prompts,
            max_new_tokens=self._longest_reply(),
            temperature=self.settings.temperature,
            seeds=[view_seed(view) for view in views],
            stop=self._question.reply.stop,
            thinking=self.settings.thinking,
        )
        return [self._written(completion) for completion in completions]

    def _ranked(self, views: Sequence[AgentInput], prompts: Sequence[Sequence[Message]]) -> list[AgentAction]:
        from agents.local.constrained_decoding import search

        rankings = search(
            self.policy,
            prompts,
            [tuple(fill(command, view.goal) for command in view.admissible_commands) for view in views],
            max_nodes=self.settings.max_nodes,
        )
        return [self._chosen(ranking) for ranking in rankings]

    def _begin(self, view: AgentInput) -> tuple[Work, Callable[[], AgentAction]]:
        """Return the decoder work for an input, and a function that returns the action when it is done."""
        from agents.local.constrained_decoding import begin

        prompt = self._prompt(view)
        if self.settings.decode == "ranked":
            commands = tuple(fill(command, view.goal) for command in view.admissible_commands)
            search, ranking = begin(self.policy, prompt, commands, max_nodes=self.settings.max_nodes)
            return search, lambda: with_hash(self._chosen(ranking()), prompt)
        writing, completion = self.policy.begin(
            prompt,
            max_new_tokens=self._longest_reply(),
            temperature=self.settings.temperature,
            seed=view_seed(view),
            stop=self._question.reply.stop,
            thinking=self.settings.thinking,
            likely=self._likely(view),
        )
        return writing, lambda: with_hash(self._written(completion()), prompt)

    def _chosen(self, ranking: Ranking) -> AgentAction:
        ((command, value),) = ranking.best
        reach = "likeliest" if ranking.exact else f"best found in {ranking.nodes} tokens"
        return AgentAction(
            action=command,
            response=f"{format_reply(command)} ({reach} of {ranking.commands}, log-probability {value:.3f})",
            prompt_tokens=ranking.prompt_tokens,
            completion_tokens=len(self.policy.ids(format_reply(command))),
        )

    def _written(self, completion: Completion) -> AgentAction:
        reply = self._question.reply.read(completion.text)
        return AgentAction(
            action=reply.action or "",
            response=completion.text,
            thought=reply.thought,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
        )

    def _likely(self, view: AgentInput) -> list[str]:
        """Return likely replies: those of a few commands, if the model does not reason first."""
        if self.settings.thinking or len(view.admissible_commands) > _MOST_LIKELY:
            return []
        played = [turn.action for turn in view.history if turn.action]
        return [self._question.reply.write(command, "") for command in (*view.admissible_commands, *played)]

    def _longest_reply(self) -> int:
        plain, reasoned = self._question.reply.longest_reply
        return self.settings.max_new_tokens or (reasoned if self.settings.thinking else plain)

    def _prompt(self, view: AgentInput) -> list[Message]:
        """Return the prompt of an input; drop the oldest turns first if it does not fit the context."""
        room = self.policy.context - (self._longest_reply() if self.settings.decode == "free" else 64)
        for messages in prompts_of(self._question, view):
            # A token is at least one byte, so most prompts are known to fit without tokenising.
            size = sum(len(message["content"].encode("utf-8", "replace")) + 16 for message in messages)
            if not self.policy.tools and size + 512 <= room:
                return messages
            if len(self.policy.prompt_ids(messages, thinking=self.settings.thinking)) <= room:
                return messages
        raise AgentError(f"{view.task.id} does not fit the {self.policy.context} tokens that {self.policy.name} takes.")


def _load(settings: LocalSettings) -> Policy:
    from agents.local.model import Policy

    return Policy.load(settings.model, device=settings.device, dtype=settings.dtype, adapter=settings.adapter or None)
