"""Evaluation protocols: the settings under which other work reports its numbers, each under one name.

    act-gym protocols
    act-gym eval --protocol verl-agent --agent local --model runs/x/checkpoint --out runs/x-verl-agent

A protocol is a file in `benchmarks/protocols/` with its source. It fixes suites, step limit, prompt set, reply format,
history, listed commands and sampling, and names the metric that its papers report. `unlike` lists how it still differs
from the published program. Prompts are written for this project in the published structure.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from act_gym.config import parse, read_settings
from act_gym.errors import CorruptDataError, UnknownNameError, UsageError
from agents.registry import parse_agent
from benchmarks.suites import suite

if TYPE_CHECKING:
    from benchmarks.evaluate import EvalConfig

__all__ = ["Protocol", "ProtocolsConfig", "agent_settings", "applied", "main", "protocol", "protocols", "takes_setting"]

FOLDER = Path(__file__).with_name("protocols")

_FREE_OPTIONS = ("engine", "data")  # of environments; they say where a game comes from, not which


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One protocol as its file has it.

    Attributes:
        name: The file's name.
        title: Whose protocol it is.
        source: Paper and program.
        suites: The full panel.
        step_limit: A named step limit of the benchmarks; empty for the suites' own.
        scorer: The metric that its papers report, for each benchmark.
        agent: Settings of the agents `local` and `chat`.
        sample: How the published runs draw tasks from the panel: `size`, and `replace` for independent draws. Empty if
            they play it whole.
        unlike: How it still differs from the published program.
        sha256: Of all of these, without `title` and `unlike`.
    """

    name: str
    title: str
    source: str
    suites: tuple[str, ...]
    step_limit: str
    scorer: Mapping[str, str]
    agent: Mapping[str, Any]
    sample: Mapping[str, Any] = field(default_factory=dict)
    unlike: tuple[str, ...] = ()
    sha256: str = ""

    def facts(self) -> dict[str, Any]:
        """Return what a manifest says of it: all that could make two runs differ."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "step_limit": self.step_limit,
            "sample": dict(self.sample),
            "scorer": dict(self.scorer),
            "agent": dict(self.agent),
        }


@cache
def protocols() -> Mapping[str, Protocol]:
    """Return every protocol by its name."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.yaml"))}


