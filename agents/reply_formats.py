"""Reply formats: three ways to ask a language model for an action, each with its parser.

| format | a reply | |---|---| | `tags` | `<think>reasoning</think><action>go to desk 1</action>`; what the trainers
train | | `react` | `Thought: reasoning` and `Action: go to desk 1`, each on a line of its own (arXiv 2210.03629) | |
`tools` | a tool call `act(command)`, through the server or the chat template |

A parser never raises: a reply with no action, or with several, gives an empty action. This module needs no tokenizer,
model or server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from act_gym.errors import UnknownNameError
from agents.prompts import Message, Reply, acting_messages, format_reply, read_reply, split_thought

__all__ = ["FORMATS", "TOOL", "Format", "find_format", "read_react", "read_tool_calls", "until", "write_tool_call"]

TOOL: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "act",
        "description": "Do one action in the environment.",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string", "description": "The action, in the environment's words."}},
            "required": ["command"],
        },
    },
}
"""The tool of the format `tools`, as JSON schema."""

_REACT = (
    "What is your next action? Reply with two lines:\n"
    "Thought: your reasoning about what to do next\n"
    "Action: your next action"
)
_CALL = "What is your next action? Call the function act with the command."

# Models often hallucinate the next `Observation:`; truncate the reply there.
_OBSERVATION = re.compile(r"^[ \t]*Observation[ \t]*:", re.MULTILINE | re.IGNORECASE)
_LABEL = re.compile(r"^[ \t]*\**(Thought|Action)\**[ \t]*:\**", re.MULTILINE | re.IGNORECASE)
_TOOL_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


@dataclass(frozen=True)
class Format:
    """Reply format.

    Attributes:
        name: Its name in settings.
        ask: Maps a state text, and whether to reason first, to chat messages.
        read: Parses a whole reply.
        write: Formats the reply that `read` parses, from an action and a thought.
        stop: Stop string; None if only the model ends the reply.
        tools: Tools offered to the model.
        longest_reply: The longest reply in tokens, without and with thinking.
    """

    name: str
    ask: Callable[[str, bool], list[Message]]
    read: Callable[[str], Reply]
    write: Callable[[str, str], str]
    stop: str | None
    tools: tuple[Mapping[str, Any], ...]
    longest_reply: tuple[int, int]


def until(stop: str, text: str) -> str:
    """Return a reply up to its first stop string outside the reasoning, as a local model is stopped; else all of it."""
    opened = "<think>" if "</think>" in text.partition("<think>")[0] else ""  # by the chat template
    whole = opened + text
    for found in re.finditer(rf"<think>.*?(?:</think>|\Z)|{re.escape(stop)}", whole, re.DOTALL):
        if found.group() == stop:
            return whole[len(opened) : found.end()]
    return text


def read_react(text: str) -> Reply:
    """Parse a reply such as `Thought: …` and `Action: …`.

    It is well formed if exactly one line begins with `Action:`; the action is the rest of that line, or the next line.
    Text after a line that begins with `Observation:` is ignored.
    """
    reasoning, spoken = split_thought(text)
    end = _OBSERVATION.search(spoken)
    _, *parts = _LABEL.split(spoken[: end.start()] if end else spoken)
    thoughts, actions = [reasoning] if reasoning else [], []
    for label, content in zip(parts[::2], parts[1::2], strict=True):
        if label.lower() == "thought":
            thoughts.append(content.strip())
        else:
            actions.append(" ".join(content.strip().partition("\n")[0].split()))
    action = actions[0] if len(actions) == 1 else ""
    return Reply(action=action or None, thought="\n".join(thoughts))


def _write_react(action: str, thought: str) -> str:
    return f"Thought: {' '.join(thought.split())}\nAction: {action}" if thought else f"Action: {action}"


def read_tool_calls(text: str) -> Reply:
    """Parse a reply such as `<tool_call>{"name": "act", "arguments": {"command": "look"}}</tool_call>`.

    It is well formed if it has exactly one call outside its reasoning, of the function `act` with a non-empty string
    `command`; `arguments` may be an object or JSON in a string, as servers send it. Further arguments are ignored. Text
    around the call counts as thought.
    """
    reasoning, spoken = split_thought(text)
    calls = _TOOL_CALL.findall(spoken)
    around = " ".join(_TOOL_CALL.sub(" ", spoken).split())
    thought = "\n".join(part for part in (reasoning, around) if part)
    return Reply(action=_command(calls[0]) if len(calls) == 1 else None, thought=thought if calls else reasoning)


def _command(call: str) -> str | None:
    function = _json_object(call)
    if function.get("name") != "act":
        return None
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = _json_object(arguments)
    command = arguments.get("command") if isinstance(arguments, dict) else None
    return " ".join(command.split()) or None if isinstance(command, str) else None


def _json_object(text: str) -> dict[str, Any]:
    """Return the object in a JSON text; empty if there is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_tool_call(name: str, arguments: str | Mapping[str, Any]) -> str:
    """Format a tool call as `read_tool_calls` parses it; records use the same form.

    Args:
        name: The function's name.
        arguments: An object, or any text that a server sent instead.
    """
    text = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>{text.replace('<', chr(92) + 'u003c')}</tool_call>"  # the JSON text cannot close the tag


def _write_tool_call(action: str, thought: str) -> str:
    return (f"{thought}\n" if thought else "") + write_tool_call("act", {"command": action})


def _question(words: str) -> Callable[[str, bool], list[Message]]:
    return lambda state, _thinking: [{"role": "user", "content": f"{state}\n\n{words}"}]


FORMATS: Mapping[str, Format] = {
    entry.name: entry
    for entry in (
        Format(
            name="tags",
            ask=lambda state, thinking: acting_messages(state, thinking=thinking),
            read=read_reply,
            write=format_reply,
            stop="</action>",
            tools=(),
            longest_reply=(32, 512),
        ),
        Format(
            name="react",
            ask=_question(_REACT),
            read=read_react,
            write=_write_react,
            stop="\nObservation:",
            tools=(),
            longest_reply=(128, 512),
        ),
        Format(
            name="tools",
            ask=_question(_CALL),
            read=read_tool_calls,
            write=_write_tool_call,
            stop="</tool_call>",
            tools=(TOOL,),
            longest_reply=(64, 512),
        ),
    )
}
"""Every format, by name."""


def find_format(name: str) -> Format:
    """Return a format by name.

    Raises:
        UnknownNameError: The format is unknown.
    """
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return FORMATS[name]
