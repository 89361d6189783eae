"""Training questions, judging and acting, and the composite reward of a reply.

Builds questions from `pairs.jsonl` and `decisions.jsonl` with the prompts of `agents.prompt_config`. No tokenizer or
model is needed.

Reward: Agentic Critical Training (arXiv 2603.08706), v1: +1.0 for the expert's action, +0.1 for another valid one, -0.5
for a malformed reply. The paper gives no reward for a well-formed reply that names neither; here it is 0. The
reward never depends on the reasoning.

"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import as_record, read_records
from act_gym.types import ActionPair, ExpertStep, Transition
from agents.placeholders import fits_a_form
from agents.prompt_config import CONVERSATION, view_of
from agents.prompt_config import Question as Asking
from agents.prompts import Message, named_by_number, normalise, read_reply

__all__ = [
    "KINDS",
    "Kind",
    "Numbered",
    "Order",
    "Question",
    "Reward",
    "acting_questions",
    "in_both_orders",
    "judge",
    "judging_questions",
    "normalised",
    "read_experience",
    "read_pairs",
    "read_steps",
]


Kind = Literal["expert", "valid", "numbered", "other", "malformed"]
"""The kind of a reply."""

KINDS: tuple[Kind, ...] = ("expert", "valid", "numbered", "other", "malformed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """The reward of each kind of reply.

    Attributes:
        expert: It names the expert's action.
        valid: It names another action that is admissible or was shown in the question. Where the environment offers
            a form, such as `search[<query>]`, any words in the place of its blank are admissible.
        other: It is well formed and names neither, or names one only by its number (`numbered`).
        malformed: It does not hold exactly one action (see `agents.prompts.read_reply`).

    Raises:
        UsageError: The expert's action does not earn the most.
    """

    expert: float = 1.0
    valid: float = 0.1
    other: float = 0.0
    malformed: float = -0.5

    def __post_init__(self) -> None:
        if self.expert <= max(self.valid, self.other, self.malformed):
            raise UsageError(f"The expert's action must earn more than any other reply; got {self}.")

    def of(self, kind: Kind) -> float:
        """Return the reward of a kind of reply."""
        name = "other" if kind == "numbered" else kind
        earned: float = getattr(self, name)
        return earned


def judge(reply: str, expert_action: str, valid_actions: Collection[str]) -> Kind:
    """Classify a reply.

    Args:
        reply: The model's text, without special tokens.
        expert_action: The expert's action.
        valid_actions: Other actions that count as valid, already normalised (see `normalised`); a blank in one of
            them fits any words.
    """
    action = read_reply(reply).action
    if action is None:
        return "malformed"
    spoken = normalise(action)
    if spoken == normalise(expert_action):
        return "expert"
    return "valid" if spoken in valid_actions or fits_a_form(spoken, valid_actions) else "other"


def normalised(actions: Iterable[str]) -> frozenset[str]:
    """Return actions in the form in which they are compared."""
    return frozenset(normalise(action) for action in actions)


R = TypeVar("R", ActionPair, ExpertStep, Transition)

Order = Literal["recorded", "random", "both"]
"""Which action is shown first: as the pair recorded it, drawn at random, or each pair both ways."""


Numbered = Literal["neither", "action"]
"""How an answer such as `Action 1` counts in a judging question: as neither action, or as the one it numbers."""


@dataclass(frozen=True)
class Question:
    """One prompt with the data that the reward of a reply needs.

    Attributes:
        id: The step's id.
        prompt: Chat messages.
        expert_action: The right answer.
        other_actions: Other actions that count as valid.
        expert_first: Whether the expert's action is shown as Action 1; None in an acting question.
        thinking: Whether it asks for reasoning first. Templates that have a switch for it are given this as well.
        numbered: How an answer that only numbers an action counts.
    """

    id: str
    prompt: list[Message]
    expert_action: str
    other_actions: tuple[str, ...]
    expert_first: bool | None = None
    thinking: bool = False
    numbered: Numbered = "neither"

    @cached_property
    def valid_actions(self) -> frozenset[str]:
        """The other actions in the form in which actions are compared."""
        return normalised(self.other_actions)

    def by_number(self, reply: str) -> str | None:
        """Return the action that a reply names only by its number; see `agents.prompts.named_by_number`."""
        action = read_reply(reply).action
        if self.expert_first is None or action is None:
            return None
        if judge(reply, self.expert_action, self.valid_actions) != "other":
            return None
        shown = (self.expert_action, self.other_actions[0])
        return named_by_number(action, *(shown if self.expert_first else shown[::-1]))

    def kind(self, reply: str) -> Kind:
        """Classify a reply, under the question's treatment of numbers."""
        named = self.by_number(reply)
        if named is None:
            return judge(reply, self.expert_action, self.valid_actions)
        if self.numbered == "neither" or not named:
            return "numbered"
        return "expert" if named == self.expert_action else "valid"


