"""Prompt texts for acting and judging, and parsing of replies.

Both questions use the same state text. Agents, trainers and evaluations build all prompts through
`agents.prompt_config`, so a model is evaluated on the prompts it was trained on. This module needs no tokenizer and no
model.

Long observations are shortened for the prompt, but a page keeps the names of its buttons: in WebShop, `click[buy now]`
is admissible where `Buy Now` is on the page, and a plain cut would hide the last buttons.
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
_BUTTON = 100  # characters; shorter texts of a page are kept, as buttons are
_READABLE = 24  # characters; below this, the marks of buttons are removed first


@dataclass(frozen=True)
class _Piece:
    text: str
    name: str  # without marks and tags
    button: bool


def shorten(text: str, limit: int, commands: Sequence[str] = ()) -> str:
    """Return an observation of at most `limit` characters; each cut is marked.

    On a page with buttons, the other texts are shortened, the longest most. If that is not enough, or the page is HTML,
    the marks of the buttons and the tags are removed too. The result exceeds the limit only if the button names alone
    do. Any other observation is cut at its end.

    Args:
        text: The observation.
        limit: Characters.
        commands: Admissible commands, such as `click[buy now]`; read only for a page that is too long.
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
    """Return an observation of at most `limit` characters, without the admissible commands.

    A conversation repeats an observation in later turns, when its commands are no longer available. A page keeps its
    short texts, because buttons are short.
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
    """Return the length to which texts can be cut so that all fit, apart from those kept whole; 0 if there is none."""
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
    """Return a text of at most `length` characters, with a mark if it is cut."""
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
    """Render a state as text: goal, first observation, recent turns, current observation.

    The first observation is always included: it lists the objects, such as the receptacles of ALFWorld's room.

    Args:
        goal: The instruction.
        observation: The current observation.
        history: The earlier turns, oldest first.
        admissible_commands: Read only to list them, or to find the buttons of a page that is too long.
        window: The number of recent turns shown.
        list_commands: The largest number of admissible commands listed; 0 lists none.
        max_characters: Each observation is cut to this length, with a mark. The current one keeps the names of its
            buttons; see `shorten`.
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
    """Return the messages that ask for the next action."""
    return [{"role": "user", "content": f"{state}\n\n{_ACT_THINKING if thinking else _ACT}"}]


@dataclass(frozen=True)
class Reply:
    """Parsed reply of a model.

    Attributes:
        action: The command; None if the reply is malformed.
        thought: The reasoning; empty if there is none.
    """

    action: str | None
    thought: str = ""


def read_reply(text: str) -> Reply:
    """Parse a reply such as `<think>…</think><action>…</action>`.

    A reply is well formed if it has exactly one non-empty `<action>` outside its reasoning. Text around the tags is
    ignored. Unclosed reasoning extends to the end. Some chat templates open the reasoning in the prompt; the reply then
    begins inside it.
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
    """Format the reply that `read_reply` parses."""
    reasoning = f"<think>{thought}</think>" if thought else ""
    return f"{reasoning}<action>{action}</action>"


def named_by_number(action: str, first: str, second: str) -> str | None:
    """Return the action that a judging answer names by number, such as `Action 1: go to hallway`.

    Args:
        action: The answer.
        first: The question's Action 1.
        second: The question's Action 2.

    Returns:
        The action; empty if the number is followed by a different action; None if the answer does not begin with a
        number.
    """
    found = _NUMBERED.fullmatch(normalise(action))
    if found is None:
        return None
    named = (first, second)[int(found[1]) - 1]
    return named if not found[2] or found[2] == normalise(named) else ""


def normalise(action: str) -> str:
    """Return an action normalised for comparison: lower case, single spaces, no final full stop."""
    return " ".join(action.lower().split()).rstrip(".")
