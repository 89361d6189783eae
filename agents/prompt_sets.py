"""Prompt templates: what a model reads before an episode begins, as files that anyone can replace.

A prompt set is a folder:

| file | text |
|---|---|
| `alfworld.txt`, `scienceworld.txt`, `webshop.txt` | the environment and its commands |
| `other.txt` | the same for a benchmark without a file |
| `<benchmark>_<name>.txt` | a text about the state that costs no move, with `$text`; without the file it is not shown |
| `act.txt` | the opening of an episode, with `$environment`, `$goal`, `$observation` and `$reply` |
| `judge.txt`, `judge_reasoning.txt` | which of two actions is better, with `$first` and `$second`; follows the state |
| `reply_<format>.txt`, `reply_<format>_reasoning.txt` | how to answer; see `agents.reply_formats` |

Values are put into their places once and never read again, so an observation with a `$` in it is only text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template

from act_gym.errors import UnknownNameError, UsageError
from agents.prompts import shorten_alone

__all__ = ["DEFAULT", "PromptSet", "find_prompts"]

DEFAULT = "default"
_OBSERVED = re.compile(r"(alfworld|scienceworld|webshop)_\w+")
_PLACES = {
    "act": frozenset({"environment", "goal", "observation", "reply"}),
    "judge": frozenset({"first", "second"}),
    "judge_reasoning": frozenset({"first", "second"}),
}


@dataclass(frozen=True)
class PromptSet:
    """One set of prompt templates.

    Attributes:
        name: The set's name, or its folder.
        texts: The text of every file, by the name of the file without `.txt`.
    """

    name: str
    texts: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The sha256 of the texts of acting, with their names: all but those of `judge_digest`."""
        return self._digest(judging=False)

    @property
    def judge_digest(self) -> str:
        """The sha256 of the texts that follow a state when a model judges, with their names."""
        return self._digest(judging=True)

    def _digest(self, *, judging: bool) -> str:
        names = (name for name in sorted(self.texts) if name.startswith("judge") == judging)
        return hashlib.sha256("".join(f"{name}\0{self.texts[name]}\0" for name in names).encode()).hexdigest()

    def opening(self, benchmark: str, goal: str, observation: str, reply: str, *, reasoning: bool = False) -> str:
        """Return the first message of an episode.

        Args:
            benchmark: For example `ALFWorld`.
            goal: The task.
            observation: The first observation.
            reply: The name of the reply's format.
            reasoning: Whether the model reasons before it answers.

        Raises:
            UsageError: The set has no text for this reply.
        """
        asked = [f"reply_{reply}_reasoning"] * reasoning + [f"reply_{reply}"]
        found = next((self.texts[name] for name in asked if name in self.texts), None)
        if found is None:
            raise UsageError(f"The prompt set {self.name} has no file {asked[0]}.txt, which format={reply} needs.")
        environment = self.environment(benchmark)
        return self._filled("act", environment=environment, goal=goal, observation=observation, reply=found)

    def environment(self, benchmark: str) -> str:
        """Return what a benchmark's environment is, and which commands it takes."""
        return (self.texts.get(benchmark.lower()) or self.texts["other"]).strip()

    def observed(self, benchmark: str, observation: str, texts: Mapping[str, str], limit: int) -> list[str]:
        """Return the texts about a state that the set shows behind its observation.

        Args:
            benchmark: For example `ScienceWorld`, whose texts are `look` and `inventory`.
            observation: A text that equals it is left out.
            texts: By name.
            limit: Each is cut to so many characters.
        """
        return [
            self._filled(f"{benchmark.lower()}_{name}", text=shorten_alone(text, limit))
            for name, text in texts.items()
            if f"{benchmark.lower()}_{name}" in self.texts and text.strip() not in ("", observation.strip())
        ]

    def judge(self, first: str, second: str, *, reasoning: bool = False) -> str:
        """Return the question which of two actions is better, as it follows a state.

        Raises:
            UsageError: The set has no text for it.
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
    """Return a prompt set by its name, or a user's own from its folder.

    Raises:
        UnknownNameError: There is neither a set nor a folder of that name.
        UsageError: The folder lacks a file, or a template lacks a place.
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
    for needed in ("act", "other"):
        if needed not in texts:
            raise UsageError(
                f"The prompt set {name} has no file {needed}.txt. Copy agents/prompt_sets/default and edit it."
            )
    for template, text in texts.items():
        if template in _PLACES or _OBSERVED.fullmatch(template):
            _check(name, template, text, _PLACES.get(template, frozenset({"text"})))
    return PromptSet(name, texts)


def _check(name: str, template: str, text: str, expected: frozenset[str]) -> None:
    """Refuse a template that lacks a place, or has an unknown one."""
    try:
        places = frozenset(Template(text).get_identifiers())
        Template(text).substitute(dict.fromkeys(places, ""))
    except ValueError as cause:
        raise UsageError(
            f"{template}.txt of the prompt set {name} is no template: {cause}. Write $$ for a $."
        ) from cause
    if places != expected:
        lacking, unknown = sorted(expected - places), sorted(places - expected)
        found = [f"lacks ${one}" for one in lacking] + [f"has the unknown place ${one}" for one in unknown]
        raise UsageError(
            f"{template}.txt of the prompt set {name} {' and '.join(found)}. "
            f"Expected {', '.join(f'${one}' for one in sorted(expected))}."
        )
