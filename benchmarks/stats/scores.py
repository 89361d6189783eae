"""Metrics of episodes: the flat record of an episode, and measurements over many.

Tasks are the independent observations. A task that was played with several seeds counts once, with
the mean over its seeds, because its seeds resemble each other more than other tasks do. `X_bootstrap` has the
same number as `X`, with the cluster bootstrap's interval over tasks; `X_p_value` is the test of a gap.

An episode that ended with an error counts as a failure, but says nothing about the agent's play. `errors` counts
them, and a group that holds one has no interval and no test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from act_gym.types import Episode
from benchmarks.stats.failure_modes import REWARD_PARTS, TURN_MODES, modes, pass_at_k
from benchmarks.stats.intervals import (
    Interval,
    bootstrap_difference,
    bootstrap_mean,
    clustered,
    newcombe,
    wilson,
)
from benchmarks.stats.measurement import Measurement, grouped
from benchmarks.stats.significance import agreeing, fisher, permutation

__all__ = [
    "OUTCOMES",
    "Key",
    "Record",
    "errors_in",
    "failures",
    "flat_record",
    "is_error",
    "key_of",
    "measure",
    "one_seed",
    "per_task",
    "sampled",
    "sure",
]

Record = Mapping[str, Any]
Key = tuple[str, str, int]
"""Identity of an episode: environment, task, seed."""

OUTCOMES = ("success", "score")
"""Outcomes of an episode; each in 0–1."""

_ERRORS = ("agent_error", "env_error")  # how an episode stops that tells nothing of the agent's play
_SAMPLES = 10_000  # drawn of a panel
_MEANS = ("turns", "prompt_tokens", "completion_tokens", "cost")


def flat_record(episode: Episode) -> dict[str, Any]:
    """Return an episode as one flat line; `seconds` is the time of the agent's decisions."""
    return {
        "env_id": episode.env_id,
        "benchmark": episode.task.benchmark,
        "split": episode.task.split,
        "task_id": episode.task.id,
        "task_type": episode.task.task_type,
        "agent": episode.agent,
        "seed": episode.seed,
        "success": episode.success,
        "score": episode.score,
        "raw_score": episode.raw_score,
        "turns": len(episode.turns),
        "invalid_actions": sum(not turn.action_valid for turn in episode.turns),
        "prompt_tokens": sum(turn.prompt_tokens for turn in episode.turns),
        "completion_tokens": sum(turn.completion_tokens for turn in episode.turns),
        "cost": round(sum(turn.cost for turn in episode.turns), 9),
        "seconds": round(sum(turn.seconds for turn in episode.turns), 3),
        "stop": episode.stop,
        "error": episode.error,
        **modes(episode),
    }


def key_of(record: Record) -> Key:
    """Return what makes the episode of a flat record."""
    return record["env_id"], record["task_id"], record["seed"]


def is_error(record: Record) -> bool:
    """Return whether an episode ended because the agent's code, a server or the simulator failed."""
    return record["stop"] in _ERRORS


def errors_in(records: Iterable[Record]) -> int:
    """Count the episodes that ended with an error."""
    return sum(map(is_error, records))


def measure(
    records: Iterable[Record], generator: np.random.Generator, *, sample: Mapping[str, Any] | None = None
) -> tuple[Measurement, ...]:
    """Measure every split, every task type in it, and the gap between seen and unseen.

    Args:
        records: Lines made by `flat_record`.
        generator: Draws the bootstrap's resamples.
        sample: A protocol's rule of drawing tasks from each split: `size`, and `replace` for independent draws.
            `success_sampled` then says between which numbers 95 of 100 such samples fall.
    """
    # Sorted, because the order in which parallel episodes end must not move a bootstrap interval.
    lines = sorted(records, key=lambda record: (record["env_id"], record["task_id"], record["seed"]))
    measurements: list[Measurement] = []
    for group, members in grouped(lines):
        measurements += _measure_group(group, members, generator)
        if sample and not group[2] and not errors_in(members):
            values = list(per_task(members, "success").values())
            measurements.append(Measurement.of("success_sampled", sampled(values, **sample), group))
    for benchmark in sorted({record["benchmark"] for record in lines}):
        own = [record for record in lines if record["benchmark"] == benchmark]
        for unseen in sorted({record["split"] for record in own if record["split"].endswith("unseen")}):
            measurements += _gap(own, unseen.removesuffix("unseen") + "seen", unseen, generator)
    return tuple(measurements)


def failures(records: Iterable[Record]) -> dict[str, int]:
    """Count why episodes did not succeed, the most frequent cause first."""
    causes: Counter[str] = Counter()
    for record in records:
        if record["success"]:
            continue
        if record["error"]:
            causes[f"{record['stop']}: {record['error'].splitlines()[0][:120]}"] += 1
        elif record["stop"] == "truncated":
            causes[f"the step limit was reached{_mostly(record)}"] += 1
        else:
            causes["the simulator ended it without success"] += 1
    return dict(causes.most_common())


def _mostly(record: Record) -> str:
    """Return how most turns of an episode were lost, if it was one way."""
    words = {"unparsable": "without an action", "inadmissible": "inadmissible", "repeated": "repeating earlier ones"}
    often = [name for name in words if 2 * record.get(name, 0) > record["turns"]]
    return f", most turns {words[often[0]]}" if often else ""


def sure(name: str, records: Sequence[Record]) -> Interval:
    """Return the mean of an outcome over tasks, with an interval that respects tasks and seeds.

    Wilson's for success where each task was played once; else that of `benchmarks.stats.intervals.clustered`.

    Args:
        name: One of `OUTCOMES`.
        records: At least one, of one set of tasks.
    """
    values = list(per_task(records, name).values())
    if name == "success" and one_seed(records):
        return wilson(int(sum(values)), len(values))
    return clustered(values)