def judging_questions(
    pairs: Iterable[ActionPair],
    asking: Asking = CONVERSATION,
    *,
    order: Order = "recorded",
    seed: int = 0,
    numbered: Numbered = "neither",
) -> list[Question]:
    """Ask which action of each pair is better.

    Args:
        pairs: Expert actions with their alternatives.
        asking: How a state is shown, and whether the model is asked to reason first.
        order: See `Order`; `both` gives two questions for a pair, one after the other.
        seed: For `order="random"`.
        numbered: See `Numbered`.
    """
    random = np.random.default_rng(seed)
    questions = []
    for pair in pairs:
        drawn = bool(random.integers(2)) if order == "random" else pair.expert_first
        for expert_first in (True, False) if order == "both" else (drawn,):
            step = pair.step
            shown = (step.expert_action, pair.alternative)
            first, second = shown if expert_first else shown[::-1]
            questions.append(
                Question(
                    id=step.id,
                    prompt=asking.judging(view_of(step), first, second),
                    expert_action=step.expert_action,
                    other_actions=(pair.alternative, *step.admissible_commands),
                    expert_first=expert_first,
                    thinking=asking.thinking,
                    numbered=numbered,
                )
            )
    return questions


def in_both_orders(questions: Iterable[Question]) -> list[Question]:
    """Return those whose neighbour is the same pair the other way round; one alone would teach its position.

    For questions that were built with `order="both"` and of which some were left out since.
    """
    kept: list[Question] = []
    alone: Question | None = None
    for question in questions:
        if alone is not None and _pair(alone) == _pair(question) and alone.expert_first is not question.expert_first:
            kept += [alone, question]
            alone = None
        else:
            alone = question
    return kept


def _pair(question: Question) -> tuple[str, str, str]:
    return question.id, question.expert_action, question.other_actions[0]


def acting_questions(steps: Iterable[ExpertStep], asking: Asking = CONVERSATION) -> list[Question]:
    """Ask at every expert state which action is next; `asking` as for `judging_questions`."""
    return [
        Question(
            id=step.id,
            prompt=asking.messages(view_of(step)),
            expert_action=step.expert_action,
            other_actions=step.admissible_commands,
            thinking=asking.thinking,
        )
        for step in steps
    ]


def read_pairs(path: Path, limit: int = 0) -> list[ActionPair]:
    """Read the first `limit` pairs of a file; all of them if it is 0.

    Raises:
        RunError: The file cannot be read, or holds no pairs.
    """
    return _read(path, ActionPair, limit, "act-gym train pairs")


def read_steps(path: Path, limit: int = 0) -> list[ExpertStep]:
    """Read the first `limit` steps of a file of steps or of pairs; all of them if it is 0.

    A step of several pairs is returned once.

    Raises:
        RunError: The file cannot be read, or holds neither.
    """
    first = next(iter(read_records(path)), {})
    if not {"step", "decision"} & set(first):
        return _read(path, ExpertStep, limit, "act-gym train pairs")
    steps = {pair.step.id: pair.step for pair in read_pairs(path)}
    return list(steps.values())[: limit or None]


def read_experience(path: Path, limit: int = 0) -> list[Transition]:
    """Read the actions executed in the first `limit` states of a file; in all of them if it is 0.

    Raises:
        RunError: The file cannot be read, or holds no such records.
    """
    records = _read(path, Transition, 0, "act-gym train early-experience")
    states = dict.fromkeys(record.step.id for record in records)
    chosen = set(list(states)[: limit or None])
    return [record for record in records if record.step.id in chosen]


def _read(path: Path, kind: type[R], limit: int, command: str) -> list[R]:
    records: list[R] = []
    for number, data in enumerate(read_records(path), start=1):
        if limit and len(records) == limit:
            break
        try:
            records.append(as_record(kind, data, f"{path}, line {number},"))
        except RunError as cause:
            raise RunError(f"{path}, line {number}: {cause}") from cause
    if not records:
        raise RunError(f"{path} holds no records of {kind.__name__}. Make it with: {command}")
    return records
