"""Prompt texts of the two questions, acting and judging, and parsing of replies.

The same state text serves both questions. Agents, trainers and evaluations all build prompts through
`agents.prompt_config`, so a model is trained on the very words it is tested on. No tokenizer or model is needed here.

Observations are shortened for a prompt with the names of a page's buttons kept whole: in WebShop, `click[buy now]` is
possible where `Buy Now` is on the page, and the last buttons are at the end of the text, where a plain cut hides them.

"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from act_gym.types import Turn

__all__ = [
    "Message",
    "Reply",
    "acting_messages",
    "format_reply",
    "named_by_number",
    "normalise",
    "read_reply",
    "shorten",
    "shorten_alone",
    "split_thought",
    "state_text",
]


_SEPARATOR = " [SEP] "
_MARKUP = re.compile(r"<[^<>\n]*>")
_MARKS = re.compile(r"\[(?:clicked )?button_?\]")
_TARGET = re.compile(r"\w+\[(.*)\]", re.DOTALL)
_MARK = " …"
_BUTTON = 100  # characters; texts of a page that are not longer are kept like buttons
_READABLE = 24  # characters; a shorter rest of a text says little, and then the marks of buttons go first


@dataclass(frozen=True)
class _Piece:
    text: str
    name: str  # without marks and markup
    button: bool


def shorten(text: str, limit: int, commands: Sequence[str] = ()) -> str:
    """Return an observation of at most `limit` characters; each cut is marked.

    Of a page with buttons, the other texts are shortened, the longest most. Where that does not do, or the page is
    HTML, the marks of its buttons and its tags go as well. Only where the names alone are longer, so is the result.
    Any other observation loses its end.

    Args:
        text: The observation.
        limit: Characters.
        commands: What the simulator accepts now, such as `click[buy now]`; looked at only for a page that is too long.
    """
    text = text.strip()
    if len(text) <= limit:
        return text
    separator = _SEPARATOR if _SEPARATOR in text else "\n"
    is_html = _MARKUP.match(text) is not None
    pieces = _pieces(text, separator, commands) if separator == _SEPARATOR or is_html or _MARKS.search(text) else []
    if not any(piece.button for piece in pieces):
        return text[:limit].rstrip() + _MARK
    if not is_html:
        length = _longest([piece.text for piece in pieces], [piece.button for piece in pieces], separator, limit)
        if length >= _READABLE:
            return separator.join(piece.text if piece.button else _cut(piece.text, length) for piece in pieces)
    pieces = [piece for piece in pieces if piece.name]
    length = _longest([piece.name for piece in pieces], [piece.button for piece in pieces], separator, limit)
    shown = (piece.name if piece.button else _cut(piece.name, length) for piece in pieces)
    return separator.join(part for part in shown if part)


def shorten_alone(text: str, limit: int) -> str:
    """Return an observation of at most `limit` characters by what it shows alone, whatever is possible now.

    A conversation shows an observation again in every later turn, when its commands are no longer known. Of a page the
    short texts are kept, as its buttons are short.
    """
    names = text.split(_SEPARATOR)
    return shorten(text, limit, [f"click[{name}]" for name in names if len(name) <= _BUTTON] if names[1:] else ())


def _pieces(text: str, separator: str, commands: Sequence[str]) -> list[_Piece]:
    targets = {" ".join(found[1].lower().split()) for command in commands if (found := _TARGET.fullmatch(command))}
    pieces = []
    for part in text.split(separator):
        name = html.unescape(_MARKS.sub(" ", _MARKUP.sub(" ", part))).strip()
        pieces.append(_Piece(part, name, " ".join(name.lower().split()) in targets))
    return pieces


def _longest(texts: Sequence[str], whole: Sequence[bool], separator: str, limit: int) -> int:
    """Return to how many characters each text may be cut, those that stay whole apart, so that all fit; 0 if none."""
    room = limit - len(separator) * (len(texts) - 1)
    room -= sum(len(text) for text, stays in zip(texts, whole, strict=True) if stays)
    lengths = sorted(len(text) for text, stays in zip(texts, whole, strict=True) if not stays)
    for index, length in enumerate(lengths):
        share = room // (len(lengths) - index)
        if share < length:
            return max(0, share)
        room -= length
    return limit


def _cut(text: str, length: int) -> str:
    """Return a text of at most `length` characters, with the mark where it is cut."""
    if len(text) <= length:
        return text
    return text[: length - len(_MARK)].rstrip() + _MARK if length > len(_MARK) else ""


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
            its buttons; see `agents.prompts.shorten`.
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
