"""From episodes to numbers: the flat record of an episode, and the measurements over many.

Tasks are the independent observations. A task that was played with several seeds counts once, with
the mean over its seeds, because its seeds resemble each other more than other tasks do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from act_gym.core import Episode
from benchmarks.intervals import difference_of_shares, mean_of_shares, newcombe, wilson
from benchmarks.measurement import Measurement, grouped

__all__ = ["Record", "failures", "flat_record", "measure"]

Record = Mapping[str, Any]

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
    }


def measure(records: Iterable[Record], generator: np.random.Generator) -> tuple[Measurement, ...]:
    """Measure every split, every task type in it, and the gap between seen and unseen.

    Args:
        records: Lines made by `flat_record`.
        generator: Draws the bootstrap's resamples.
    """
    # Sorted, because the order in which parallel episodes end must not move a bootstrap interval.
    lines = sorted(records, key=lambda record: (record["env_id"], record["task_id"], record["seed"]))
    measurements: list[Measurement] = []
    for group, members in grouped(lines):
        measurements += _measure_group(group, members, generator)
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
            causes["the step limit was reached"] += 1
        else:
            causes["the simulator ended it without success"] += 1
    return dict(causes.most_common())


def _measure_group(
    group: tuple[str, str, str], records: Sequence[Record], generator: np.random.Generator
) -> list[Measurement]:
    successes = _per_task(records, "success")
    one_seed = _one_seed(records)
    share = wilson(int(sum(successes)), len(successes)) if one_seed else mean_of_shares(successes, generator)
    found = [
        Measurement.of("success", share, group),
        Measurement.of("score", mean_of_shares(_per_task(records, "score"), generator), group),
    ]
    turns = sum(record["turns"] for record in records)
    numbers = {name: float(np.mean([record[name] for record in records])) for name in _MEANS}
    numbers["invalid_actions"] = sum(record["invalid_actions"] for record in records) / turns if turns else 0.0
    if not one_seed:
        numbers["success_std_over_seeds"] = _std_over_seeds(records, "success")
        numbers["score_std_over_seeds"] = _std_over_seeds(records, "score")
    benchmark, split, task_type = group
    found += [
        Measurement(name=name, value=value, n=len(records), benchmark=benchmark, split=split, task_type=task_type)
        for name, value in numbers.items()
    ]
    return found


def _gap(records: Sequence[Record], near: str, far: str, generator: np.random.Generator) -> list[Measurement]:
    seen = [record for record in records if record["split"] == near]
    unseen = [record for record in records if record["split"] == far]
    if not seen or not unseen:
        return []
    group = (records[0]["benchmark"], f"{near} - {far}")
    values = {name: (_per_task(seen, name), _per_task(unseen, name)) for name in ("success", "score")}
    differences = {name: difference_of_shares(*both, generator) for name, both in values.items()}
    if _one_seed(records):
        differences["success"] = newcombe(*(wilson(int(sum(side)), len(side)) for side in values["success"]))
    return [Measurement.of(name, difference, group) for name, difference in differences.items()]


def _one_seed(records: Iterable[Record]) -> bool:
    """Return whether a task's success is yes or no, and not a mean over seeds."""
    return len({record["seed"] for record in records}) == 1


def _per_task(records: Iterable[Record], name: str) -> list[float]:
    values: dict[str, list[float]] = {}
    for record in records:
        values.setdefault(record["task_id"], []).append(float(record[name]))
    return [sum(group) / len(group) for group in values.values()]


def _std_over_seeds(records: Iterable[Record], name: str) -> float:
    """Return the population standard deviation of the seeds' means, as the paper reports it."""
    values: dict[int, list[float]] = {}
    for record in records:
        values.setdefault(record["seed"], []).append(float(record[name]))
    return float(np.std([np.mean(group) for group in values.values()]))
