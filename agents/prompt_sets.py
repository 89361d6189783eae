"""Prompt sets: folders of prompt templates that a user can replace.

Files of a prompt set:

| file | text | |---|---| | `alfworld.txt`, `scienceworld.txt`, `webshop.txt` | the environment and its commands | |
`other.txt` | the same for a benchmark without a file | | `<benchmark>_<name>.txt` | a text about the state that takes
no step, with `$text`; not shown if the file is absent | | `act.txt` | the opening of an episode, with `$environment`,
`$goal`, `$observation` and `$reply` | | `judge.txt`, `judge_reasoning.txt` | which of two actions is better, with
`$first` and `$second`; follows the state | | `reply_<format>.txt`, `reply_<format>_reasoning.txt` | how to answer; see
`agents.reply_formats` |

| `window.txt`, `window_first.txt`, `turn.txt` | optional: one message with the recent turns, in play and at the first
turn, and one recent turn; see `PromptSet.window` |

A set whose folder has `base.txt`, with the name of another set, takes the files that it lacks from that set.
Substitution is not recursive, so a `$` in an observation is plain text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template

from act_gym.errors import UnknownNameError, UsageError
from act_gym.types import Turn
from agents.prompts import shorten, shorten_alone

__all__ = ["DEFAULT", "PromptSet", "find_prompts"]

DEFAULT = "default"
_OBSERVED = re.compile(r"(alfworld|scienceworld|webshop)_\w+")
_PLACES = {
    "act": frozenset({"environment", "goal", "observation", "reply"}),
    "judge": frozenset({"first", "second"}),
    "judge_reasoning": frozenset({"first", "second"}),
}
_TURN = frozenset({"number", "observation", "action"})
_WINDOW = frozenset({"environment", "goal", "history", "taken", "shown", "step", "observation", "commands"})
_OPTIONAL = {"turn": _TURN, "window": _WINDOW, "window_first": _WINDOW}  # a template may leave some of these out


@dataclass(frozen=True)
class PromptSet:
    """Prompt set.

    Attributes:
        name: The set's name, or its folder.
        texts: The text of every file, by the name of the file without `.txt`.
    """

    name: str
    texts: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Sha256 of the acting texts with their names: all but those of `judge_digest`."""
        return self._digest(judging=False)

    @property
    def judge_digest(self) -> str:
        """Sha256 of the judging texts with their names."""
        return self._digest(judging=True)

    def _digest(self, *, judging: bool) -> str:
        names = (name for name in sorted(self.texts) if name.startswith("judge") == judging)
        return hashlib.sha256("".join(f"{name}\0{self.texts[name]}\0" for name in names).encode()).hexdigest()

    def opening(
        self, benchmark: str, goal: str, observation: str, reply: str, *, reasoning: bool = False, example: str = ""
    ) -> str:
        """Return the first message of an episode.

        Args:
            benchmark: For example `ALFWorld`.
            goal: The task.
            observation: The first observation.
            reply: The name of the reply format.
            reasoning: Whether the model reasons before its action.
            example: A few-shot example; it follows the text about the environment.

        Raises:
            UsageError: The set has no text for this reply format.
        """
        asked = self.reply(reply, reasoning=reasoning)
        environment = "\n\n".join([self.environment(benchmark), *filter(None, [example])])
        return self._filled("act", environment=environment, goal=goal, observation=observation, reply=asked)

    def reply(self, name: str, *, reasoning: bool = False) -> str:
        """Return how to answer in a reply format.

        Raises:
            UsageError: The set has no text for it.
        """
        asked = [f"reply_{name}_reasoning"] * reasoning + [f"reply_{name}"]
        found = next((self.texts[file] for file in asked if file in self.texts), None)
        if found is None:
            raise UsageError(f"The prompt set {self.name} has no file {asked[0]}.txt, which format={name} needs.")
        return found.strip()

    @property
    def has_window(self) -> bool:
        """Whether the set has its own layout of a window."""
        return "window" in self.texts

    def window(
        self,
        environment: str,
        goal: str,
        history: Sequence[Turn],
        observation: str,
        commands: Sequence[str],
        *,
        window: int,
        max_characters: int,
    ) -> str:
        """Return one message with the recent turns, in the set's own layout.

        `$taken` is the number of turns so far, `$shown` that of the shown ones, `$step` the number of this turn, and
        `$commands` the listed commands, each in quotes.

        Args:
            environment: Text about the environment.
            goal: The task.
            history: All earlier turns.
            observation: The current observation.
            commands: The commands to list.
            window: The number of recent turns shown.
            max_characters: Each earlier observation is cut to this length.
        """
        recent = history[-window:] if window else ()
        before = len(history) - len(recent)
        turns = [
            self._filled("turn", number=str(before + number), observation=text, action=turn.action)
            for number, turn in enumerate(recent, 1)
            for text in [shorten(turn.observation, max_characters)]
        ]
        return self._filled(
            "window" if history or "window_first" not in self.texts else "window_first",
            environment=environment,
            goal=goal,
            history="\n".join(turns),
            taken=str(len(history)),
            shown=str(len(recent)),
            step=str(len(history) + 1),
            observation=observation,
            commands=", ".join(f"'{command}'" for command in commands),
        )

    def environment(self, benchmark: str) -> str:
        """Return the description of a benchmark's environment and commands."""
        return (self.texts.get(benchmark.lower()) or self.texts["other"]).strip()

    def observed(self, benchmark: str, observation: str, texts: Mapping[str, str], limit: int) -> list[str]:
        """Return the texts about a state that follow its observation in the prompt.

        Args:
            benchmark: For example `ScienceWorld`, whose texts are `look` and `inventory`.
            observation: The observation; an equal text is omitted.
            texts: The texts by name.
            limit: The longest length of each, in characters.
        """
        return [
            self._filled(f"{benchmark.lower()}_{name}", text=shorten_alone(text, limit))
            for name, text in texts.items()
            if f"{benchmark.lower()}_{name}" in self.texts and text.strip() not in ("", observation.strip())
        ]

    def judge(self, first: str, second: str, *, reasoning: bool = False) -> str:
        """Return the question which of two actions is better; it follows the state.

        Raises:
            UsageError: The set has no judging text.
        """
        name = "judge_reasoning" if reasoning and "judge_reasoning" in self.texts else "judge"
        if name not in self.texts:
            raise UsageError(
                f"The prompt set {self.name} has no file judge.txt, which judging needs. "
                "Copy it from agents/prompt_sets/default and edit it."
            )
        return self._filled(name, first=first, second=second)

    def _filled(self, template: str, **values: str) -> str:
        return Template(self.texts[template]).substitute({name: text.strip() for name, text in values.items()}).strip()


