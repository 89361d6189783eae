"""Prompt reconstruction: the messages of a recorded turn, rendered again and checked by their hash.

A record has the goal, the observations, the replies, and a hash of each prompt; the manifest has the prompt settings.
Both give the messages again, without storing text that grows with the square of the episode's length. Local and API
agents render their prompts here too, so the reconstruction runs the same code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from act_gym.agent import AgentAction, AgentInput
from act_gym.errors import UsageError
from act_gym.types import Episode
from agents.conversation import halved
from agents.prompt_config import Question
from agents.prompts import Message

__all__ = ["Asked", "asked", "hash_of", "prompts_of", "question_of", "with_hash"]

_HASH_DIGITS = 16  # hexadecimal digits; enough against accidental collisions


@dataclass(frozen=True)
class Asked:
    """Reconstructed prompt of one turn.

    Attributes:
        messages: The chat messages.
        is_exact: Their hash equals the recorded one.
    """

    messages: list[Message]
    is_exact: bool


def hash_of(messages: Sequence[Message]) -> str:
    """Return the first 16 hexadecimal digits of a prompt's sha256."""
    return hashlib.sha256(json.dumps(list(messages)).encode()).hexdigest()[:_HASH_DIGITS]


def with_hash(choice: AgentAction, messages: Sequence[Message]) -> AgentAction:
    """Return an action with the hash of its prompt."""
    return replace(choice, prompt_hash=hash_of(messages))


def prompts_of(question: Question, view: AgentInput) -> Iterator[list[Message]]:
    """Yield the prompt of an input, then shorter ones, for a model with a short context.

    A conversation drops its oldest turns, but never the opening and the last one. A window drops turns, then listed
    commands, then the few-shot example, then the end of a long observation.
    """
    if question.history == "conversation":
        yield from halved(question.conversation(view))
        return
    for window in range(min(question.window, len(view.history)), -1, -1):
        yield replace(question, window=window).messages(view)
    bare = replace(question, window=0, list_commands=0)
    for shorter in (
        bare,
        replace(bare, example=False),
        replace(bare, example=False, max_characters=min(bare.max_characters, 400)),
    ):
        yield shorter.messages(view)


def question_of(facts: Mapping[str, Any]) -> Question | None:
    """Return an agent's prompt settings from its manifest entry; None for an agent without a model.

    Raises:
        UsageError: The prompt set no longer exists.
    """
    written = facts.get("question")
    if not isinstance(written, Mapping):
        return None
    return Question(**{field.name: written[field.name] for field in fields(Question) if field.name in written})


def asked(episode: Episode, turn: int, question: Question, env_options: Mapping[str, Any] | None = None) -> Asked:
    """Return the prompt of a recorded turn.

    Args:
        episode: The recorded episode.
        turn: The turn, from 0.
        question: The prompt settings of the run.
        env_options: Options of the environment; a few-shot example depends on them.

    Raises:
        UsageError: The episode has no such turn.
        AgentError: The prompt has a few-shot example that is not available here.
    """
    if not 0 <= turn < len(episode.turns):
        raise UsageError(f"{episode.task.id} has the turns 1 to {len(episode.turns)}; got {turn + 1}.")
    now = episode.turns[turn]
    view = AgentInput(
        task=episode.task,
        goal=episode.goal,
        observation=now.observation,
        admissible_commands=now.admissible_commands,
        history=episode.turns[:turn],
        seed=episode.seed,
        env_options=dict(env_options or {}),
        observed=now.observed,
    )
    first: list[Message] | None = None
    for messages in prompts_of(question, view):
        if hash_of(messages) == now.prompt_hash:
            return Asked(messages, True)
        first = first or messages
        if not now.prompt_hash:
            break
    assert first is not None
    return Asked(first, False)
