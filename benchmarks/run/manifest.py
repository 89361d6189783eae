"""Manifest facts of an evaluation: everything that decides its numbers, and never a secret."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from act_gym.agent import Agent
from act_gym.benchmarks import BENCHMARKS, Benchmark, parse_id
from act_gym.errors import MissingDataError
from act_gym.io.run_dir import named_files, source_sha256
from act_gym.types import Task
from agents.registry import is_foreign, parse_agent
from benchmarks.protocols import protocol
from benchmarks.run.schedule import Plan
from benchmarks.suites import SIMULATORS, installed, simulator_of, success_of

__all__ = ["FORMAT", "data_facts", "evaluation_facts"]

FORMAT = 1
"""Of the manifest of an evaluation."""

_UPSTREAM = ("alfworld", "textworld", "fast-downward-textworld")


def evaluation_facts(plan: Plan, spec: str, options: Mapping[str, str], agent: Agent | None) -> dict[str, Any]:
    """Return the manifest's facts, without versions, machine and revision.

    Args:
        plan: The planned episodes.
        spec: How the agent was asked for, e.g. `local` or `my_module:MyAgent`.
        options: Its settings as they were given.
        agent: The agent, if this process made one. Its mapping `facts` is copied:
            model, revision, hash of the weights, prompts, sampling.
    """
    names = sorted({parse_id(part.env_id)[0].name for part in plan.parts})
    return {
        "format": FORMAT,
        "suites": {
            part.name: {**part.facts(), **data_facts(part.env_id, part.tasks, plan.env_options)} for part in plan.parts
        },
        "seeds": list(plan.seeds),
        "shard": "/".join(map(str, plan.shard)),
        **_if_any("protocol", protocol(plan.protocol).facts() if plan.protocol else {}),
        "env_options": {name: value for name, value in plan.env_options.items() if name != "engine"},
        **_if_any("env_option_files", named_files(plan.env_options)),
        "success": {name: success_of(name) for name in names},
        "simulators": {name: _simulator(BENCHMARKS[name], plan.env_options) for name in names},
        "agent": _agent(spec, options, agent),
    }


def _if_any(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dict(found)} if found else {}


def _agent(spec: str, options: Mapping[str, str], agent: Agent | None) -> dict[str, Any]:
    said: dict[str, Any] = {"asked_for": spec, "options": dict(options)}
    source: dict[str, Any] = {}
    if is_foreign(spec):
        source = {"source_sha256": source_sha256(parse_agent(spec)[0])}
        source |= _if_any("option_files", named_files({**parse_agent(spec)[1], **options}))
    if agent is None:
        return said | source
    inner = getattr(agent, "agent", agent)  # a guarded one knows nothing of itself
    return {**said, "name": agent.name, **dict(getattr(inner, "facts", {})), **source}


def _simulator(entry: Benchmark, env_options: Mapping[str, Any]) -> dict[str, Any]:
    engine = str(env_options.get("engine") or next(iter(entry.engines)))
    packages = _UPSTREAM if engine == "textworld" else entry.packages
    return {"engine": engine, **{package: _version(package) for package in packages}}


def data_facts(env_id: str, tasks: Sequence[Task], env_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tasks are made from on this machine, or whose answers they get.

    Args:
        env_id: Their environment.
        tasks: Which.
        env_options: Options for `gym.make`.

    Raises:
        MissingDataError: It is not here.
    """
    entry, split = parse_id(env_id)
    generated = split in entry.generated_splits
    if entry.name == "WebShop":
        name = "generated" if generated else str(env_options.get("catalogue", "1000"))
        return {"catalogue": {"name": name, **_catalogue(name)}}
    if generated:
        return {"generator": {entry.generator_package: _version(entry.generator_package)}}
    if entry.name == "ALFWorld":
        return {"games_sha256": _games(tasks, env_options.get("data"))}
    simulator = simulator_of(entry.name, installed(SIMULATORS.get(entry.name, "")))
    return {"simulator": simulator} if simulator else {}


def _games(tasks: Sequence[Task], data: str | None) -> str:
    """Return one sha256 over the game files of some tasks of ALFWorld, some 90 kB each."""
    from act_gym.engines.alfworld.files import GAME_FILE, games_folder

    folder = games_folder(data)
    total = hashlib.sha256()
    for task in tasks:
        path = folder / str(task.payload["game"]) / GAME_FILE
        try:
            total.update(hashlib.sha256(path.read_bytes()).digest())
        except FileNotFoundError as cause:
            raise MissingDataError(f"ALFWorld's game {path} is not here. Run: act-gym download alfworld") from cause
    return total.hexdigest()


def _version(package: str) -> str:
    return installed(package) or "absent"


def _catalogue(name: str) -> dict[str, Any]:
    """Return what a catalogue is, and whether all its files are the official ones, byte for byte."""
    from act_gym.engines.webshop.catalogue import OFFICIAL
    from act_gym.engines.webshop.shop_cache import shared_shop

    shop = shared_shop(name)
    details = shop.manifest["details"]
    other = list(details.get("not_official", ()))
    return {
        "sha256": shop.checksum,
        "source": shop.manifest["source"]["kind"],
        "official": name in OFFICIAL and "sha256" in details and not other,
        "not_official": other,
    }
