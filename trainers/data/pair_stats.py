"""Statistics of a file of pairs, and a data sheet as text; needs no model and no environment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from act_gym.io.jsonl import read_records
from act_gym.types import ActionPair
from agents.placeholders import is_admissible
from agents.prompts import normalise

__all__ = ["as_markdown", "datasheet", "in_words"]

_COMPARED = {
    "carried_out": "the simulator carries the alternative out",
    "nothing_changed": "the alternative changes nothing",
    "same_observation": "both actions show the same text",
    "same_state": "both lead to the same state",
    "no_longer": "a plan after the alternative is no longer than one after the expert's action",
    "shorter": "it is even shorter",
    "lost": "after the alternative alone there is no way to the goal any more",
    "as_good": "**the alternative is as good as the expert's action**",
}


def datasheet(pairs: Path, decisions: Path, proposals: Path) -> dict[str, Any]:
    """Count the content of the files of a run of `trainers.pairs`.

    Args:
        pairs: The pairs.
        decisions: All expert states; counted from the pairs without it.
        proposals: The outcome of every state, if there is such a file.

    Returns:
        JSON values. Shares are 0–1; lengths are in characters. `longer_is_expert` is the accuracy of always
        choosing the longer action, and choosing at random where both are equally long.

    Raises:
        RunError: A file cannot be read.
    """
    types: Counter[str] = Counter()
    proposers: Counter[str] = Counter()
    questions: Counter[bytes] = Counter()  # digests: the texts of all states are gigabytes
    states: set[str] = set()
    rows: list[tuple[float, ...]] = []
    for record in read_records(pairs):
        step = (pair := ActionPair.from_json(record)).step
        types[step.task.task_type] += 1
        proposers[pair.proposer] += 1
        states.add(step.id)
        past = [text for turn in step.history for text in (turn.observation, turn.action)]
        asked = (step.goal, past, step.observation, normalise(step.expert_action), normalise(pair.alternative))
        questions[blake2b(repr(asked).encode(), digest_size=16).digest()] += 1
        rows.append(
            (
                pair.expert_first,
                is_admissible(pair.alternative, step.admissible_commands),
                is_admissible(step.expert_action, step.admissible_commands),
                len(pair.alternative),
                len(step.expert_action),
                sum(map(len, (step.goal, step.observation, *past))),
                (1 + np.sign(len(step.expert_action) - len(pair.alternative))) / 2,
            )
        )
    means = np.mean(rows, axis=0).tolist() if rows else [0.0] * 7
    outcomes = _outcomes(proposals)
    return {
        "kind": "pairs",
        "states": sum(1 for _ in read_records(decisions)) if decisions.exists() else len(states),
        "pairs": len(rows),
        "states_without_pair": outcomes["without"],
        "matched_expert": outcomes["matched"],
        "repeated": outcomes["repeated"],
        "unreadable_replies": outcomes["unreadable"],
        "duplicates": sum(count - 1 for count in questions.values()),
        "expert_first": means[0],
        "alternative_admissible": means[1],
        "expert_admissible": means[2],
        "alternative_characters": means[3],
        "expert_characters": means[4],
        "state_characters": means[5],
        "longer_is_expert": means[6],
        "proposers": dict(proposers.most_common()),
        "task_types": dict(sorted(types.items())),
    }


def _outcomes(proposals: Path) -> Counter[str]:
    """Count the states that gave no pair, and the discarded proposals of all states."""
    outcomes: Counter[str] = Counter()
    for outcome in read_records(proposals) if proposals.exists() else ():
        outcomes["without"] += not outcome["alternatives"]
        outcomes.update({name: outcome[name] for name in ("matched", "repeated", "unreadable")})
    return outcomes


def in_words(sheet: Mapping[str, Any]) -> str:
    """Return the sheet as a few lines for a terminal."""
    lines = [
        f"{sheet['pairs']} pairs from {sheet['states']} expert states"
        f" ({sheet['states_without_pair']} states gave none)",
        f"  discarded: {sheet['matched_expert']} were the expert's action, {sheet['repeated']} repeated,"
        f" {sheet['unreadable_replies']} unreadable replies",
        f"  admissible: {sheet['alternative_admissible']:.0%} of the alternatives,"
        f" {sheet['expert_admissible']:.0%} of the expert's actions",
        f"  mean characters: alternative {sheet['alternative_characters']:.0f},"
        f" expert {sheet['expert_characters']:.0f}, state {sheet['state_characters']:.0f};"
        f" taking the longer action is right in {sheet['longer_is_expert']:.0%}",
        f"  expert shown first: {sheet['expert_first']:.0%}; questions that stand there twice: {sheet['duplicates']}",
        "  proposed by " + (", ".join(f"{name} ({count})" for name, count in sheet["proposers"].items()) or "nobody"),
    ]
    lines += [f"    {name:<46} {count:>6}" for name, count in sheet["task_types"].items()]
    return "\n".join(lines) + "\n"


def as_markdown(sheet: Mapping[str, Any], source: str) -> str:
    """Return the sheet as a page of Markdown.

    Args:
        sheet: The counts of `trainers.datasheet`.
        source: The file of pairs.
    """
    return "\n".join(_page(sheet, source)) + "\n"


def _page(sheet: Mapping[str, Any], source: str) -> Iterator[str]:
    yield from ("# Data sheet of pairs", "", f"`{source}`, sha256 {sheet['pairs_sha256']}", "")
    head, *rest = in_words({**sheet, "task_types": {}}).splitlines()
    yield from (head + ".", "", *(f"-{line[1:]}" for line in rest), "")
    yield from ("## Lengths", "", "| | mean | median | 95 % below | longest |", "|---|--:|--:|--:|--:|")
    for name, of in sheet["lengths"].items():
        what, _, unit = name.rpartition("_")
        numbers = " | ".join(f"{of[column]:,.1f}" for column in ("mean", "median", "p95", "max"))
        yield f"| {what}, {unit} | {numbers} |"
    yield from (
        "",
        f"Tokens are those of `{sheet['tokenizer']}`." if sheet["tokenizer"] else "No tokens were counted.",
        "",
    )
    if sheet.get("hidden_knowledge"):
        yield from _hidden(sheet["hidden_knowledge"])
    if sheet.get("compared"):
        yield from _compared(sheet)
    by_type = sheet.get("as_good_by_type", {})
    yield from ("## Task types", "", "| | pairs | as good, of those carried out |", "|---|--:|--:|")
    for name, count in sheet["task_types"].items():
        good = by_type.get(name)
        yield f"| {name} | {count:,} | {f'{good[0]} of {good[1]}' if good else '–'} |"


def _hidden(found: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Hidden knowledge", "")
    yield f"In {found['share']:.1%} of {found['states']:,} states the expert's action holds a name that neither the"
    yield "goal nor any observation, room or inventory so far has shown; by the observations alone it is"
    yield f"{found['share_by_observations']:.1%}."
    types = [f"{name} ({count} of {of})" for name, (count, of) in found["by_type"].items() if count]
    yield from ("", f"Task types with such states: {', '.join(types) or 'none'}.", "")


def _compared(sheet: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Carried out", "", f"Both actions of {sheet['compared']:,} pairs were carried out.", "")
    yield from ("| | share |", "|---|--:|")
    yield from (f"| {text} | {sheet[name]:.1%} |" for name, text in _COMPARED.items() if name in sheet)
    if not sheet["planned"]:
        yield from ("", "The simulator offers no plans, so only equal next states count as being as good.")
    yield ""
