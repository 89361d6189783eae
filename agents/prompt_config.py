"""Prompt configuration: builds chat messages from an agent's input; shared by local and API agents."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from act_gym.agent import AgentInput
from act_gym.errors import UnknownNameError, UsageError
from act_gym.types import ExpertStep, Turn
from agents.prompt_sets import DEFAULT, find_prompts
from agents.prompts import Message, shorten, shorten_alone, state_text
from agents.reply_formats import Format, find_format

__all__ = [
    "CONVERSATION",
    "HISTORIES",
    "TRAINED_WITH",
    "Question",
    "other_prompts",
    "trained_with",
    "view_of",
    "view_seed",
    "warn_if_other",
]

TRAINED_WITH = "act_gym.json"
HISTORIES = ("window", "conversation")
_LONGEST_UNREAD = 400  # characters kept in a conversation of a reply without an action

_EXAMPLE = "Here is another task of this kind and how it was solved.\n\n{example}\n\nNow comes your own task."


@dataclass(frozen=True, kw_only=True)
class Question:
    """Prompt settings for the questions about a state.

    Attributes:
        format: A name in `agents.reply_formats.FORMATS`.
        thinking: Whether to ask for reasoning first, if the format allows both.
        window: The number of recent turns shown with history=window; the first observation is always shown.
        list_commands: The largest number of admissible commands listed; 0 lists none.
        max_characters: Each observation is cut to this length; a page's buttons stay (`agents.prompts`).
        example: Whether to begin with a few-shot example: an expert's episode of another task of this type.
        history: `window`: one message with the recent turns; `conversation`: the episode as a growing chat.
        prompts: The prompt set: a name, or a folder (`agents.prompt_sets`).
    """

    format: str = "tags"
    thinking: bool = False
    window: int = 3
    list_commands: int = 0
    max_characters: int = 1200
    example: bool = False
    history: str = "window"
    prompts: str = DEFAULT

    def __post_init__(self) -> None:
        """Validate the settings.

        Raises:
            UsageError: A number is too small, or the format is unknown.
        """
        find_format(self.format)
        if min(self.window, self.list_commands) < 0 or self.max_characters < 1:
            raise UsageError("window and list_commands are 0 or more, and max_characters is at least 1.")
        if self.history not in HISTORIES:
            raise UnknownNameError("history", self.history, HISTORIES)
        find_prompts(self.prompts)
        if self.history == "conversation" and self.list_commands:
            raise UsageError("list_commands needs history=window; a conversation lists no commands.")

    @property
    def reply(self) -> Format:
        """The reply format."""
        return find_format(self.format)

    def messages(self, view: AgentInput) -> list[Message]:
        """Return the messages that ask for the next action.

        Raises:
            AgentError: A few-shot example is wanted, but none is available.
        """
        if self.history == "conversation":
            return self.conversation(view)
        prompts, state = find_prompts(self.prompts), self._state(view)
        if not prompts.has_window:
            return self.reply.ask(state, self.thinking)
        asked = prompts.reply(self.format, reasoning=self.thinking)
        return [{"role": "user", "content": f"{state}\n\n{asked}"}]

    def judging(self, view: AgentInput, first: str, second: str) -> list[Message]:
        """Return the messages that ask which of two actions is better; the state is rendered as for acting.

        The question follows Agentic Critical Training (arXiv 2603.08706), whose prompts are not published.
        """
        return self.about(view, find_prompts(self.prompts).judge(first, second, reasoning=self.thinking))

    def about(self, view: AgentInput, question: str) -> list[Message]:
        """Return the messages that ask another question about a state; the state is rendered as for acting."""
        if self.history == "window":
            return [{"role": "user", "content": f"{self._state(view)}\n\n{question}"}]
        *before, last = self.conversation(view)
        return [*before, {**last, "content": f"{last['content']}\n\n{question}"}]

    def _state(self, view: AgentInput) -> str:
        """Return a state as one text: the environment, the few-shot example if any, and the recent turns."""
        prompts = find_prompts(self.prompts)
        if prompts.has_window:
            return self._window(view)
        state = state_text(
            view.goal,
            view.observation,
            view.history,
            view.admissible_commands,
            window=self.window,
            list_commands=self.list_commands,
            max_characters=self.max_characters,
            observed=prompts.observed(view.task.benchmark, view.observation, view.observed, self.max_characters),
        )
        return "\n\n".join(filter(None, [prompts.environment(view.task.benchmark), self._example(view), state]))

    def _window(self, view: AgentInput) -> str:
        """Return a state in the prompt set's own layout."""
        prompts, limit = find_prompts(self.prompts), self.max_characters
        commands = view.admissible_commands
        observation = shorten(view.observation, limit, commands if self.list_commands else ())
        observed = prompts.observed(view.task.benchmark, view.observation, view.observed, limit)
        return prompts.window(
            "\n\n".join(filter(None, [prompts.environment(view.task.benchmark), self._example(view)])),
            view.goal,
            view.history,
            "\n\n".join([observation, *observed]),
            commands[: self.list_commands] if self.list_commands else (),
            window=self.window,
            max_characters=limit,
        )

    def _example(self, view: AgentInput) -> str:
        """Return the few-shot example with its announcement; empty if there is to be none."""
        if not self.example:
            return ""
        from agents.few_shot import example_for

        example = example_for(view.task, self.format, self.max_characters, env_options=view.env_options)
        return _EXAMPLE.format(example=example)

    def conversation(self, view: AgentInput) -> list[Message]:
        """Return an episode as a chat: the opening, then each reply and the next observation.

        Replies contain the action without its reasoning; a reply without an action is shown unchanged. Texts about the
        state that take no step follow the observation: the whole room on entering it, then only its new lines.
        """
        shown = list(self._observations(view))
        opening = find_prompts(self.prompts).opening(
            view.task.benchmark, view.goal, shown[0], self.format, reasoning=self.thinking, example=self._example(view)
        )
        messages: list[Message] = [{"role": "user", "content": opening}]
        for turn, observation in zip(view.history, shown[1:], strict=True):
            reply = self.reply.write(turn.action, "") if turn.action else turn.response[:_LONGEST_UNREAD]
            messages.append({"role": "assistant", "content": reply})
            messages.append({"role": "user", "content": observation})
        return messages

    def _observations(self, view: AgentInput) -> Iterator[str]:
        """Yield the text of each state in a conversation; it does not depend on later turns."""
        prompts, benchmark, limit = find_prompts(self.prompts), view.task.benchmark, self.max_characters
        known: dict[str, str] = {}
        states: tuple[Turn | AgentInput, ...] = (*view.history, view)
        for state in states:
            seen = state.observation.strip()
            unseen = {name: text for name, text in state.observed.items() if text.strip() != seen}
            changed = {name: _changes(known.get(name, ""), text) for name, text in unseen.items()}
            known |= state.observed
            texts = prompts.observed(benchmark, state.observation, changed, limit)
            yield "\n\n".join([shorten_alone(state.observation, limit), *texts])

    def facts(self) -> dict[str, Any]:
        """Return the prompt settings that a checkpoint records, with a hash of the texts of each question."""
        prompts = find_prompts(self.prompts)
        return {**asdict(self), "prompts_sha256": prompts.digest, "judge_prompts_sha256": prompts.judge_digest}


