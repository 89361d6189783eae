"""Plays published trajectories again: what their server showed against what our engine shows, byte by byte.

The server had drawn limits of its own, which the instructions name; they are given to the engine. It had also drawn
prices from ranges, which no page shows. The file tells no rewards, so ours are only counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from act_gym.engines.webshop.agenttraj import Trajectory, read_trajectories
from act_gym.engines.webshop.engine import WebShopEngine
from act_gym.io.jsonl import RecordWriter
from act_gym.progress import track
from act_gym.splits.webshop import tasks
from act_gym.types import Task

__all__ = ["compare", "replay"]


def compare(file: Path, out: Path | None) -> tuple[str, bool]:
    """Play all trajectories of a file; returns the result as Markdown, and whether anything differs."""
    trajectories = list(read_trajectories(file))
    limits = {each.goal: each.price_upper for each in trajectories}
    known = {task.payload["goal"]: task for task in tasks()}
    records = []
    with (
        closing(WebShopEngine(prices={"limits": limits})) as engine,
        closing(WebShopEngine()) as drawing,
        RecordWriter(out) if out else nullcontext() as writer,
    ):
        for each in track(trajectories, "replaying", total=len(trajectories)):
            task = known[each.goal]
            drawn = drawing.reset(task).observation == each.observations[0]
            records.append({**replay(engine, task, each), "limit_drawn_alike": drawn})
            if writer:
                writer.write(records[-1])
    return _summary(records), any(record["same"] < record["turns"] for record in records)


def replay(engine: WebShopEngine, task: Task, trajectory: Trajectory) -> dict[str, Any]:
    """Play one trajectory, to its end whatever differs.

    Args:
        engine: Ours, in mode `text`, with the trajectory's limit.
        task: The task of the trajectory's goal.
        trajectory: Which.

    Returns:
        A record: turns, how many were the same, the first that was not, unavailable actions, the reward.
    """
    state = engine.reset(task)
    same, refused = 0, 0
    at, expected, found = -1, "", ""
    for number, (observation, action) in enumerate(zip(trajectory.observations, trajectory.actions, strict=True)):
        if observation == state.observation:
            same += 1
        elif at < 0:
            at, expected, found = number, observation, state.observation
        if state.terminated:
            break
        state = engine.step(action)
        refused += not state.action_valid
    return {
        "item": trajectory.item,
        "task_id": task.id,
        "turns": len(trajectory.actions),
        "same": same,
        "at": at,
        "action": trajectory.actions[at - 1] if at > 0 else "",
        "expected": expected,
        "found": found,
        "refused": refused,
        "bought": state.terminated,
        "reward": state.raw_score,
    }


def _summary(records: Sequence[Mapping[str, Any]]) -> str:
    turns, same = sum(record["turns"] for record in records), sum(record["same"] for record in records)
    rewards = Counter(round(record["reward"], 3) for record in records if record["bought"])
    lines = [
        "| published trajectories | |",
        "|---|--:|",
        f"| played again | {len(records):,} |",
        f"| observations compared | {turns:,} |",
        f"| equal, byte by byte, with the limit that the instruction names | {same:,} ({same / turns:.2%}) |",
        f"| trajectories equal throughout | {sum(record['same'] == record['turns'] for record in records):,} |",
        f"| actions that our engine refused | {sum(record['refused'] for record in records):,} |",
        f"| whose limit our generator draws too | {sum(record['limit_drawn_alike'] for record in records):,} |",
        f"| end with a purchase | {sum(record['bought'] for record in records):,} |",
        *(f"| of these worth {reward:g} | {count:,} |" for reward, count in sorted(rewards.items(), reverse=True)),
    ]
    for record in records:
        if record["at"] >= 0:
            lines += ["", f"{record['item']}, observation {record['at']}, after {record['action']!r}:"]
            lines += [f"  theirs: {record['expected']}", f"  ours:   {record['found']}"]
    return "\n".join(lines) + "\n"
