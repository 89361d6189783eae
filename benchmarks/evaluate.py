"""Plays every task of some environments with an agent, and counts.

    act-gym eval --agent random --env act/ScienceWorld-seen act/ScienceWorld-unseen --out runs/random

Writes `episodes.jsonl` (everything that happened), `records.jsonl` (one flat line an episode) and
`summary.json`, and prints a table. Both files of records grow episode by episode, so a run that was
stopped continues with `--resume` where it was.

Agents without a model play in `--workers` processes; `local` answers `--num-envs` episodes at once in
this one. See docs/design/evaluation.md for what the numbers mean.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from act_gym.agent import Agent
from act_gym.arguments import parse, read_settings
from act_gym.benchmark import parse_id
from act_gym.core import Episode, Task
from act_gym.errors import UsageError
from act_gym.progress import track
from act_gym.records import RecordWriter, read_records
from act_gym.rollout import play
from act_gym.run import Run
from act_gym.selection import select_from
from agents.catalogue import make_agent, parse_agent
from agents.parallel import Guarded, play_parallel
from benchmarks.measurement import Summary
from benchmarks.scores import failures, flat_record, measure
from benchmarks.tables import show_summary

__all__ = ["Arguments", "main"]

Key = tuple[str, str, int]
"""What makes an episode: environment, task, seed."""


@dataclass(frozen=True)
class Arguments:
    """Play each task of each environment once per seed with one agent."""

    agent: str = "random"
    """`random`, `expert`, `local`, …, or your own as `module:Class`."""
    env: tuple[str, ...] = ("act/ScienceWorld-seen", "act/ScienceWorld-unseen")
    """Environments; `act-gym list` shows them all."""
    agent_options: tuple[str, ...] = ()
    """The agent's own settings as name=value, e.g. `decode=ranked model=runs/x/checkpoint`."""
    label: str = ""
    """What a comparison calls this run, e.g. `base`; the agent's name if empty."""
    env_options: tuple[str, ...] = ()
    """The environments' own settings as name=value, e.g. `catalogue=generated human_goals=true` for WebShop."""
    out: Path = Path("runs/eval")
    """The run folder."""
    task_types: tuple[str, ...] = ()
    """Only tasks of these types; all types if none is given."""
    per_type: int = 0
    """At most this many tasks of each type in each environment; 0 for all."""
    limit: int = 0
    """At most this many tasks of each environment, taken from its types in turn; 0 for all."""
    max_turns: int = 0
    """Step limit of an episode; 0 for the benchmark's own."""
    step_limit: str = ""
    """Instead, a limit that others report results under, e.g. `eto`, which has one for each type of task."""
    seeds: tuple[int, ...] = (0,)
    """Each task is played once with each of these."""
    workers: int = 0
    """Processes for agents without a model; 0 for one a core."""
    num_envs: int = 16
    """Episodes that a `local` agent answers at once."""
    keep_commands: bool = False
    """Whether episodes.jsonl keeps every turn's admissible commands, which are most of its size."""
    json: bool = False
    """Print the summary as JSON instead of a table."""
    resume: bool = False
    """Continue the run in the folder; finished episodes are not played again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(Arguments, sys.argv[1:] if argv is None else argv, program="act-gym eval")
    _check(arguments)
    chosen = select_from(
        arguments.env,
        task_types=arguments.task_types,
        per_type=arguments.per_type,
        limit=arguments.limit,
        env_options=_env_options(arguments),
    )
    make, model = _agent(arguments)  # before the folder is made, so that a mistake leaves nothing behind
    run = Run(arguments.out, "benchmarks.evaluate", arguments, resume=arguments.resume)
    finished = _finished(run)
    total = len(arguments.seeds) * sum(map(len, chosen.values()))
    episodes = track(
        _episodes(arguments, make, model, chosen, finished), arguments.agent, total=total, done=len(finished)
    )
    with RecordWriter(run.path("episodes.jsonl")) as full, RecordWriter(run.path("records.jsonl")) as flat:
        for episode in episodes:
            full.write(episode.to_json())
            flat.write(flat_record(episode))
    summary = _summary(arguments, run)
    summary.write(run.folder)
    show_summary(summary, as_json=arguments.json)
    return 0


def _check(arguments: Arguments) -> None:
    if arguments.max_turns < 0 or arguments.workers < 0 or arguments.num_envs < 1:
        raise UsageError("--max-turns and --workers are 0 or more, and --num-envs is at least 1.")
    if arguments.step_limit and arguments.max_turns:
        raise UsageError("--max-turns and --step-limit are two ways to say the same; give one of them.")
    for env_id in arguments.env if arguments.step_limit else ():
        parse_id(env_id)[0].step_limit(arguments.step_limit, "")
    for name in ("env", "seeds"):
        values = getattr(arguments, name)
        if not values or len(set(values)) != len(values):
            raise UsageError(f"--{name} needs at least one value and each only once; got {values}.")


def _finished(run: Run) -> set[Key]:
    """Return what was played already, and add the flat record that a kill may have kept from being written."""
    episodes, records = run.path("episodes.jsonl"), run.path("records.jsonl")
    if not episodes.exists():
        return set()
    recorded = {_key(record) for record in read_records(records)} if records.exists() else set()
    finished = set()
    with RecordWriter(records) as flat:
        for data in read_records(episodes):
            record = flat_record(Episode.from_json(data))
            finished.add(_key(record))
            if _key(record) not in recorded:
                flat.write(record)
    return finished


def _key(record: dict[str, Any]) -> Key:
    return record["env_id"], record["task_id"], record["seed"]


def _agent(arguments: Arguments) -> tuple[Callable[[], Agent], Agent | None]:
    """Return how a process makes its agent, and the agent itself if it is one that answers in batches.

    An agent of one's own is made in the processes alone: it may hold what only one can.
    """
    make = partial(make_agent, arguments.agent, dict(_option(word) for word in arguments.agent_options))
    name, _ = parse_agent(arguments.agent)
    made = None if ":" in name else Guarded(make())
    return make, made if name == "local" else None


def _episodes(
    arguments: Arguments,
    make: Callable[[], Agent],
    model: Agent | None,
    chosen: dict[str, tuple[Task, ...]],
    finished: set[Key],
) -> Iterator[Episode]:
    settings: dict[str, Any] = {"env_options": _env_options(arguments), "keep_commands": arguments.keep_commands}
    for seed in arguments.seeds:
        for env_id, tasks in chosen.items():
            waiting = [task for task in tasks if (env_id, task.id, seed) not in finished]
            if model is not None:
                yield from play(env_id, model, waiting, seed=seed, num_envs=arguments.num_envs, **settings)
            else:
                workers = arguments.workers or os.cpu_count() or 1
                yield from play_parallel(env_id, make, waiting, seed=seed, workers=workers, **settings)


def _env_options(arguments: Arguments) -> dict[str, Any]:
    options = read_settings(arguments.env_options, "--env-options")
    if arguments.step_limit:
        return {**options, "step_limit": arguments.step_limit, "max_episode_steps": -1}
    return {**options, "max_episode_steps": arguments.max_turns} if arguments.max_turns else options


def _option(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise UsageError(f"--agent-options takes name=value, e.g. decode=ranked; got {word!r}.")
    return name, value


def _summary(arguments: Arguments, run: Run) -> Summary:
    records = list(read_records(run.path("records.jsonl")))
    subject = next((record["agent"] for record in records if record["agent"]), arguments.agent)
    return Summary(
        kind="episodes",
        label=arguments.label or subject,
        subject=subject,
        measurements=measure(records, np.random.default_rng(0)),
        failures=failures(records),
    )


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
