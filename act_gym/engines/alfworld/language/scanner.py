"""Scanner that behaves like upstream's generated parsers, because their behaviour is visible in the parsed texts."""

from __future__ import annotations

import re

__all__ = ["Scanner"]


class Scanner:
    """Position in a text with the steps of a parser. A failed step does not move.

    Comments `(* … *)` are skipped before every token, the default of upstream's parser generator.

    Args:
        text: The text.
        ignored: Further pattern to skip before a token.
    """

    def __init__(self, text: str, ignored: re.Pattern[str]) -> None:
        self.text = text
        self.at = 0
        self._ignored = ignored
        self._may_close = True

    def skip(self) -> None:
        """Skip ignored text before a token."""
        while True:
            if match := self._ignored.match(self.text, self.at):
                self.at = match.end()
            if not self.text.startswith("(*", self.at) or not self._may_close:
                return
            end = self.text.find("*)", self.at + 2)
            if end < 0:  # looking again for every (* would take time that grows with the square of the text
                self._may_close = False
                return
            self.at = end + 2

    def token(self, token: str) -> bool:
        """Step over a token if it comes next; a word must not run on in a letter or digit."""
        start = self.at
        self.skip()
        end = self.at + len(token)
        if self.text.startswith(token, self.at) and not (token.isalpha() and self.text[end : end + 1].isalnum()):
            self.at = end
            return True
        self.at = start
        return False

    def here(self, pattern: re.Pattern[str]) -> str | None:
        """Advance over a match of a pattern at the current position, and return it."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match.group()

    def next(self, pattern: re.Pattern[str]) -> str | None:
        """Skip ignored text, and consume and return the match of a pattern."""
        start = self.at
        self.skip()
        found = self.here(pattern)
        if found is None:
            self.at = start
        return found

    def at_end(self) -> bool:
        """Return whether only ignored text is left."""
        self.skip()
        return self.at == len(self.text)
