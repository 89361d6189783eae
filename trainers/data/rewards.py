"""The composite reward: what a reply is worth, whichever question it answers.

Source: Agentic Critical Training (arXiv 2603.08706), v1: +1.0 for the expert's action, +0.1 for
another valid one, -0.5 for a malformed reply. What a well-formed reply earns that names neither is
not said there; here it is 0. The reward never looks at the reasoning and knows no model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from act_gym.errors import UsageError
from agents.placeholders import fits_a_form
from agents.prompts import normalise, read_reply

__all__ = ["KINDS", "Kind", "Reward", "judge", "normalised"]

Kind = Literal["expert", "valid", "numbered", "other", "malformed"]
"""What a reply turned out to be."""

KINDS: tuple[Kind, ...] = ("expert", "valid", "numbered", "other", "malformed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """What each kind of reply earns.

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
        """Return what a kind of reply earns."""
        name = "other" if kind == "numbered" else kind
        earned: float = getattr(self, name)
        return earned


def judge(reply: str, expert_action: str, valid_actions: Collection[str]) -> Kind:
    """Say what a reply is.

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
