"""What the terminal game looks like. It prints and never plays.

Simulators print what they like, so their text is shown without its control characters and never
read as markup. In a pipe everything is plain lines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from act_gym.types import Turn

__all__ = ["FEW", "HELP", "Screen", "clean", "matching"]

_PAGE = 40
FEW = 60
"""So many commands are listed after every turn; more of them only when asked for."""
_SEPARATOR = " [SEP] "  # between the texts of a page in WebShop's observations
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P^_X].*?(?:\x07|\x1b\\)|.)", re.DOTALL)

HELP = """\
Type a command, or the number of one.
  ?word     list the commands with a word that begins like this; ? alone lists all, or their verbs
  +         more of the last list
  :hint     the expert's next command (the saved episode is marked)
  :undo     take the last action back: the task is started again and the others are replayed
  :history  the actions so far
  :task     the task once more
  :new      another task
  :quit     stop; so do Ctrl-D and Ctrl-C
Tab completes commands, the arrow keys bring earlier lines back."""


class Screen:
    """Prints a running game.

    Args:
        console: Where to; None for standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(markup=False, emoji=False, highlight=False)
        self._listed: list[tuple[int, str]] = []

    @property
    def interactive(self) -> bool:
        """Whether a person sees this."""
        return bool(self.console.is_terminal)

    def say(self, text: str, style: str = "") -> None:
        """Print our own or a simulator's words."""
        self.console.print(Text(clean(text), style=style), soft_wrap=not self.interactive)

    def goal(self, text: str, task_id: str, task_type: str) -> None:
        """Print the task."""
        title = f"{task_id} ({task_type})"
        if self.interactive:
            body = Text(clean(text).strip())
            self.console.print(Panel(body, title=Text(clean(title)), title_align="left", border_style="cyan"))
        else:
            self.say(f"Task {title}: {text.strip()}")

    def state(self, observation: str, info: dict[str, Any], limit: int | None) -> None:
        """Print an observation and a line of figures; the texts of one of WebShop's pages get a line each."""
        self.say("")
        if not info["action_valid"]:
            self.say("(not understood)", "red")
        self.say(observation.replace(_SEPARATOR, "\n").strip())
        commands = info["admissible_commands"]
        of = f" of {limit}" if limit else ""
        self.say("")
        listed = f" · {len(commands):,} commands, ? lists them" if commands else ""
        self.say(f"turn {info['turn']}{of} · score {info['score']:.2f}{listed}", "dim")

    def commands(self, commands: Sequence[str], numbers: Sequence[int] | None = None) -> None:
        """List commands with their numbers; thousands of them as a table of verbs.

        Args:
            commands: All commands of the state; a command's number is its place here, from 1.
            numbers: Which of them are listed; None for an overview of all.
        """
        if commands and all(command.isdigit() for command in commands):
            self.say(f"Answer with a number: {', '.join(commands)}")
            return
        if numbers is None and len(commands) > FEW:
            verbs = Counter(command.split(maxsplit=1)[0] for command in commands if command.strip())
            self.say("They begin with: " + ", ".join(f"{verb} ({count:,})" for verb, count in sorted(verbs.items())))
            self.say("?word lists those with the word, e.g. ?" + next(iter(sorted(verbs))), "dim")
            return
        chosen = range(1, len(commands) + 1) if numbers is None else numbers
        self._listed = [(number, commands[number - 1]) for number in chosen]
        if not self._listed:
            self.say("No command has such a word.", "dim")
        self.more()

    def more(self) -> None:
        """Print the next page of the last list."""
        page, self._listed = self._listed[:_PAGE], self._listed[_PAGE:]
        lines = [Text.assemble((f"{number:>5}  ", "cyan"), clean(command)) for number, command in page]
        if self.interactive:
            self.console.print(Padding(Columns(lines, column_first=True, padding=(0, 2)), (0, 0)))
        else:
            for line in lines:
                self.console.print(line, soft_wrap=True)
        if self._listed:
            self.say(f"… and {len(self._listed):,} more: +", "dim")

    def history(self, turns: Sequence[Turn]) -> None:
        """Print the actions so far with the score after each."""
        if not turns:
            self.say("Nothing has been done yet.", "dim")
        for number, turn in enumerate(turns, start=1):
            remark = "" if turn.action_valid else "  (not understood)"
            self.say(f"{number:>4}  {turn.score:.2f}  {turn.action}{remark}")

    def parts(self, parts: Mapping[str, float]) -> None:
        """Print what a reward is made of, where a benchmark says so."""
        if parts:
            self.say("")
            self.say("Parts of the reward: " + ", ".join(f"{name} {float(part):.2f}" for name, part in parts.items()))

    def end(self, success: bool, score: float, stop: str) -> None:
        """Print how an episode ended."""
        word = "Solved" if success else "Out of turns" if stop == "truncated" else "Over, not solved"
        self.say("")
        self.say(f"{word}. Final score {score:.2f}. :new, :undo or :quit", "bold green" if success else "bold yellow")


def clean(text: str) -> str:
    """Return text without control characters, escape sequences and what else does not print."""
    plain = _ESCAPES.sub("", text).replace("\t", "    ")
    return "".join(
        letter if letter == "\n" or letter.isprintable() else " " if letter.isspace() else "" for letter in plain
    )


def matching(commands: Sequence[str], words: str) -> list[int]:
    """Return the numbers, from 1, of the commands with a word that begins like each of these."""
    wanted = words.lower().split()
    return [
        number
        for number, command in enumerate(commands, start=1)
        if all(any(word.startswith(start) for word in command.lower().split()) for start in wanted)
    ]
