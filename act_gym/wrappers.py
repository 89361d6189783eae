"""Wrappers by name: recent turns and admissible commands in the observation, reasoning in the action, other commands.

    env = act_gym.wrappers.wrap(gym.make("act/ALFWorld-unseen"), ["interface:kind=renamed", "commands:most=50"])
    act-gym eval --wrappers commands:most=50 my_module:MyWrapper …

The first wrapper is the innermost one. `module:Class` is one of your own; settings follow as `name=value`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import gymnasium as gym

from act_gym.config import imported
from act_gym.engine import LazyTuple
from act_gym.errors import UnknownNameError, UsageError

__all__ = ["INTERFACES", "WRAPPERS", "AdmissibleList", "History", "Interface", "ThinkAction", "wrap"]

Text = gym.Env[str, str]


class History(gym.Wrapper[str, str, str, str]):
    """Puts the recent turns before the observation.

    Args:
        env: The environment.
        turns: How many; 0 for all.
    """

    def __init__(self, env: Text, turns: int = 3) -> None:
        super().__init__(env)
        if turns < 0:
            raise UsageError(f"turns of the wrapper history is 0 (all) or more; got {turns}.")
        self._most = turns
        self._turns: list[str] = []
        self._now = ""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start a task; there are no earlier turns."""
        self._now, info = self.env.reset(seed=seed, options=options)
        self._turns = []
        return self._now, info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take a step and return the recent turns with the new observation."""
        self._turns.append(f"{self._now}\n> {action}")
        self._now, reward, terminated, truncated, info = self.env.step(action)
        shown = self._turns[-self._most :] if self._most else self._turns
        return "\n\n".join([*shown, self._now]), float(reward), terminated, truncated, info


class AdmissibleList(gym.Wrapper[str, str, str, str]):
    """Puts the admissible commands after the observation.

    Args:
        env: The environment.
        most: The largest number of commands; 0 for all.
    """

    def __init__(self, env: Text, most: int = 0) -> None:
        super().__init__(env)
        self._most = most

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start a task."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._listed(observation, info), info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take a step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._listed(observation, info), float(reward), terminated, truncated, info

    def _listed(self, observation: str, info: Mapping[str, Any]) -> str:
        commands = info["admissible_commands"]
        shown = commands[: self._most] if self._most else commands
        return f"{observation}\n\nPossible actions: {'; '.join(shown)}" if shown else observation


class ThinkAction(gym.Wrapper[str, str, str, str]):
    """Takes whole replies such as `<think>…</think><action>look</action>`, which need exactly one action."""

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take the step that the reply asks for."""
        spoken = re.sub(r"<think>.*?(?:</think>|\Z)", "", action, flags=re.DOTALL)
        found = re.findall(r"<action>(.*?)</action>", spoken, re.DOTALL)
        chosen = " ".join(found[0].split()) if len(found) == 1 else ""
        observation, reward, terminated, truncated, info = self.env.step(chosen)
        return observation, float(reward), terminated, truncated, info


# Benchmark: the simulator's command, the renamed one, and the one that merges several into one verb. Written for this
# project; a study of such shifts is arXiv 2606.25447, with 13 tools renamed, or merged into 5.
_COMMANDS: Mapping[str, Sequence[tuple[str, str, str]]] = {
    "ALFWorld": (
        ("inventory", "check pockets", "sense inventory"),
        ("look", "survey", "sense room"),
        ("help", "assist", "sense help"),
        ("go to {a}", "walk up to {a}", "visit {a}"),
        ("take {a} from {b}", "grab {a} off {b}", "transfer {a} from {b} to hand"),
        ("move {a} to {b}", "place {a} onto {b}", "transfer {a} from hand to {b}"),
        ("open {a}", "unseal {a}", "toggle {a} open"),
        ("close {a}", "shut {a}", "toggle {a} closed"),
        ("heat {a} with {b}", "warm {a} using {b}", "process {a} hot with {b}"),
        ("cool {a} with {b}", "chill {a} using {b}", "process {a} cold with {b}"),
        ("clean {a} with {b}", "rinse {a} using {b}", "process {a} clean with {b}"),
        ("use {a}", "operate {a}", "process {a} on"),
        ("examine {a}", "inspect {a}", "sense {a}"),
    ),
    "ScienceWorld": (
        ("look around", "survey", "sense room"),
        ("inventory", "check pockets", "sense inventory"),
        ("task", "goal", "sense task"),
        ("look at {a}", "inspect {a}", "sense outside of {a}"),
        ("look in {a}", "peek into {a}", "sense inside of {a}"),
        ("read {a}", "study {a}", "sense text of {a}"),
        ("go to {a}", "walk up to {a}", "visit {a}"),
        ("pick up {a}", "grab {a}", "transfer {a} to hand"),
        ("put down {a}", "lay down {a}", "transfer {a} to floor"),
        ("move {a} to {b}", "place {a} onto {b}", "transfer {a} by moving to {b}"),
        ("pour {a} into {b}", "tip {a} into {b}", "transfer {a} by pouring to {b}"),
        ("open {a}", "unseal {a}", "toggle {a} open"),
        ("close {a}", "shut {a}", "toggle {a} closed"),
        ("activate {a}", "switch on {a}", "toggle {a} on"),
        ("deactivate {a}", "switch off {a}", "toggle {a} off"),
        ("connect {a} to {b}", "wire {a} with {b}", "toggle {a} connected to {b}"),
        ("disconnect {a}", "unwire {a}", "toggle {a} disconnected"),
        ("use {a} on {b}", "apply {a} onto {b}", "process {b} with {a}"),
        ("mix {a}", "stir {a}", "process {a} by mixing"),
        ("focus on {a}", "attend to {a}", "process {a} by focusing"),
        ("wait1", "pause once", "process time once"),
        ("wait", "pause", "process time"),
    ),
    "WebShop": (
        ("search[{a}]", "find[{a}]", "do[search {a}]"),
        ("click[{a}]", "press[{a}]", "do[click {a}]"),
    ),
}
INTERFACES = ("original", "renamed", "merged")