def _changes(before: str, now: str) -> str:
    """Return the whole text if its first line changed, else its first line and its new lines, if any."""
    old, new = before.strip().splitlines(), now.strip().splitlines()
    if old[:1] != new[:1]:
        return now
    added = [line for line in new[1:] if line not in old]
    return "\n".join([new[0], *added]) if added else ""


CONVERSATION = Question(history="conversation")
"""Default prompt settings in training."""


def trained_with(model: str) -> dict[str, Any]:
    """Return the `facts` of a checkpoint's training; empty for a model without a record.

    Args:
        model: A model's name or folder; training writes `act_gym.json` next to the weights.
    """
    path = Path(model).expanduser() / TRAINED_WITH
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def other_prompts(model: str, question: Question, *, judging: bool = False) -> list[str]:
    """Return the names of the prompt settings that differ from those of a checkpoint's training.

    Args:
        model: A model's name or folder; nothing differs if it has no record of its training.
        question: The current prompt settings.
        judging: Whether to compare the judging texts too.
    """
    trained, now = trained_with(model), question.facts()
    ignored = set() if judging else {"judge_prompts_sha256"}
    return [name for name, value in now.items() if name not in ignored and trained.get(name, value) != value]


def warn_if_other(model: str, question: Question, *, judging: bool = False) -> None:
    """Warn if the prompts differ from those that a checkpoint was trained with; see `other_prompts`."""
    if differs := other_prompts(model, question, judging=judging):
        warnings.warn(
            f"{model} was trained with other prompts than it is asked with now; they differ in {', '.join(differs)}. "
            "Its numbers are not those of its training.",
            UserWarning,
            stacklevel=2,
        )


def view_of(step: ExpertStep) -> AgentInput:
    """Return the `AgentInput` of an expert step."""
    return AgentInput(
        task=step.task,
        goal=step.goal,
        observation=step.observation,
        admissible_commands=step.admissible_commands,
        history=step.history,
        observed=step.observed,
    )


def view_seed(view: AgentInput) -> int:
    """Return a number that depends only on the episode's seed, the task and the turn."""
    return crc32(f"{view.seed} {view.task.id} {len(view.history)}".encode())
