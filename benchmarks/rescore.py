"""Works a run's numbers out again from its kept episodes: `act-gym rescore runs/eval`.

For runs of an earlier version, or after a metric was added: `episodes.jsonl` stays as it is, `records.jsonl` and
`summary.json` are written again. `--replay` plays each episode's actions again in engines that can plan (ALFWorld's and
WebShop's) and adds the first turn off the expert's plan and dead ends that the planner proves.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
from tyro.conf import Positional

from act_gym.config import parse
from act_gym.errors import EngineError
from act_gym.io.jsonl import read_records, write_records
from act_gym.io.run_dir import locked
from act_gym.rollout import make_env
from act_gym.types import Episode
from benchmarks.evaluate import EvalConfig, make_summary, plan_of, status_of
from benchmarks.merge import read_config
from benchmarks.reporting.tables import show_summary
from benchmarks.run.episode_store import Journal
from benchmarks.stats.failure_modes import plan_modes
from benchmarks.stats.scores import Key, key_of

__all__ = ["RescoreConfig", "main"]

_PLANNING = ("ALFWorld", "WebShop")


@dataclass(frozen=True)
class RescoreConfig:
    """Work a run's numbers out again from its kept episodes."""

    run: Positional[Path]
    """A run folder of `act-gym eval` or `act-gym merge`."""
    replay: bool = False
    """Play the actions again where the engine can plan: adds the first turn off the expert's plan, and dead ends."""
    json: bool = False
    """Print the summary as JSON instead of a table."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(RescoreConfig, sys.argv[1:] if argv is None else argv, program="act-gym rescore")
    folder = arguments.run
    config: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in read_config(folder).items()
    }
    asked = EvalConfig(**{**config, "out": folder})
    plan = plan_of(asked)
    with locked(folder, f"scoring {folder} again"), Journal(folder, plan.keys()) as journal:
        records = journal.finish()
        if arguments.replay:
            added = dict(_replayed(folder, plan.env_options))
            records = [{**record, **added.get(key_of(record), {})} for record in records]
            write_records(folder / "records.jsonl", records)
        summary = make_summary(records, plan, asked.label, asked.agent)
        summary.write(folder)
    show_summary(summary, as_json=arguments.json)
    return status_of(summary)


def _replayed(folder: Path, env_options: Mapping[str, Any]) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Yield the plan modes of each episode that can be played again; say on stderr how many cannot."""
    options = {name: value for name, value in env_options.items() if name != "step_limit"}
    envs: dict[str, gym.Env[str, str]] = {}
    failed: list[str] = []
    try:
        for data in read_records(folder / "episodes.jsonl"):
            episode = Episode.from_json(data)
            if episode.task.benchmark not in _PLANNING or episode.error:
                continue
            if episode.env_id not in envs:
                envs[episode.env_id] = make_env(episode.env_id, {**options, "max_episode_steps": -1})
            try:
                yield (episode.env_id, episode.task.id, episode.seed), plan_modes(episode, envs[episode.env_id])
            except EngineError as error:
                failed.append(str(error))
    finally:
        for env in envs.values():
            env.close()
    if failed:
        sys.stderr.write(f"{len(failed)} episodes have no plan to compare with; the first: {failed[0]}\n")


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
