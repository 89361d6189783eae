"""Rationales: a model that saw the outcomes of the alternatives explains why the expert's action is best.

Source: self-reflection in Early Experience (arXiv 2510.08558). The prompt shows the state, the alternatives
that were executed and the outcome of each, and the action to take; the wording is ours. A monologue is kept if
it does not end in another action, and reads as if thought in the state: it may not mention an expert or number
an action.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from zlib import crc32

import numpy as np

from act_gym.types import ExpertStep, Transition
from agents.prompt_config import CONVERSATION, view_of
from agents.prompt_config import Question as Asking
from agents.prompts import Message, format_reply, normalise, read_reply, split_thought
from trainers.data.proposers import RANDOM

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["KINDS", "Kind", "Monologue", "Scene", "ask", "read_monologue", "scenes", "write_monologues"]

Kind = Literal["kept", "cut off", "another action", "empty", "forbidden words"]
"""The kind of a reply: usable; longer than allowed; with another action than the expert's or several; without a
word of reasoning; or speaking of an expert or of numbered actions."""

KINDS: tuple[Kind, ...] = ("kept", "cut off", "another action", "empty", "forbidden words")

_FORBIDDEN = re.compile(r"\bexpert|\bactions?\s*(?:#|no\.?\s*|number\s*)?\d", re.IGNORECASE)

_TASK = """Several actions were tried from here. What each of them led to:
{outcomes}

The right action now is: {action}

Write down what you think before you take it, in the first person and in a few sentences: what the task still needs, \
and why this action serves it better than the others do, judging by what they led to. Write as if you had only \
imagined what the others would lead to. Do not number the actions, and do not mention that anybody told you the right \
one. End with {reply}"""


@dataclass(frozen=True)
class Scene:
    """An expert's state with the actions tried in it.

    Attributes:
        step: The state and the expert's action.
        outcomes: Actions with the observations that followed; the expert's is the first.
    """

    step: ExpertStep
    outcomes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Monologue:
    """A model's monologue for a scene.

    Attributes:
        id: The step's id.
        kind: The kind of its last reply.
        monologue: The reasoning; empty unless it was kept.
        asked: How often the model was asked.
        reply: Its last reply, as it was.
    """

    id: str
    kind: Kind
    monologue: str
    asked: int
    reply: str


def scenes(experiences: Iterable[Transition], *, alternatives: int = 3) -> tuple[list[Scene], list[str]]:
    """Collect the actions tried in each state.

    The policy's proposals come before random actions. An alternative that leads to the same state as the
    expert's action is left out: there is no reason to prefer one of them.

    Args:
        experiences: Records of `trainers.early_experience`, those of one state one after the other.
        alternatives: How many are shown at most.

    Returns:
        The scenes, and the ids of states in which nothing worse was tried.
    """
    by_state: dict[str, list[Transition]] = {}
    for record in experiences:
        by_state.setdefault(record.step.id, []).append(record)
    found, bare = [], []
    for name, records in by_state.items():
        expert = [record for record in records if record.is_expert]
        others = [record for record in records if not record.is_expert and not record.same_as_expert]
        others.sort(key=lambda record: record.source == RANDOM)
        if not expert or not others[:alternatives]:
            bare.append(name)
            continue
        shown = [*expert[:1], *others[:alternatives]]
        outcomes = tuple((record.action, record.next_observation) for record in shown)
        found.append(Scene(expert[0].step, outcomes))
    return found, bare


def ask(scene: Scene, asking: Asking = CONVERSATION, *, seed: int = 0, max_characters: int = 400) -> list[Message]:
    """Ask for the monologue.

    Args:
        scene: The state, and the actions tried in it.
        asking: How the state is shown.
        seed: Of the order in which the actions are shown, which also depends on the step.
        max_characters: Each outcome is cut to this length.
    """
    random = np.random.default_rng([seed, crc32(scene.step.id.encode())])
    lines = []
    for index in random.permutation(len(scene.outcomes)).tolist():
        action, seen = scene.outcomes[index]
        shown = " ".join(seen.split())
        lines.append(f"- {action}: {shown if len(shown) <= max_characters else shown[:max_characters] + ' …'}")
    action = scene.step.expert_action
    question = _TASK.format(outcomes="\n".join(lines), action=action, reply=format_reply(action))
    return asking.about(view_of(scene.step), question)


def read_monologue(reply: str, expert_action: str, *, cut_off: bool = False) -> tuple[Kind, str]:
    """Classify a reply, and return the reasoning in it if it is kept.

    Args:
        reply: The model's text. Without any action in it, all of it is reasoning.
        expert_action: The action it should end in.
        cut_off: Whether the reply came to its longest length.
    """
    if "<action>" in reply:
        action = read_reply(reply).action
        if action is None or normalise(action) != normalise(expert_action):
            return ("cut off" if cut_off and action is None else "another action"), ""
    elif cut_off:
        return "cut off", ""
    thought, spoken = split_thought(reply)
    words = " ".join(f"{thought} {spoken.partition('<action>')[0]}".split())
    if not words:
        return "empty", ""
    if _FORBIDDEN.search(words):
        return "forbidden words", ""
    return "kept", words


def write_monologues(
    policy: Policy,
    asked: Sequence[Scene],
    asking: Asking,
    *,
    seed: int,
    tries: int,
    temperature: float,
    max_new_tokens: int,
    max_characters: int,
) -> list[Monologue]:
    """Let a model write one monologue for each scene, independent of the other scenes.

    Args:
        policy: The model. Templates that have a switch for reasoning have it off: the reply is the reasoning.
        asked: The scenes.
        asking: How a state is shown.
        seed: Of every draw.
        tries: How often it is asked again after a reply that cannot be kept.
        temperature: Of sampling.
        max_new_tokens: Longest reply.
        max_characters: Longest outcome in the prompt.
    """
    written: dict[int, Monologue] = {}
    for attempt in range(tries):
        open_rows = [row for row in range(len(asked)) if row not in written or written[row].kind != "kept"]
        if not open_rows:
            break
        replies = policy.generate(
            [ask(asked[row], asking, seed=seed, max_characters=max_characters) for row in open_rows],
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seeds=[_seed(asked[row], seed, attempt) for row in open_rows],
        )
        for row, reply in zip(open_rows, replies, strict=True):
            cut_off = reply.completion_tokens >= max_new_tokens
            kind, words = read_monologue(reply.text, asked[row].step.expert_action, cut_off=cut_off)
            written[row] = Monologue(asked[row].step.id, kind, words, attempt + 1, reply.text)
    return [written[row] for row in range(len(asked))]


def _seed(scene: Scene, seed: int, attempt: int) -> int:
    return int(np.random.default_rng([seed, crc32(scene.step.id.encode()), attempt]).integers(2**62))
