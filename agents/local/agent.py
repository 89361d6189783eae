"""An agent that asks a local language model, many episodes at once.

The model is told the state in the words of `agents.prompts`, the same that it is trained on. What it
answers is data: a reply without an action is a turn with an empty action.
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

# Episodes at once; docs/design/agents.md has the measurement for a CPU. A GPU's is a guess.
CPU_BATCH, GPU_BATCH = 32, 64

_MOST_LIKELY = 256  # commands that are tokenised to draft a reply; more would cost what the draft saves

_DECODES = ("free", "ranked")
_AUTO, _AS_TRAINED = "auto", -1  # settings that the checkpoint decides


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """Settings of a local model as an agent; what changes its behaviour is part of its name."""

    model: str = "smollm2"
    """`smollm2`, a folder with a model, or an id of the Hugging Face hub."""
    adapter: str = ""
    """Folder of a PEFT adapter that is merged into the model; empty for none."""
    decode: str = "free"
    """`free`: what the model writes; `ranked`: the admissible command that it finds likeliest. A blank in a
    command, such as what to search for, is filled with the goal then."""
    format: str = "tags"
    """`tags`, `react` or `tools`, where the chat template has a place for tools; `ranked` reads `tags` only."""
    thinking: bool = False
    """Whether the model is asked to reason before it answers; only with `free`."""
    window: int = _AS_TRAINED
    """Recent turns in the prompt with history=window; -1: as the checkpoint was trained, else 3."""
    list_commands: int = _AS_TRAINED
    """Admissible commands listed in the prompt at most; 0 lists none; -1: as the checkpoint was trained, else none."""
    max_characters: int = _AS_TRAINED
    """Each observation in the prompt is cut to this length; -1: as the checkpoint was trained, else 1,200."""
    example: bool = False
    """Whether the prompt shows how an expert solved another task of the same kind."""
    history: str = _AUTO
    """`window`: one message with the recent turns; `conversation`: the episode as a growing chat, of which each turn
    reads only what is new; `auto`: as the checkpoint was trained, else `window`."""
    prompts: str = _AUTO
    """The prompt set, a name or a folder; `auto`: as the checkpoint was trained, else `default`."""
    max_new_tokens: int = 0
    """Longest reply in tokens; 0 for 32, 128 or 64, as the format needs, or 512 with thinking."""
    temperature: float = 0.0
    """Of sampling with `free`; 0 takes the likeliest token every time."""
    max_nodes: int = 2048
    """Tokens of commands that `ranked` runs for one decision before it settles for the best so far."""
    device: str = "auto"
    """`auto` or a torch device."""
    dtype: str = "auto"
    """`auto`, `float32`, `bfloat16` or `float16`."""

    def check(self) -> None:
        """Raise a UsageError where the settings do not fit together."""
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
        """Return how the model is asked."""
        values = {field.name: getattr(self, field.name) for field in fields(Question)}
        own = {name: value for name, value in values.items() if value not in (_AUTO, _AS_TRAINED)}
        taken = {name: value for name, value in trained_with(self.model).items() if name in values.keys() - own.keys()}
        if own.get("history") == "conversation":
            taken.pop("list_commands", None)  # a conversation shows no list
        question = Question(**{**taken, **own})
        warn_if_other(self.model, question)
        return question

    def label(self) -> str:
        """Return what follows the model in the agent's name, e.g. `ranked,window=0`."""
        places = {"model", "adapter", "device", "decode"}
        ignored = {"temperature", "max_new_tokens"} if self.decode == "ranked" else {"max_nodes"}
        changed = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if field.name not in places | ignored and getattr(self, field.name) != field.default
        ]
        return ",".join([self.decode, *changed]).replace("thinking=True", "thinking").replace("example=True", "example")


class LocalAgent:
    """A language model that plays.

    Args:
        settings: How it plays.
        policy: A model that is loaded already; None loads `settings.model`.

    Raises:
        UsageError: The settings do not fit together, or there is no such model.
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
        """The model's name and the settings that change its behaviour."""
        return f"{self.policy.name}:{self.settings.label()}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a manifest says of it: weights, words and sampling."""
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
        """How many episodes are best answered at once."""
        return CPU_BATCH if self.policy.model.device.type == "cpu" else GPU_BATCH

    def stream(self, size: int) -> Stream:
        """Begin to answer several episodes, each as soon as its own reply is complete; see `StreamingAgent`.

        What a prompt has in common with the episode's last one is not read again. A model whose attention
        takes no masks of four dimensions is asked about all views at once.
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
        """Answer all views in one batch.

        Raises:
            AgentError: The model failed, a state does not fit its context, or there is nothing to rank.
        """
        try:
            prompts = [self._prompt(view) for view in views]
            answer = self._ranked if self.settings.decode == "ranked" else self._free
            return [with_hash(one, prompt) for one, prompt in zip(answer(views, prompts), prompts, strict=True)]
        except (RuntimeError, ValueError, MemoryError) as cause:  # CUDA's and the allocator's errors are RuntimeErrors
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
        """Return a view's work for a decoder, and what gives the choice when it is done."""
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
        """Return replies that the model may write: those of a few commands, where it does not reason first."""
        if self.settings.thinking or len(view.admissible_commands) > _MOST_LIKELY:
            return []
        played = [turn.action for turn in view.history if turn.action]
        return [self._question.reply.write(command, "") for command in (*view.admissible_commands, *played)]

    def _longest_reply(self) -> int:
        plain, reasoned = self._question.reply.longest_reply
        return self.settings.max_new_tokens or (reasoned if self.settings.thinking else plain)

    def _prompt(self, view: AgentInput) -> list[Message]:
        """Ask about a view; what does not fit the model's context is left out, the oldest turns first."""
        room = self.policy.context - (self._longest_reply() if self.settings.decode == "free" else 64)
        for messages in prompts_of(self._question, view):
            # A token is at least one byte, so most prompts are known to fit without being tokenised.
            size = sum(len(message["content"].encode("utf-8", "replace")) + 16 for message in messages)
            if not self.policy.tools and size + 512 <= room:
                return messages
            if len(self.policy.prompt_ids(messages, thinking=self.settings.thinking)) <= room:
                return messages
        raise AgentError(f"{view.task.id} does not fit the {self.policy.context} tokens that {self.policy.name} takes.")


def _load(settings: LocalSettings) -> Policy:
    from agents.local.model import Policy

    return Policy.load(settings.model, device=settings.device, dtype=settings.dtype, adapter=settings.adapter or None)
