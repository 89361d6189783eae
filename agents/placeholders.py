"""Placeholders in commands, such as WebShop's `search[<query>]`, which the agent fills in."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from agents.prompts import normalise

__all__ = ["BLANK", "fill", "fits_a_form", "has_blank", "is_admissible"]

BLANK = re.compile(r"<\w+>")
"""A placeholder."""


def has_blank(command: str) -> bool:
    """Return whether a command contains a placeholder."""
    return BLANK.search(command) is not None


def fill(command: str, words: str) -> str:
    """Return a command with its placeholders replaced by words; any other command unchanged."""
    return BLANK.sub(lambda _: words, command)


def is_admissible(action: str, commands: Collection[str]) -> bool:
    """Return whether an action is one of the commands; a placeholder matches any words without brackets."""
    spoken = normalise(action)
    return any(spoken == normalise(command) for command in commands) or fits_a_form(spoken, commands)


def fits_a_form(spoken: str, commands: Collection[str]) -> bool:
    """Return whether a normalised action matches one of the commands with a placeholder."""
    return any(_pattern(command).fullmatch(spoken) for command in commands if "<" in command and has_blank(command))


@lru_cache(maxsize=1024)
def _pattern(command: str) -> re.Pattern[str]:
    return re.compile(r"[^\[\]]+".join(re.escape(normalise(part)) for part in BLANK.split(command)))
