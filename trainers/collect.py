"""Demonstration collection: plays an expert, or any agent, and keeps the episodes.

    act-gym train collect --env act/ScienceWorld-train-seen --per-type 4 --out runs/x/collect
    act-gym train collect --env act/ALFWorld-train --agent search --detours 0.2 --out runs/x/collect

This is the first stage of a training. Every turn carries a label, the action that imitation learns there: the agent's
own, also where a detour played another one. The stage writes `episodes.jsonl` in the order of the tasks, independent of
the number of processes. `failures.jsonl` lists the episodes that were left out because they did not succeed, with the
cause.

Every turn carries the whole list of admissible commands by default: the alternatives of `trainers.pairs`
and the reward of `trainers.rl` need it, and a sample would call most admissible actions inadmissible.
The list is most of the file's size (see docs/design/evaluation.md); `--max-commands` keeps a sample instead.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal
from zlib import crc32

import gymnasium as gym
import numpy as np

from act_gym.benchmarks import parse_id
from act_gym.config import Bound, NotNegative, Positive, Seed, check_bounds, parse, read_settings
from act_gym.engine import planning
from act_gym.env import TextEnv
from act_gym.errors import UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.io.run_dir import Run, named_files
from act_gym.progress import track
from act_gym.rollout import Job, play_jobs
from act_gym.sampling import select_from
from act_gym.types import Episode, Task, Turn
from agents.mixture import MistakenAgent, MixtureAgent
from agents.registry import make_agent
from agents.workers.processes import play_jobs_parallel
from trainers.run.cleanup import discard_unstarted

__all__ = ["CollectConfig", "check_labels", "in_order", "main", "play"]

MODEL_EPISODES = 32  # that one local model plays at once


@dataclass(frozen=True)
class CollectConfig:
    """Play an expert on tasks of one or more environments and keep its episodes."""

    env: tuple[str, ...] = ("act/ScienceWorld-train-seen",)
    """Environments whose tasks are played; a task that two of them share is played once."""
    task_types: tuple[str, ...] = ()
    """Only tasks of these types, in all environments; all types if none is given."""
    per_type: NotNegative = 0
    """At most this many tasks of each type in each environment; 0 for all."""
    limit: NotNegative = 0
    """At most this many tasks of each environment, taken from its types in turn; 0 for all."""
    seed: Seed = 0
    """Which tasks are chosen, and the seed of every episode."""
    env_options: tuple[str, ...] = ()
    """The environments' own settings as name=value, e.g. `catalogue=generated` for WebShop."""
    out: Path = Path("runs/collect")
    """The run folder."""
    agent: str = "expert"
    """Who plays: `expert` (knows the solution), `search` (ALFWorld, knows what it has seen), or any agent of
    `act-gym eval` with its settings, e.g. `local:model=runs/x/checkpoint,temperature=1` for rejection sampling."""
    episodes_per_task: Positive = 1
    """Episodes of each task, with the seeds seed, seed + 1, …"""
    detours: Annotated[float, Bound(least=0, below=1)] = 0.0
    """Share of turns, 0-1, that play a random admissible command instead of the agent's; the label stays the agent's.
    So the data shows how to recover from states that the agent alone never reaches."""
    mistakes: Annotated[float, Bound(least=0, below=1)] = 0.0
    """Share of turns, 0-1, that play a command which the game does not accept, such as one without its number; the
    label stays the agent's. So the data shows how to recover from a mistake, which a model otherwise repeats."""
    labels: Literal["agent", "search", "expert"] = "agent"
    """Who labels each state with the action to learn: the agent, or an expert that watches it play. `search` knows what
    the episode has shown (ALFWorld); `expert` plans with the whole state (ALFWorld, WebShop). Episodes that an expert
    labelled are kept whether they succeed or not."""
    max_turns: Positive = 300
    """Step limit. Above the benchmarks' own, because some expert solutions are longer than those."""
    max_commands: NotNegative = 0
    """Admissible commands kept for each turn: a uniform sample that holds the expert's; 0 for all."""
    keep_failures: bool = False
    """Whether episodes without success are kept as well."""
    workers: Positive = 1
    """Processes that play at once, each with its own simulator."""
    resume: bool = False
    """Continue the run in the folder; tasks that were finished are not played again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    play(parse(CollectConfig, sys.argv[1:] if argv is None else argv, program="act-gym train collect"))
    return 0


@discard_unstarted
def play(arguments: CollectConfig) -> None:
    """Play the remaining episodes, and write the summary of the run to stdout.

    Raises:
        UsageError: The arguments do not fit together.
    """
    check_bounds(arguments)
    if arguments.detours + arguments.mistakes >= 1:
        raise UsageError(
            f"--detours {arguments.detours:g} and --mistakes {arguments.mistakes:g} leave no turn to the agent; "
            "their sum must be below 1."
        )
    if arguments.labels != "agent":
        check_labels(arguments.env, arguments.labels, read_settings(arguments.env_options, "--env-options"))
    chosen = _choose(arguments)
    facts = {"env_option_files": named_files(_env_options(arguments))}
    run = Run(arguments.out, "trainers.collect", arguments, facts=facts, resume=arguments.resume)
    finished = _finished(run)
    with RecordWriter(run.path("episodes.jsonl")) as kept, RecordWriter(run.path("failures.jsonl")) as failed:
        for episode in _play(arguments, chosen, finished):
            if episode.success or arguments.keep_failures or arguments.labels != "agent":
                kept.write(_thin(episode, arguments).to_json())
            else:
                failed.write(_failure(episode))
    sys.stdout.write(_summary(run))


def _choose(arguments: CollectConfig) -> list[tuple[str, Task]]:
    splits = select_from(
        arguments.env,
        task_types=arguments.task_types,
        per_type=arguments.per_type,
        limit=arguments.limit,
        seed=arguments.seed,
        env_options=_env_options(arguments),
    )
    chosen: dict[str, tuple[str, Task]] = {}
    for env_id, tasks in splits.items():
        for task in tasks:
            chosen.setdefault(task.id, (env_id, task))
    return list(chosen.values())


def _finished(run: Run) -> set[tuple[str, int]]:
    """Return the tasks, with their seeds, that need not be played again."""
    episodes, failures = run.path("episodes.jsonl"), run.path("failures.jsonl")
    done = {(record["task"]["id"], record["seed"]) for record in read_records(episodes)} if episodes.exists() else set()
    return (
        done | {(record["task_id"], record["seed"]) for record in read_records(failures)} if failures.exists() else done
    )


def _play(
    arguments: CollectConfig, chosen: list[tuple[str, Task]], finished: set[tuple[str, int]]
) -> Iterator[Episode]:
    seeds = range(arguments.seed, arguments.seed + arguments.episodes_per_task)
    jobs = [Job(env_id, task, seed) for env_id, task in chosen for seed in seeds]
    left = [job for job in jobs if (job.task.id, job.seed) not in finished]
    played = _played(arguments, left)
    return track(in_order(played, left), "episodes", total=len(jobs), done=len(jobs) - len(left))


def _played(arguments: CollectConfig, jobs: Sequence[Job]) -> Iterator[Episode]:
    """Play jobs in processes; with a model, of which one copy answers many episodes at once, in this one."""
    options = _env_options(arguments)
    if arguments.agent.partition(":")[0] == "local":
        return play_jobs(jobs, _labelling(arguments), num_envs=MODEL_EPISODES, env_options=options)
    return play_jobs_parallel(jobs, partial(_labelling, arguments), workers=arguments.workers, env_options=options)


def _labelling(arguments: CollectConfig) -> MixtureAgent:
    others = arguments.detours + arguments.mistakes
    mistaken = MistakenAgent(arguments.mistakes / others if others else 0.0)
    agent, labels = MixtureAgent(make_agent(arguments.agent), mistaken, 1 - others), arguments.labels
    return agent if labels == "agent" else MixtureAgent(make_agent(labels), agent, 0.0)


def check_labels(env_ids: Sequence[str], labels: str, env_options: Mapping[str, Any]) -> None:
    """Refuse an expert that cannot label the states which another agent reaches.

    Raises:
        UsageError: The expert cannot label them.
    """
    for env_id in env_ids:
        benchmark = parse_id(env_id)[0].name
        if labels == "search" and benchmark != "ALFWorld":
            raise UsageError(
                f"The search expert labels ALFWorld's states; {env_id} is of {benchmark}. Use the expert `expert`."
            )
        if labels == "expert":
            _check_plans(env_id, env_options)


def _check_plans(env_id: str, options: Mapping[str, Any]) -> None:
    env = gym.make(env_id, **options)
    try:
        inner = env.unwrapped
        assert isinstance(inner, TextEnv)
        planning(inner.engine)
    except UsageError as cause:
        raise UsageError(
            f"The expert of {env_id} knows a way from the start alone, so it cannot label the states that a model "
            "reaches. ALFWorld's and WebShop's experts can."
        ) from cause
    finally:
        env.close()


def _env_options(arguments: CollectConfig) -> dict[str, Any]:
    return {**read_settings(arguments.env_options, "--env-options"), "max_episode_steps": arguments.max_turns}


def in_order(episodes: Iterable[Episode], jobs: Sequence[Job]) -> Iterator[Episode]:
    """Hold back episodes that overtook others, so that the file never depends on timing."""
    ahead: dict[tuple[str, int], Episode] = {}
    expected = iter(jobs)
    following = next(expected, None)
    for episode in episodes:
        ahead[episode.task.id, episode.seed] = episode
        while following is not None and (following.task.id, following.seed) in ahead:
            yield ahead.pop((following.task.id, following.seed))
            following = next(expected, None)


def _thin(episode: Episode, arguments: CollectConfig) -> Episode:
    """Keep a sample of each turn's admissible commands, the same for the same task and seed."""
    if not arguments.max_commands:
        return episode
    generator = np.random.default_rng([arguments.seed, crc32(episode.task.id.encode())])
    turns = tuple(_sample(turn, arguments.max_commands, generator) for turn in episode.turns)
    return replace(episode, turns=turns)


