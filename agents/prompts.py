"""What a language model is told and how its reply is read.

One state text serves two questions: which action would you do (acting), and which of two actions is
better (judging). Agents, trainers and evaluations all ask through `agents.prompt_config`, so a model is
trained on the very words it is tested on. Nothing here knows a tokenizer or a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from act_gym.types import Turn
from agents.shortening import shorten

__all__ = [
    "Message",
    "Reply",
    "acting_messages",
    "format_reply",
    "named_by_number",
    "normalise",
    "read_reply",
    "split_thought",
    "state_text",
]

Message = dict[str, str]
"""One chat message: `role` and `content`."""

_ACTION = re.compile(r"<action>(.*?)</action>", re.DOTALL)
_THINK = re.compile(r"<think>(.*?)(?:</think>|\Z)", re.DOTALL)

_NUMBERED = re.compile(r"action ([12])(?: ?[:.] ?(.*))?")

_ACT = "What is your next action? Reply with <action>your action</action>."
_ACT_THINKING = (
    "What is your next action? First reason inside <think> and </think>, then reply with <action>your action</action>."
)


def state_text(
    goal: str,
    observation: str,
    history: Sequence[Turn] = (),
    admissible_commands: Sequence[str] = (),
    *,
    window: int = 3,
    list_commands: int = 0,
    max_characters: int = 1200,
    observed: Sequence[str] = (),
) -> str:
    """Describe a state as text: the task, the first observation, the recent turns, the observation.

    The first observation is always shown: it lists what there is, such as the receptacles of ALFWorld's room.

    Args:
        goal: The task in words.
        observation: What the environment shows now.
        history: The turns so far, oldest first.
        admissible_commands: What the simulator accepts now; looked at only to list them, or to find the buttons of
            a page that is too long.
        window: How many recent turns are shown.
        list_commands: How many admissible commands are listed at most; 0 lists none.
        max_characters: Each observation is cut to this length; the cut is marked. The present one keeps the names of
            its buttons; see `agents.shortening.shorten`.
        observed: Texts that follow the observation.

    Returns:
        Plain text that ends with the observation or the list of commands.
    """
    parts = [f"Task: {goal.strip()}"]
    if history:
        parts.append(f"First observation:\n{shorten(history[0].observation, max_characters)}")
    recent = history[-window:] if window else ()
    if recent:
        shown = ["", *(shorten(turn.observation, max_characters) + "\n" for turn in recent[1:])]
        lines = [f"{before}> {turn.action}" for before, turn in zip(shown, recent, strict=True)]
        parts.append("Recent turns:\n" + "\n".join(lines))
    parts.append(f"Observation:\n{shorten(observation, max_characters, admissible_commands)}")
    parts += observed
    if list_commands and admissible_commands:
        parts.append("Possible actions: " + "; ".join(admissible_commands[:list_commands]))
    return "\n\n".join(parts)


def acting_messages(state: str, *, thinking: bool = False) -> list[Message]:
    """Ask which action to do in a state."""
    return [{"role": "user", "content": f"{state}\n\n{_ACT_THINKING if thinking else _ACT}"}]


@dataclass(frozen=True)
class Reply:
    """What was found in a model's reply.

    Attributes:
        action: The command; None if the reply is malformed.
        thought: The reasoning; empty if there is none.
    """

    action: str | None
    thought: str = ""


def read_reply(text: str) -> Reply:
    """Read a reply such as `<think>…</think><action>…</action>`.

    A reply is well formed if it holds exactly one non-empty `<action>` outside its reasoning. What
    stands around the tags is ignored. Reasoning that is never closed reaches to the end; where some
    chat templates open it, in the prompt, the reply begins inside it.
    """
    thought, spoken = split_thought(text)
    actions = _ACTION.findall(spoken)
    action = " ".join(actions[0].split()) if len(actions) == 1 else ""
    if "<action>" in action:
        action = ""
    return Reply(action=action or None, thought=thought)


def split_thought(text: str) -> tuple[str, str]:
    """Return the reasoning inside `<think>` and `</think>`, empty if there is none, and the text without it."""
    if "</think>" in text.partition("<think>")[0]:
        text = "<think>" + text
    thought = _THINK.search(text)
    return thought.group(1).strip() if thought else "", _THINK.sub("", text)


def format_reply(action: str, thought: str = "") -> str:
    """Write the reply that `read_reply` reads."""
    reasoning = f"<think>{thought}</think>" if thought else ""
    return f"{reasoning}<action>{action}</action>"


def named_by_number(action: str, first: str, second: str) -> str | None:
    """Return the action that an answer to a judging question names by its number, such as `Action 1: go to hallway`.

    Args:
        action: The answer.
        first: What the question shows as Action 1.
        second: What it shows as Action 2.

    Returns:
        The action; empty if other words than its own follow the number; None if the answer begins with no number.
    """
    found = _NUMBERED.fullmatch(normalise(action))
    if found is None:
        return None
    named = (first, second)[int(found[1]) - 1]
    return named if not found[2] or found[2] == normalise(named) else ""


def normalise(action: str) -> str:
    """Return the form in which two actions are compared: lower case, single spaces, no final stop."""
    return " ".join(action.lower().split()).rstrip(".")
