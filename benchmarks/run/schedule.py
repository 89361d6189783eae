"""Schedule of an evaluation: tasks of suites and environments in a fixed order, each once for every seed.

The order is seeds, then suites and environments as they were named, then tasks as they are frozen. It is the order
in which episodes are begun and in which `records.jsonl` lists them; the order in which they end is another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from act_gym.benchmarks import parse_id
from act_gym.errors import UsageError
from act_gym.sampling import select, select_from
from act_gym.types import Task
from benchmarks.stats.scores import Key
from benchmarks.suites import content_hash, limits_of, suite

__all__ = ["Key", "Part", "Plan", "make_plan", "read_shard"]


@dataclass(frozen=True)
class Part:
    """Tasks that are played under one name.

    Attributes:
        name: The suite's, or the environment's id where no suite was asked for.
        env_id: The environment.
        tasks: In their order.
        step_limit: Actions in an episode, or that for each task type.
        sha256: Of tasks, step limit and definition of success; see `benchmarks.suites.content_hash`.
        version: The suite's; 0 if it is none, or only some of its tasks.
        size: How many tasks there are under this name, of which `tasks` may be a choice.
    """

    name: str
    env_id: str
    tasks: tuple[Task, ...]
    step_limit: int | Mapping[str, int]
    sha256: str
    version: int
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether all its tasks are played."""
        return len(self.tasks) == self.size

    def facts(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        return {
            "version": self.version,
            "sha256": self.sha256,
            "env_id": self.env_id,
            "tasks": len(self.tasks),
            "of": self.size,
            "step_limit": self.step_limit,
        }


@dataclass(frozen=True)
class Plan:
    """Every episode of a run.

    Attributes:
        parts: Suites and environments.
        seeds: Each task is played once with each of them.
        env_options: Options for `gym.make` in every environment.
        shard: Which of how many shares of the tasks, counted from 1; `(1, 1)` for all.
        protocol: Name of the protocol that fixes the settings; see `benchmarks.protocols`. Empty for none.
    """

    parts: tuple[Part, ...]
    seeds: tuple[int, ...]
    env_options: Mapping[str, Any]
    shard: tuple[int, int] = (1, 1)
    protocol: str = ""

    def episodes(self) -> Iterator[tuple[Part, Task, int]]:
        """Yield part, task and seed of every episode in the stated order."""
        first, step = self.shard
        for seed in self.seeds:
            for part in self.parts:
                for task in part.tasks[first - 1 :: step]:
                    yield part, task, seed

    def names(self) -> dict[tuple[str, str], str]:
        """Return what tables call each benchmark and split: the suite, or how many of its tasks; see `Measurement`."""
        share = "" if self.shard == (1, 1) else f", share {'/'.join(map(str, self.shard))}"
        found = {}
        for part in self.parts:
            places = dict.fromkeys((task.benchmark, task.split) for task in part.tasks)
            word = "from " if len(places) > 1 else ""  # the choice was made from several splits together
            for place in places:
                is_suite = part.name != part.env_id
                name = part.name if is_suite else " ".join(filter(None, place))
                chosen = "" if part.is_whole else f", {word}{len(part.tasks):,} of {part.size:,}"
                chosen += f", protocol {self.protocol}" if self.protocol else ""
                chosen += f", {self.interface} interface" if self.interface else ""
                found[place] = f"{name}{chosen}{share}" if is_suite or chosen or share else ""
        return found

    @property
    def interface(self) -> str:
        """The interface of the commands, if it is not the original one."""
        shifts = [each for each in self.env_options.get("wrappers", ()) if each.startswith("interface:kind=")]
        return shifts[0].partition("=")[2] if shifts else ""

    def keys(self) -> tuple[Key, ...]:
        """Return what makes each episode, in the stated order."""
        return tuple((part.env_id, task.id, seed) for part, task, seed in self.episodes())


def make_plan(
    suites: Sequence[str],
    env_ids: Sequence[str],
    *,
    seeds: Sequence[int],
    env_options: Mapping[str, Any],
    step_limit: str = "",
    max_turns: int = 0,
    task_types: Sequence[str] = (),
    per_type: int = 0,
    limit: int = 0,
    shard: str = "",
    protocol: str = "",
) -> Plan:
    """Plan an evaluation.

    Args:
        suites: Names of suites.
        env_ids: Further environments whose tasks are played.
        seeds: With which each task is played.
        env_options: The environments' own settings.
        step_limit: Name of a published step limit; not for suites, which have their own, but with a protocol.
        max_turns: A step limit in actions; 0 for the benchmark's own. Not for suites either.
        task_types: Only these types; empty for all.
        per_type: At most this many tasks of each type in each part; 0 for all.
        limit: At most this many tasks of each part; 0 for all.
        shard: `1/2` for the first of two shares of the tasks; empty for all.
        protocol: Name of the protocol that the settings are of; empty for none.

    Raises:
        UnknownNameError: There is no such suite, environment, step limit or task type.
        UsageError: Settings contradict each other, or a task would be played twice.
    """
    if suites and (step_limit or max_turns) and not protocol:
        raise UsageError("A suite has its own step limit. For another one, name environments with --env instead.")
    for name in suites:
        _check_options(name, env_options)
    options = dict(env_options)
    if step_limit:
        options |= {"step_limit": step_limit, "max_episode_steps": -1}
    elif max_turns:
        options["max_episode_steps"] = max_turns
    chosen: dict[str, Any] = {"task_types": task_types, "per_type": per_type, "limit": limit}
    parts = [_of_suite(name, step_limit, **chosen) for name in suites]
    for env_id, tasks in select_from(env_ids, **chosen, env_options=env_options).items():
        parts.append(_of_environment(env_id, tasks, env_options, step_limit, max_turns))
    _check_overlap(parts)
    return Plan(tuple(parts), tuple(seeds), options, read_shard(shard), protocol)


def read_shard(word: str) -> tuple[int, int]:
    """Return `2/3` as (2, 3) and nothing as (1, 1).

    Raises:
        UsageError: It is neither.
    """
    if not word:
        return 1, 1
    first, _, count = word.partition("/")
    if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
        raise UsageError(f"--shard is a share of so many, e.g. 1/2 and 2/2 on two machines; got {word!r}.")
    return int(first), int(count)


def _of_suite(name: str, step_limit: str, *, task_types: Sequence[str], per_type: int, limit: int) -> Part:
    frozen = suite(name)
    tasks, limits = frozen.tasks(), frozen.limits(step_limit)
    size = len(tasks)
    if task_types or per_type or limit:
        here = [each for each in task_types if any(task.task_type == each for task in tasks)]
        tasks = () if task_types and not here else select(tasks, task_types=here, per_type=per_type, limit=limit)
    digest = content_hash(frozen.benchmark, [task.id for task in tasks], limits)
    return Part(name, frozen.env_id, tasks, limits, digest, frozen.version if digest == frozen.sha256 else 0, size)


def _of_environment(
    env_id: str, tasks: tuple[Task, ...], env_options: Mapping[str, Any], step_limit: str, max_turns: int
) -> Part:
    entry, split = parse_id(env_id)
    limits: int | dict[str, int] = max_turns or entry.max_turns
    if step_limit:
        limits = limits_of(entry, step_limit, tasks)
    size = len(entry.tasks(split, **entry.choosing(env_options)))
    digest = content_hash(entry.name, [task.id for task in tasks], limits)
    return Part(env_id, env_id, tasks, limits, digest, 0, size)


def _check_options(name: str, env_options: Mapping[str, Any]) -> None:
    """Refuse what would make another thing of a suite."""
    entry = parse_id(suite(name).env_id)[0]
    for option in (*entry.task_options, "games", "max_episode_steps", "step_limit"):
        if option in env_options:
            raise UsageError(
                f"{option}={env_options[option]!r} would make another thing of the suite {name}. "
                f"Name the environment instead: --env {suite(name).env_id}."
            )


def _check_overlap(parts: Sequence[Part]) -> None:
    """Refuse two parts of one environment: a run's numbers are kept apart by it."""
    owner: dict[str, str] = {}
    for part in parts:
        other = owner.setdefault(part.env_id, part.name)
        if other != part.name:
            raise UsageError(f"{other} and {part.name} are both of {part.env_id}; play them in runs of their own.")
