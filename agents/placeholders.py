"""Commands with a blank, such as WebShop's `search[<query>]`: whoever acts fills it in."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from agents.prompts import normalise

__all__ = ["BLANK", "fill", "fits_a_form", "has_blank", "is_admissible"]

BLANK = re.compile(r"<\w+>")
"""What stands for the words that are missing."""


def has_blank(command: str) -> bool:
    """Return whether a command is to be filled in before it is sent."""
    return BLANK.search(command) is not None


def fill(command: str, words: str) -> str:
    """Return a command with words in the place of its blanks; any other command as it is."""
    return BLANK.sub(lambda _: words, command)


def is_admissible(action: str, commands: Collection[str]) -> bool:
    """Return whether an action is one of the commands, where a blank in a command fits any words without brackets."""
    spoken = normalise(action)
    return any(spoken == normalise(command) for command in commands) or fits_a_form(spoken, commands)


def fits_a_form(spoken: str, commands: Collection[str]) -> bool:
    """Return whether a normalised action is one of the commands that have a blank, with words in its place."""
    return any(_pattern(command).fullmatch(spoken) for command in commands if "<" in command and has_blank(command))


@lru_cache(maxsize=1024)
def _pattern(command: str) -> re.Pattern[str]:
    return re.compile(r"[^\[\]]+".join(re.escape(normalise(part)) for part in BLANK.split(command)))