def protocol(name: str) -> Protocol:
    """Return a protocol by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in protocols():
        raise UnknownNameError("protocol", name, protocols())
    return protocols()[name]


def _read(path: Path) -> Protocol:
    import yaml

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    decisive = {name: value for name, value in content.items() if name not in ("title", "unlike", "source")}
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    lists: dict[str, Any] = {name: tuple(content.pop(name, ())) for name in ("suites", "unlike")}
    try:
        return Protocol(name=path.stem, sha256=digest, **lists, **content)
    except TypeError as cause:
        raise CorruptDataError(f"{path} is not a protocol: {cause}.") from cause


def applied(arguments: EvalConfig) -> EvalConfig:
    """Return the settings of an evaluation with those of its protocol filled in; unchanged without one.

    Raises:
        UnknownNameError: There is no such protocol.
        UsageError: A setting contradicts the protocol.
    """
    if not arguments.protocol:
        return arguments
    chosen = protocol(arguments.protocol)
    for name in arguments.suite:
        if name not in chosen.suites:
            raise _contradicts(chosen, "--suite", name, f"one or several of {', '.join(chosen.suites)}")
    if arguments.env:
        raise _contradicts(chosen, "--env", " ".join(arguments.env), f"the suites {', '.join(chosen.suites)}")
    if arguments.max_turns:
        raise _contradicts(chosen, "--max-turns", arguments.max_turns, chosen.step_limit or "the suites' own limits")
    if arguments.step_limit not in ("", chosen.step_limit):
        raise _contradicts(chosen, "--step-limit", arguments.step_limit, chosen.step_limit or "the suites' own limits")
    if arguments.interface != "original":
        raise _contradicts(chosen, "--interface", arguments.interface, "the original commands")
    if arguments.wrappers:
        raise _contradicts(chosen, "--wrappers", " ".join(arguments.wrappers), "none")
    for name, value in read_settings(arguments.env_options, "--env-options").items():
        if name not in _FREE_OPTIONS:
            raise _contradicts(chosen, f"--env-options {name}", value, "the environments' defaults")
    return replace(arguments, suite=arguments.suite or chosen.suites, step_limit=chosen.step_limit)


def agent_settings(name: str, spec: str, options: Mapping[str, str]) -> dict[str, str]:
    """Return an agent's settings with those of a protocol, as text.

    Only agents that ask a model in a prompt of this project take them: `local`, `chat` and a server's address. Any
    other agent keeps its own, and only the tasks, the limits and the scoring are the protocol's.

    Args:
        name: The protocol; empty for none.
        spec: How the agent was asked for.
        options: Its settings as they were given.

    Raises:
        UsageError: A setting contradicts the protocol.
    """
    agent, own = parse_agent(spec)
    taken = _settings_of(agent) if name else ()
    if not taken:
        return dict(options)
    chosen = protocol(name)
    fixed = {key: _text(value) for key, value in chosen.agent.items() if key in taken}
    for key, value in {**own, **options}.items():
        if key in fixed and _text(value).lower() != fixed[key] and not _same_number(value, fixed[key]):
            raise _contradicts(chosen, f"the agent's setting {key}", value, fixed[key])
    return {**options, **fixed}


def takes_setting(spec: str, name: str) -> bool:
    """Return whether an agent asks a model in a prompt of this project and has a setting of this name."""
    return name in _settings_of(parse_agent(spec)[0])


def _settings_of(agent: str) -> tuple[str, ...]:
    """Return the names of the settings of an agent that asks a model; empty for any other."""
    if agent == "local":
        from agents.local.agent import LocalSettings

        return tuple(each.name for each in fields(LocalSettings))
    if agent == "chat" or agent.startswith(("http://", "https://")):
        from agents.openai.agent import ChatSettings

        return tuple(each.name for each in fields(ChatSettings))
    return ()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _same_number(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _contradicts(chosen: Protocol, setting: str, value: object, expected: str) -> UsageError:
    return UsageError(
        f"{setting} is {value!r}, but the protocol {chosen.name} fixes it: {expected}. Leave {setting} out, or play "
        "without --protocol; act-gym protocols shows what each protocol fixes."
    )


@dataclass(frozen=True)
class ProtocolsConfig:
    """Show every evaluation protocol with its settings, side by side."""

    json: bool = False
    """Print one JSON list instead of a table; it also says how each differs from the published program."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(ProtocolsConfig, sys.argv[1:] if argv is None else argv, program="act-gym protocols")
    if arguments.json:
        sys.stdout.write(json.dumps([asdict(each) for each in protocols().values()], indent=2) + "\n")
        return 0
    rows = [("setting", *protocols()), *_rows()]
    if sys.stdout.isatty():
        _print_table(rows)
    else:
        sys.stdout.writelines("\t".join(row) + "\n" for row in rows)
    return 0


def _rows() -> list[tuple[str, ...]]:
    """Return one row for each setting, with a cell for each protocol."""
    every = list(protocols().values())
    rows = [
        ("suites", *(", ".join(each.suites) for each in every)),
        ("steps", *(_steps(each) for each in every)),
        *((name, *(_text(each.agent.get(name, "")) for each in every)) for name in _agent_names(every)),
        ("scorer", *(", ".join(f"{key}: {value}" for key, value in each.scorer.items()) for each in every)),
        ("sample", *(_sample(each) for each in every)),
        ("source", *(each.source for each in every)),
        ("sha256", *(each.sha256[:12] for each in every)),
    ]
    return [tuple(row) for row in rows]


def _agent_names(every: Sequence[Protocol]) -> list[str]:
    return list(dict.fromkeys(name for each in every for name in each.agent if name != "decode"))


def _steps(chosen: Protocol) -> str:
    """Return the step limits, benchmark by benchmark."""
    found: dict[str, str] = {}
    for each in map(suite, chosen.suites):
        limits = each.limits(chosen.step_limit)
        found[each.benchmark] = str(limits) if isinstance(limits, int) else "by task type"
    return ", ".join(f"{name}: {limit}" for name, limit in found.items())


def _sample(chosen: Protocol) -> str:
    if not chosen.sample:
        return "all tasks"
    how = "independent draws" if chosen.sample["replace"] else "different tasks"
    return f"{chosen.sample['size']} {how}"


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table, markup=False)


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
