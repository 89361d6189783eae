"""Commands with a blank, such as WebShop's `search[<query>]`: whoever acts fills it in."""

from __future__ import annotations

import re

__all__ = ["BLANK", "fill", "has_blank"]

BLANK = re.compile(r"<\w+>")
"""What stands for the words that are missing."""


def has_blank(command: str) -> bool:
    """Return whether a command is to be filled in before it is sent."""
    return BLANK.search(command) is not None


def fill(command: str, words: str) -> str:
    """Return a command with words in the place of its blanks; any other command as it is."""
    return BLANK.sub(lambda _: words, command)