def find_prompts(name: str) -> PromptSet:
    """Return a prompt set by its name or from a user's folder.

    Raises:
        UnknownNameError: No set or folder has that name.
        UsageError: The folder lacks a file, or a template lacks a placeholder.
    """
    own = Path(name).expanduser()
    return _read(name, str(own) if own.is_dir() else "")


@lru_cache(maxsize=16)
def _read(name: str, folder: str) -> PromptSet:
    sets = Path(__file__).parent / "prompt_sets"
    place = Path(folder) if folder else sets / name
    if not place.is_dir():
        known = sorted(entry.name for entry in sets.iterdir() if entry.is_dir() and not entry.name.startswith("_"))
        raise UnknownNameError("prompt set", name, (*known, "a folder of your own"))
    texts = {
        entry.name.removesuffix(".txt"): entry.read_text(encoding="utf-8")
        for entry in place.iterdir()
        if entry.name.endswith(".txt")
    }
    if "base" in texts:
        texts = {**find_prompts(texts.pop("base").strip()).texts, **texts}
    for needed in ("act", "other"):
        if needed not in texts:
            raise UsageError(
                f"The prompt set {name} has no file {needed}.txt. Copy agents/prompt_sets/default and edit it."
            )
    for template, text in texts.items():
        if template in _OPTIONAL:
            _check(name, template, text, _OPTIONAL[template], partly=True)
        elif template in _PLACES or _OBSERVED.fullmatch(template):
            _check(name, template, text, _PLACES.get(template, frozenset({"text"})))
    return PromptSet(name, texts)


def _check(name: str, template: str, text: str, expected: frozenset[str], *, partly: bool = False) -> None:
    """Check that a template has its placeholders, or with `partly` some of them, and no unknown ones."""
    try:
        places = frozenset(Template(text).get_identifiers())
        Template(text).substitute(dict.fromkeys(places, ""))
    except ValueError as cause:
        raise UsageError(
            f"{template}.txt of the prompt set {name} is not a template: {cause}. Write $$ for a $."
        ) from cause
    if places != expected and not (partly and places < expected):
        lacking, unknown = sorted(expected - places), sorted(places - expected)
        found = [f"lacks ${one}" for one in lacking] + [f"has the unknown place ${one}" for one in unknown]
        raise UsageError(
            f"{template}.txt of the prompt set {name} {' and '.join(found)}. "
            f"Expected {', '.join(f'${one}' for one in sorted(expected))}."
        )