def sampled(values: Sequence[float], *, size: int, replace: bool) -> Interval:
    """Return a panel's mean, and between which means 95 of 100 samples of its tasks fall.

    Args:
        values: One for each task of the panel.
        size: Tasks in a sample; the whole panel if it has fewer and none is drawn twice.
        replace: Whether a sample may have a task several times, as independent draws do.
    """
    generator, panel = np.random.default_rng(0), np.asarray(values)
    if replace:
        means = panel[generator.integers(len(panel), size=(_SAMPLES, size))].mean(axis=1)
    else:
        means = np.array([generator.permutation(panel)[:size].mean() for _ in range(_SAMPLES)])
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return Interval(float(panel.mean()), low, high, len(panel))


def one_seed(records: Iterable[Record]) -> bool:
    """Return whether a task's success is yes or no, and not a mean over seeds."""
    return len({record["seed"] for record in records}) == 1


def per_task(records: Iterable[Record], name: str) -> dict[str, float]:
    """Return each task's mean over its seeds, by its id."""
    values: dict[str, list[float]] = {}
    for record in records:
        values.setdefault(record["task_id"], []).append(float(record[name]))
    return {task_id: sum(group) / len(group) for task_id, group in values.items()}


def _measure_group(
    group: tuple[str, str, str], records: Sequence[Record], generator: np.random.Generator
) -> list[Measurement]:
    errors = errors_in(records)
    found = [_outcome(name, sure(name, records), group, errors) for name in OUTCOMES]
    for name in OUTCOMES if not errors else ():
        values = list(per_task(records, name).values())
        found.append(Measurement.of(f"{name}_bootstrap", bootstrap_mean(values, generator), group))
    turns = sum(record["turns"] for record in records)
    numbers = {"errors": float(errors)}
    numbers |= {name: float(np.mean([record[name] for record in records])) for name in _MEANS}
    numbers["invalid_actions"] = sum(record["invalid_actions"] for record in records) / turns if turns else 0.0
    numbers |= _lost(records)
    if not one_seed(records) and not errors:
        numbers |= _passes(records)
        numbers |= {f"{name}_std_over_seeds": _std_over_seeds(records, name) for name in OUTCOMES}
    benchmark, split, task_type = group
    found += [
        Measurement(name=name, value=value, n=len(records), benchmark=benchmark, split=split, task_type=task_type)
        for name, value in numbers.items()
    ]
    return found


def _lost(records: Sequence[Record]) -> dict[str, float]:
    """Return failure modes as shares: of turns, of episodes, and the mean parts of a purchase's reward."""
    turns = sum(record["turns"] for record in records)
    found = {"truncated": float(np.mean([record["stop"] == "truncated" for record in records]))}
    for name in TURN_MODES if all(TURN_MODES[0] in record for record in records) else ():
        found[name] = sum(record[name] for record in records) / turns if turns else 0.0
    for name in REWARD_PARTS:
        if bought := [record[name] for record in records if name in record]:
            found[name] = float(np.mean(bought))
    if replayed := [record for record in records if "off_plan" in record]:
        found["dead_end"] = float(np.mean([record["dead_end"] for record in replayed]))
        if off := [record["off_plan"] for record in replayed if record["off_plan"]]:
            found["off_plan"] = float(np.mean(off))
    return found


def _passes(records: Sequence[Record]) -> dict[str, float]:
    """Return pass@k for every k from 2 to the number of seeds."""
    tasks: dict[str, list[bool]] = {}
    for record in records:
        tasks.setdefault(record["task_id"], []).append(bool(record["success"]))
    return {f"pass@{k}": pass_at_k(tasks.values(), k) for k in range(2, min(map(len, tasks.values())) + 1)}


def _outcome(name: str, interval: Interval, group: Sequence[str], errors: int) -> Measurement:
    """Return an outcome with its interval, or without where episodes ended with an error."""
    return (
        Measurement.plain(name, interval.value, interval.n, group) if errors else Measurement.of(name, interval, group)
    )


def _gap(records: Sequence[Record], near: str, far: str, generator: np.random.Generator) -> list[Measurement]:
    seen = [record for record in records if record["split"] == near]
    unseen = [record for record in records if record["split"] == far]
    if not seen or not unseen:
        return []
    group = (records[0]["benchmark"], f"{near} - {far}")
    found = []
    for name in OUTCOMES:
        sides = list(per_task(seen, name).values()), list(per_task(unseen, name).values())

        def test(difference: float, sides: tuple[list[float], list[float]] = sides) -> float:
            return permutation([value - difference for value in sides[0]], sides[1])

        exact = name == "success" and one_seed(seen) and one_seed(unseen)
        p_value = fisher(*((int(sum(side)), len(side)) for side in sides)) if exact else test(0.0)
        gap = agreeing(newcombe(sure(name, seen), sure(name, unseen)), p_value, test)
        errors = errors_in(seen) + errors_in(unseen)
        found.append(_outcome(name, gap, group, errors))
        if errors:
            continue
        found.append(Measurement.of(f"{name}_bootstrap", bootstrap_difference(*sides, generator), group))
        found.append(Measurement(name=f"{name}_p_value", value=p_value, n=gap.n, benchmark=group[0], split=group[1]))
    return found


def _std_over_seeds(records: Iterable[Record], name: str) -> float:
    """Return the population standard deviation of the seeds' means, as the paper reports it."""
    values: dict[int, list[float]] = {}
    for record in records:
        values.setdefault(record["seed"], []).append(float(record[name]))
    return float(np.std([np.mean(group) for group in values.values()]))