class Interface(gym.Wrapper[str, str, str, str]):
    """Renames the commands, or merges several into one verb: an interface shift.

    The simulator's own wording is no longer understood. `info["admissible_commands"]`, the expert's commands and plans
    are in the new words; observations stay as they are. A command without another wording keeps its own.

    Args:
        env: The environment.
        kind: One of `INTERFACES`.

    Raises:
        UnknownNameError: There is no such interface.
        UsageError: The benchmark has only its own words.
    """

    def __init__(self, env: Text, kind: str = "renamed") -> None:
        super().__init__(env)
        if kind not in INTERFACES:
            raise UnknownNameError("interface", kind, INTERFACES)
        inner: Any = env.unwrapped
        benchmark = inner.tasks[0].benchmark
        if kind != "original" and benchmark not in _COMMANDS:
            raise UsageError(f"{benchmark} has no other commands; interface= is for {', '.join(_COMMANDS)}.")
        self._kind, self._benchmark = kind, benchmark

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start a task."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, self._renamed(info)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take the step that the action means; the empty command if it is in the simulator's own words."""
        observation, reward, terminated, truncated, info = self.env.step(self.meaning(action))
        return observation, float(reward), terminated, truncated, self._renamed(info)

    def meaning(self, action: str) -> str:
        """Return the simulator's command for an action."""
        if self._kind == "original" or not isinstance(action, str):
            return action
        pairs = _patterns(self._benchmark, self._kind)
        text = " ".join(action.split())
        meant = next((_filled(own, found) for own, other in pairs if (found := other[0].fullmatch(text))), None)
        if meant is not None:
            return meant
        return "" if any(own[0].fullmatch(text) for own, _ in pairs) else action

    def wording(self, command: str) -> str:
        """Return a command of the simulator in the words of this interface."""
        if self._kind == "original":
            return command
        pairs = _patterns(self._benchmark, self._kind)
        return next((_filled(other, found) for own, other in pairs if (found := own[0].fullmatch(command))), command)

    def expert_commands(self) -> tuple[str, ...]:
        """Return commands that solve the task from its start, in these words. Privileged."""
        return tuple(map(self.wording, self.env.get_wrapper_attr("expert_commands")()))

    def plan(self) -> tuple[str, ...]:
        """Return commands that solve the task from here, in these words. Privileged."""
        return tuple(map(self.wording, self.env.get_wrapper_attr("plan")()))

    def _renamed(self, info: dict[str, Any]) -> dict[str, Any]:
        commands = info["admissible_commands"]  # as lazy as the simulator's own
        return {**info, "admissible_commands": LazyTuple(lambda: tuple(sorted(set(map(self.wording, commands)))))}


_Pattern = tuple[re.Pattern[str], str]


@cache
def _patterns(benchmark: str, kind: str) -> tuple[tuple[_Pattern, _Pattern], ...]:
    column = INTERFACES.index(kind)
    return tuple((_pattern(row[0]), _pattern(row[column])) for row in _COMMANDS[benchmark])


def _pattern(template: str) -> _Pattern:
    written = re.escape(template).replace(r"\{a\}", "(?P<a>.+?)").replace(r"\{b\}", "(?P<b>.+)")
    return re.compile(written, re.DOTALL), template


def _filled(pattern: _Pattern, found: re.Match[str]) -> str:
    return pattern[1].format(**found.groupdict())


WRAPPERS: Mapping[str, Callable[..., Text]] = {
    "history": History,
    "commands": AdmissibleList,
    "think-action": ThinkAction,
    "interface": Interface,
}
"""The wrappers of this project by name."""


def wrap(env: Text, specs: Sequence[str]) -> Text:
    """Wrap an environment.

    Args:
        env: The environment.
        specs: Names or `module:Class`, with or without settings, the innermost first.

    Raises:
        UnknownNameError: There is no such wrapper.
        UsageError: A module cannot be imported, or a wrapper does not take its settings.
    """
    for spec in (specs,) if isinstance(specs, str) else specs:
        name, *words = re.split(r":(?=\w+=)|,", spec)
        settings = dict(word.partition("=")[::2] for word in words)
        if name not in WRAPPERS and ":" not in name:
            raise UnknownNameError("wrapper", name, (*WRAPPERS, "module:Class"))
        make = WRAPPERS[name] if name in WRAPPERS else imported(name, "wrapper")
        try:
            env = make(env, **{key: int(value) if value.isdecimal() else value for key, value in settings.items()})
        except TypeError as cause:
            raise UsageError(f"The wrapper {name} cannot be made with {settings}: {cause}.") from cause
    return env
