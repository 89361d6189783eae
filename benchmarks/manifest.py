"""What a run's manifest says of an evaluation: all that decides its numbers, and never a secret."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from act_gym.agent import Agent
from act_gym.benchmark import BENCHMARKS, Benchmark, parse_id
from act_gym.run import sha256_of
from benchmarks.plan import Plan
from benchmarks.suites import SUCCESS

__all__ = ["FORMAT", "evaluation_facts"]

FORMAT = 1
"""Of the manifest of an evaluation."""

_UPSTREAM = ("alfworld", "textworld", "fast-downward-textworld")


def evaluation_facts(plan: Plan, spec: str, options: Mapping[str, str], agent: Agent | None) -> dict[str, Any]:
    """Return what goes into the manifest beside versions, machine and revision.

    Args:
        plan: What is played.
        spec: How the agent was asked for, e.g. `local` or `my_module:MyAgent`.
        options: Its settings as they were given.
        agent: The agent, if this process made one. What it says of itself in a mapping `facts` is taken over:
            model, revision, hash of the weights, prompts, sampling.
    """
    names = sorted({parse_id(part.env_id)[0].name for part in plan.parts})
    return {
        "format": FORMAT,
        "suites": {part.name: part.facts() for part in plan.parts},
        "seeds": list(plan.seeds),
        "shard": "/".join(map(str, plan.shard)),
        "env_options": {name: value for name, value in plan.env_options.items() if name != "engine"},
        "success": {name: SUCCESS[name] for name in names},
        "simulators": {name: _simulator(BENCHMARKS[name], plan) for name in names},
        "agent": _agent(spec, options, agent),
    }


def _agent(spec: str, options: Mapping[str, str], agent: Agent | None) -> dict[str, Any]:
    said: dict[str, Any] = {"asked_for": spec, "options": dict(options)}
    if agent is not None:
        inner = getattr(agent, "agent", agent)  # a guarded one knows nothing of itself
        return {**said, "name": agent.name, **dict(getattr(inner, "facts", {}))}
    return {**said, "source_sha256": _source_hash(spec)}


def _source_hash(spec: str) -> str:
    """Return the sha256 of the file of `module:Class`; empty if it has none."""
    found = importlib.util.find_spec(spec.partition(":")[0])
    return sha256_of(Path(found.origin)) if found is not None and found.has_location and found.origin else ""


def _simulator(entry: Benchmark, plan: Plan) -> dict[str, Any]:
    engine = str(plan.env_options.get("engine") or next(iter(entry.engines)))
    own = {"engine": engine}
    packages = set(_UPSTREAM if engine == "textworld" else entry.packages)
    parts = [part for part in plan.parts if parse_id(part.env_id)[0] is entry]
    if any(parse_id(part.env_id)[1] in entry.generated_splits for part in parts):
        packages.add(entry.generator_package)
    found = {package: _version(package) for package in sorted(packages) if package}
    if entry.name == "WebShop":
        catalogues = sorted({_catalogue_of(part.env_id, plan.env_options) for part in parts})
        return {**own, **found, "catalogues": {name: _catalogue(name) for name in catalogues}}
    return {**own, **found}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _catalogue_of(env_id: str, env_options: Mapping[str, Any]) -> str:
    entry, split = parse_id(env_id)
    return "generated" if split in entry.generated_splits else str(env_options.get("catalogue", "1000"))


def _catalogue(name: str) -> dict[str, Any]:
    """Return what a catalogue is, and whether all its files are the official ones, byte for byte."""
    from act_gym.engines.webshop.catalogue import OFFICIAL
    from act_gym.engines.webshop.shops import shared_shop

    shop = shared_shop(name)
    details = shop.manifest["details"]
    other = list(details.get("not_official", ()))
    return {
        "sha256": shop.checksum,
        "source": shop.manifest["source"]["kind"],
        "official": name in OFFICIAL and "sha256" in details and not other,
        "not_official": other,
    }
