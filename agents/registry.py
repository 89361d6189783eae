"""Registry of agents: constructs one from its name, or from the import path of its class.

```
random                                    a baseline
local:decode=ranked,model=runs/x/final    one with settings
http://127.0.0.1:8000/v1:model=name       the agent chat with this base_url
my_agents:Careful                         a class, function or object of any importable module
my_agents:Careful:patience=3              with settings
careful                                   an agent of an installed package (entry points of the group act_gym.agents)
```

The first colon that is followed by `name=` begins the settings, so they never clash with `module:Class`; commas
separate them. Modules are imported lazily.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from act_gym.agent import Agent
from act_gym.config import imported
from act_gym.errors import ActGymError, UnknownNameError, UsageError, one_line

__all__ = ["AGENTS", "is_foreign", "make_agent", "parse_agent"]

T = TypeVar("T")

_ADDRESSES = ("http://", "https://")
_SETTINGS = re.compile(r":(?=[A-Za-z_]\w*=)")
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def parse_agent(spec: str) -> tuple[str, dict[str, str]]:
    """Split `local:decode=ranked,window=0` into the name and its settings; a package's agent becomes `module:Class`.

    Raises:
        UsageError: A setting does not have the form name=value.
    """
    parts = _SETTINGS.split(spec, maxsplit=1)
    options: dict[str, str] = {}
    for word in parts[1].split(",") if len(parts) > 1 else ():
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise UsageError(
                f"{word!r} in the agent {spec} is not a setting. Expected name=value, separated by commas."
            )
        options[name.strip()] = value.strip()
    return _plugins().get(parts[0], parts[0]), options


@cache
def _plugins() -> Mapping[str, str]:
    """Return `module:Class` of each agent of an installed package, by its name."""
    return {point.name: point.value for point in entry_points(group="act_gym.agents") if point.name not in AGENTS}


def make_agent(spec: str, options: Mapping[str, Any] | None = None) -> Agent:
    """Construct an agent.

    Args:
        spec: A name or an import path, with or without settings; see the module docstring.
        options: Further settings, which override those in `spec`. Strings are converted to the setting's type.

    Raises:
        UnknownNameError: The agent or a setting is unknown.
        UsageError: The module cannot be imported, the object is not an agent, or a setting has an invalid value.
        MissingDependencyError: A package that the agent needs is not installed.
    """
    name, settings = parse_agent(spec)
    merged: dict[str, Any] = {**settings, **(options or {})}
    if name.startswith(_ADDRESSES):
        return _chat({"base_url": name, **merged})
    if name in AGENTS:
        return AGENTS[name](merged)
    if ":" in name:
        return _foreign(name, merged)
    raise UnknownNameError("agent", name, (*AGENTS, *_plugins(), "module:Class"))


def _random(options: Mapping[str, Any]) -> Agent:
    from agents.baselines import RandomAgent

    _no_settings("random", options)
    return RandomAgent()


def _expert(options: Mapping[str, Any]) -> Agent:
    from agents.baselines import ExpertAgent

    _no_settings("expert", options)
    return ExpertAgent()


def _search(options: Mapping[str, Any]) -> Agent:
    from agents.search_expert import SearchExpert

    _no_settings("search", options)
    return SearchExpert()


def _local(options: Mapping[str, Any]) -> Agent:
    from agents.local.agent import LocalAgent, LocalSettings

    return LocalAgent(_settings("local", LocalSettings, options))


def _chat(options: Mapping[str, Any]) -> Agent:
    from agents.openai.agent import ChatAgent, ChatSettings

    return ChatAgent(_settings("chat", ChatSettings, options))


def _replay(options: Mapping[str, Any]) -> Agent:
    from agents.replay import ReplayAgent, ReplaySettings

    return ReplayAgent(_settings("replay", ReplaySettings, options))


AGENTS: Mapping[str, Callable[[Mapping[str, Any]], Agent]] = {
    "random": _random,
    "expert": _expert,
    "search": _search,
    "local": _local,
    "chat": _chat,
    "replay": _replay,
}
"""Every built-in agent by name."""


def is_foreign(spec: str) -> bool:
    """Return whether an agent is a user's own, `module:Class`."""
    name, _ = parse_agent(spec)
    return ":" in name and not name.startswith(_ADDRESSES)


def _settings(agent: str, kind: type[T], options: Mapping[str, Any]) -> T:
    """Build an agent's settings; the type of each default is the setting's type."""
    kinds = {field.name: type(field.default) for field in fields(kind)}  # type: ignore[arg-type]
    for name in options:
        if name not in kinds:
            raise UnknownNameError(f"setting of the agent {agent} named", name, kinds)
    return kind(**{name: _read(name, value, kinds[name]) for name, value in options.items()})


def _no_settings(name: str, options: Mapping[str, Any]) -> None:
    if options:
        raise UsageError(f"The agent {name} takes no settings; got {', '.join(options)}.")


def _read(name: str, value: Any, kind: type) -> Any:
    """Convert a setting given as text to its type."""
    if not isinstance(value, str):
        return value
    if kind is bool:
        if value.lower() not in _TRUTH:
            raise UsageError(f"The setting {name} is true or false; got {value!r}.")
        return _TRUTH[value.lower()]
    try:
        return kind(value)
    except ValueError as cause:
        raise UsageError(f"The setting {name} is of type {kind.__name__}; got {value!r}.") from cause


def _foreign(place: str, options: Mapping[str, Any]) -> Agent:
    """Construct the agent at `module:attribute`."""
    found = imported(place, "agent")
    if isinstance(found, type) or not hasattr(found, "act"):
        found = _call(found, place, options)
    elif options:
        raise UsageError(f"{place} is an agent already and takes no settings; got {', '.join(options)}.")
    if not callable(getattr(found, "act", None)) or not isinstance(getattr(found, "name", None), str):
        raise UsageError(f"{place} gives {type(found).__name__}, which has no name and act(views); see act_gym.Agent.")
    agent: Agent = found
    return agent


def _call(maker: Any, place: str, options: Mapping[str, Any]) -> Any:
    if not callable(maker):
        raise UsageError(
            f"{place} is {type(maker).__name__}; expected a class, a function that makes an agent, or one."
        )
    try:
        return maker(**options)
    except ActGymError:
        raise
    except TypeError as cause:
        raise UsageError(f"{place} cannot be made with the settings {dict(options)}: {cause}") from cause
    except Exception as cause:
        raise UsageError(f"{place} cannot be made: {one_line(cause)}") from cause
