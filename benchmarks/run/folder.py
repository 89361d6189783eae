"""Opens the run folder of an evaluation: new, continued, with more tasks, or after the agent's code was mended."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from act_gym.errors import RunError
from act_gym.io.run_dir import FREE_ARGUMENTS, Run, differences, has_grown, has_records
from benchmarks.run.episode_store import read_stops
from benchmarks.run.schedule import Key, Plan

if TYPE_CHECKING:
    from benchmarks.evaluate import EvalConfig

__all__ = ["LEAVES", "open_run"]

LEAVES = ("episodes.jsonl", "records.jsonl", "summary.json", "plots")
"""Files of an evaluation's folder, without `config.json` and `manifest.json`."""

_GROWING = ("limit", "per_type")


def open_run(
    arguments: EvalConfig,
    plan: Plan,
    facts: Mapping[str, Any],
    facts_of: Callable[[EvalConfig], Mapping[str, Any]],
) -> Run:
    """Open the run folder that the arguments name; `act_gym.io.run_dir.Run` lists the errors.

    Three things may differ from the first start: `--limit` and `--per-type` may grow where the played
    episodes are part of the new plan; and the code of the user's agent may have changed where all that is left to
    play ended with an error, or nothing else was played.

    Args:
        arguments: Settings of the program.
        plan: Their plan.
        facts: Its facts for the manifest.
        facts_of: Returns the facts under other arguments.
    """
    folder, then, now = arguments.out, dict(facts), dict(facts)
    if arguments.resume and (folder / "config.json").exists() and has_records(folder / LEAVES[0]):
        earlier = _earlier(arguments)
        played = read_stops(folder)
        if earlier != arguments:
            then = dict(facts_of(earlier))
            planned = set(plan.keys())
            other = next((key for key in played if key not in planned), None)
            if other is not None:
                raise RunError(
                    f"{folder} has episodes that are not part of this plan, e.g. {other[1]} with seed "
                    f"{other[2]}. Continue it with the limits it was made with, or choose another --out."
                )
        _admit_other_source(arguments, plan, played, then, now)
    return Run(
        folder,
        "benchmarks.evaluate",
        arguments,
        facts=now,
        facts_then=then,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        leaves=LEAVES,
        growing=_GROWING,
    )


def _earlier(arguments: EvalConfig) -> EvalConfig:
    """Return the arguments with the smaller limits of the folder's first start, if nothing else differs."""
    config, now = _json(arguments, "config.json"), json.loads(json.dumps(asdict(arguments), default=str))
    grown = {name: config[name] for name in _GROWING if name in config and has_grown(config[name], now[name])}
    return arguments if differences(config, now, skip=FREE_ARGUMENTS | set(grown)) else replace(arguments, **grown)


def _admit_other_source(
    arguments: EvalConfig, plan: Plan, played: Mapping[Key, bool], then: dict[str, Any], now: dict[str, Any]
) -> None:
    """Let an agent's changed code play again what its former code failed at; the manifest then names both.

    Raises:
        RunError: It would add new episodes to episodes of the former code.
    """
    new = now["agent"].get("source_sha256")
    agent = _json(arguments, "manifest.json").get("agent", {})
    former = [agent.get("source_sha256"), *agent.get("retried_with", ())]
    if new is None or former[0] is None:
        return
    kept = {key for key, failed in played.items() if not failed or arguments.keep_errors}
    if not kept:
        then["agent"] = {**then["agent"], "source_sha256": former[0], **_also(former[1:])}
        return
    hashes = former if new in former else [*former, new]
    planned = plan.keys()
    left = [key for key in planned if key not in kept]
    if new != former[-1] and any(key not in played for key in left):
        raise RunError(
            f"The code of the agent {arguments.agent} has changed since {len(kept)} episodes of {arguments.out} were "
            "played. Changed code may only try again what ended with an error, and here other episodes were not "
            "played yet. Start again with --overwrite, choose another --out, or take the change back."
        )
    then["agent"] = {**then["agent"], "source_sha256": former[0], **_also(former[1:])}
    now["agent"] = {**now["agent"], "source_sha256": former[0], **_also(hashes[1:] if left else former[1:])}


def _also(hashes: list[str]) -> dict[str, list[str]]:
    return {"retried_with": hashes} if hashes else {}


def _json(arguments: EvalConfig, name: str) -> dict[str, Any]:
    try:
        value = json.loads((arguments.out / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # `Run` says so
    return value if isinstance(value, dict) else {}