def _sample(turn: Turn, size: int, generator: np.random.Generator) -> Turn:
    commands = turn.admissible_commands
    if len(commands) <= size:
        return turn
    expert = [command for command in commands if command in (turn.action, turn.label)]
    others = [command for command in commands if command not in expert]
    picked = generator.choice(len(others), max(0, size - len(expert)), replace=False)
    return replace(turn, admissible_commands=tuple(sorted(expert + [others[index] for index in picked.tolist()])))


def _failure(episode: Episode) -> dict[str, Any]:
    return {
        "task_id": episode.task.id,
        "seed": episode.seed,
        "task_type": episode.task.task_type,
        "stop": episode.stop,
        "score": episode.score,
        "turns": len(episode.turns),
        "error": episode.error,
    }


def _summary(run: Run) -> str:
    types: Counter[str] = Counter()
    turns = successes = 0
    for record in read_records(run.path("episodes.jsonl")):
        types[record["task"]["task_type"]] += 1
        turns += len(record["turns"])
        successes += record["success"]
    size = run.path("episodes.jsonl").stat().st_size / 2**20
    lines = [f"{types.total()} episodes, {turns} turns, {size:.1f} MiB: {run.path('episodes.jsonl')}"]
    lines += [f"  {name:<48} {count:>6}" for name, count in sorted(types.items())]
    causes: Counter[str] = Counter()
    for record in read_records(run.path("failures.jsonl")):
        causes[record["error"].splitlines()[0] if record["error"] else f"{record['stop']} without success"] += 1
    lines += [f"{causes.total()} without success"] if causes else []
    lines += [f"  {count} × {cause}" for cause, count in causes.most_common(8)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
