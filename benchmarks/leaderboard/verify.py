"""Verification of leaderboard submissions: replays every episode and recomputes every number.

The suite has to be the frozen one, its tasks have to be there once for each seed, the numbers have to follow from
the records, and every episode is played again in the simulator: its recorded actions have to show the same
texts and come to the same end. An agent that plays without a model is asked for its actions, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from act_gym.agent import Agent, AgentAction, AgentInput
from act_gym.errors import ActGymError, AgentError, MissingDataError, MissingDependencyError
from act_gym.io.run_dir import difference_table, differences
from act_gym.rollout import play
from act_gym.types import Task
from agents.registry import make_agent
from benchmarks.leaderboard.submission import Entry, actions_of, compact, numbers_of, other_simulator
from benchmarks.run.manifest import data_facts
from benchmarks.stats.scores import errors_in, is_error
from benchmarks.suites import suite

__all__ = ["check"]

_DETERMINISTIC = ("random", "expert")
_TOKENS = ("prompt_tokens", "completion_tokens", "cost")  # only the model could say these again
_SAME = 1e-9


class Repeater:
    """Replays the recorded actions and then stops."""

    name = "repeater"

    def __init__(self, actions: Mapping[tuple[str, int], Sequence[str]]) -> None:
        self._actions = actions

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Return the recorded action of each view.

        Raises:
            AgentError: The record ends here.
        """
        return [AgentAction(action=self._next(view)) for view in views]

    def _next(self, view: AgentInput) -> str:
        actions = self._actions[view.task.id, view.seed]
        if len(view.history) >= len(actions):
            raise AgentError("The record ends here.")
        return actions[len(view.history)]


def check(entry: Entry, *, replays: int = 0) -> Iterator[str]:
    """Yield everything about an entry that does not fit; nothing if all does.

    Args:
        entry: The submission.
        replays: Episodes to play again at most, drawn from all; 0 for all.

    Raises:
        MissingDataError, MissingDependencyError: The simulator or its data is not here.
    """
    try:
        yield from _check(entry, replays)
    except (MissingDataError, MissingDependencyError):
        raise
    except (ActGymError, KeyError, TypeError, ValueError) as error:
        yield f"cannot be read: {error!r}"


def _check(entry: Entry, replays: int) -> Iterator[str]:
    frozen = suite(entry.suite)
    stated = {name: entry.facts["suite"].get(name) for name in ("version", "sha256")}
    if stated != {"version": frozen.version, "sha256": frozen.sha256}:
        yield f"is of another {entry.suite} than version {frozen.version}, {frozen.sha256[:12]}: {stated}"
        return
    if other := other_simulator(frozen, entry.facts["simulator"]):
        yield f"was played with {other}, and {entry.suite} is of {frozen.simulator}"
        return
    frozen.check_simulator()
    if entry.folder.parent.name != entry.suite:
        yield f"is in the folder {entry.folder.parent.name} and is of {entry.suite}"
    tasks, seeds = frozen.tasks(), entry.facts["seeds"]
    records, actions = entry.records(), actions_of(entry.folder)
    expected = [(task.id, seed) for seed in seeds for task in tasks]
    if [(record["task_id"], record["seed"]) for record in records] != expected:
        yield f"has not each of the {len(tasks)} tasks once for each seed, in the suite's order"
        return
    if set(actions) != set(expected):
        yield "has not the actions of every episode"
        return
    errors = errors_in(records)
    if errors and not entry.facts.get("errors_count_as_failures"):
        yield f"has {errors} episodes that ended with an error, and does not say that they count as failures"
    yield from _numbers(entry, records)
    found = list(_replays(entry, tasks, records, actions, replays))
    here = data_facts(frozen.env_id, tasks, {})
    if found and (changes := differences(entry.facts["data"], here, skip={"simulator"})):
        yield f"was played with other data than is here:\n{difference_table(changes, ('data', 'there', 'here'))}"
    yield from found


def _replays(
    entry: Entry,
    tasks: Sequence[Task],
    records: Sequence[Mapping[str, Any]],
    actions: Mapping[tuple[str, int], Sequence[str]],
    replays: int,
) -> Iterator[str]:
    """Play some episodes again, or all."""
    places = list(range(len(records)))
    if 0 < replays < len(records):
        places = sorted(np.random.default_rng(0).permutation(len(records))[:replays].tolist())
    for seed in entry.facts["seeds"]:
        chosen = [(tasks[place % len(tasks)], records[place]) for place in places if records[place]["seed"] == seed]
        yield from _replay(entry, chosen, actions, seed)


def _numbers(entry: Entry, records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    stated = entry.numbers
    for one in numbers_of(records):
        said = stated.get(one.name)
        for part in ("value", "low", "high", "n"):
            worked_out, told = getattr(one, part), getattr(said, part, None)
            if worked_out is None and told is None:
                continue
            if worked_out is None or told is None or abs(worked_out - told) > _SAME:
                yield f"says {one.name} {part} {told}; the records say {worked_out}"


def _replay(
    entry: Entry,
    chosen: Sequence[tuple[Task, Mapping[str, Any]]],
    actions: Mapping[tuple[str, int], Sequence[str]],
    seed: int,
) -> Iterator[str]:
    """Play episodes of one seed again."""
    records = {task.id: record for task, record in chosen}
    wanted = entry.facts["agent"].get("asked_for", "")
    agent: Agent = make_agent(wanted) if wanted in _DETERMINISTIC else Repeater(actions)
    frozen = suite(entry.suite)
    options = {"max_episode_steps": frozen.max_turns}
    tasks = [task for task, _ in chosen]
    for episode in play(frozen.env_id, agent, tasks, seed=seed, env_options=options, keep_commands=False):
        record = records[episode.task.id]
        if episode.stop == "env_error":
            yield f"{episode.task.id}: the simulator failed: {episode.error}"
            continue
        if [turn.action for turn in episode.turns] != actions[episode.task.id, seed]:
            yield f"{episode.task.id}: {wanted or 'the record'} acts otherwise when it is played again"
            continue
        again = {name: value for name, value in compact(episode).items() if name not in _TOKENS}
        if is_error(record) and is_error(again):  # the cause of an error cannot be played again; its score can
            again = {name: value for name, value in again.items() if name not in ("stop", "digest")}
        kept = {name: record.get(name) for name in again}
        if kept != again:
            odd = [f"{name} {kept[name]!r} is {again[name]!r}" for name in again if kept[name] != again[name]]
            yield f"{episode.task.id}: {', '.join(odd)} when it is played again"
