"""A short data sheet of a file of pairs: what is in it, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from act_gym.core import ActionPair
from act_gym.records import read_records
from agents.prompts import normalise

__all__ = ["datasheet", "in_words"]


def datasheet(pairs: Path, decisions: Path, proposals: Path) -> dict[str, Any]:
    """Count what stands in the files of a run of `trainers.pairs`.

    Returns:
        JSON values. Shares are 0–1; lengths are in characters.

    Raises:
        RunError: A file cannot be read.
    """
    types: Counter[str] = Counter()
    proposers: Counter[str] = Counter()
    questions: Counter[tuple[str, str, str]] = Counter()
    rows: list[tuple[bool, bool, bool, int, int, int]] = []
    for record in read_records(pairs):
        pair = ActionPair.from_json(record)
        decision = pair.decision
        known = {normalise(command) for command in decision.admissible_commands}
        types[decision.task.task_type] += 1
        proposers[pair.proposer] += 1
        questions[decision.state, normalise(decision.expert_action), normalise(pair.alternative)] += 1
        rows.append(
            (
                pair.expert_first,
                normalise(pair.alternative) in known,
                normalise(decision.expert_action) in known,
                len(pair.alternative),
                len(decision.expert_action),
                len(decision.state),
            )
        )
    means = np.mean(rows, axis=0).tolist() if rows else [0.0] * 6
    outcomes = list(read_records(proposals)) if proposals.exists() else []
    return {
        "kind": "pairs",
        "states": sum(1 for _ in read_records(decisions)),
        "pairs": len(rows),
        "states_without_pair": sum(not outcome["alternatives"] for outcome in outcomes),
        "matched_expert": sum(outcome["matched"] for outcome in outcomes),
        "repeated": sum(outcome["repeated"] for outcome in outcomes),
        "unreadable_replies": sum(outcome["unreadable"] for outcome in outcomes),
        "duplicates": sum(count - 1 for count in questions.values()),
        "expert_first": means[0],
        "alternative_admissible": means[1],
        "expert_admissible": means[2],
        "alternative_characters": means[3],
        "expert_characters": means[4],
        "state_characters": means[5],
        "proposers": dict(proposers.most_common()),
        "task_types": dict(sorted(types.items())),
    }


def in_words(sheet: dict[str, Any]) -> str:
    """Return the sheet as a few lines for a terminal."""
    lines = [
        f"{sheet['pairs']} pairs from {sheet['states']} expert states"
        f" ({sheet['states_without_pair']} states gave none)",
        f"  discarded: {sheet['matched_expert']} were the expert's action, {sheet['repeated']} repeated,"
        f" {sheet['unreadable_replies']} unreadable replies",
        f"  admissible: {sheet['alternative_admissible']:.0%} of the alternatives,"
        f" {sheet['expert_admissible']:.0%} of the expert's actions",
        f"  mean characters: alternative {sheet['alternative_characters']:.0f},"
        f" expert {sheet['expert_characters']:.0f}, state {sheet['state_characters']:.0f}",
        f"  expert shown first: {sheet['expert_first']:.0%}; questions that stand there twice: {sheet['duplicates']}",
        "  proposed by " + (", ".join(f"{name} ({count})" for name, count in sheet["proposers"].items()) or "nobody"),
    ]
    lines += [f"    {name:<46} {count:>6}" for name, count in sheet["task_types"].items()]
    return "\n".join(lines) + "\n"
