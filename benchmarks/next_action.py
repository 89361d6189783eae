"""Measures how often a model takes the expert's action in the expert's states.

    python -m benchmarks.next_action --decisions runs/x/pairs/decisions.jsonl --model runs/x/rl/checkpoint

Nothing is executed: it is a question and not an episode, so it is cheap, exact, and kinder than
playing, where a model has to live with its own mistakes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from act_gym.arguments import parse
from act_gym.core import Decision
from act_gym.errors import UsageError
from agents.prompts import acting_messages, normalise
from benchmarks.answers import AskSettings, ask_model, share, write_answers
from benchmarks.measurement import Measurement, grouped

if TYPE_CHECKING:
    from agents.policy import Policy

__all__ = ["Arguments", "free_actor", "main", "measure", "ranked_actor"]

Actor = Callable[[Sequence[tuple[int, Decision]]], Iterator[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """What is asked about."""

    decisions: tuple[Path, ...]
    """Files of decisions from `trainers.pairs`, best of tasks the model was not trained on."""


@dataclass(frozen=True, kw_only=True)
class Arguments(AskSettings, _Inputs):
    """Ask a model at every expert state which action is next."""

    out: Path = Path("runs/next_action")
    """The run folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(Arguments, sys.argv[1:] if argv is None else argv, program="act-gym next-action")
    ask_model(
        "next_action",
        arguments,
        arguments.decisions,
        Decision.from_json,
        lambda policy: ranked_actor(policy) if arguments.decode == "ranked" else free_actor(policy, arguments),
        measure,
    )
    return 0


def ranked_actor(policy: Policy) -> Actor:
    """Return an actor that takes the admissible command the model finds likeliest.

    Raises (when it is asked):
        UsageError: A decision has no admissible commands.
    """

    def act(batch: Sequence[tuple[int, Decision]]) -> Iterator[dict[str, Any]]:
        for _, decision in batch:
            if not decision.admissible_commands:
                raise UsageError(f"{decision.id} has no admissible commands to rank. Use --decode free.")
        rankings = policy.rank(
            [acting_messages(decision.state) for _, decision in batch],
            [decision.admissible_commands for _, decision in batch],
        )
        for (number, decision), ranking in zip(batch, rankings, strict=True):
            yield _record(number, decision, ranking[0][0])

    return act


def free_actor(policy: Policy, settings: Arguments) -> Actor:
    """Return an actor that lets the model write and reads its reply."""

    def act(batch: Sequence[tuple[int, Decision]]) -> Iterator[dict[str, Any]]:
        replies = write_answers(
            policy,
            [acting_messages(decision.state, thinking=settings.thinking) for _, decision in batch],
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            thinking=settings.thinking,
            seeds=[settings.seed * 1_000_003 + number for number, _ in batch],
        )
        for (number, decision), (text, action) in zip(batch, replies, strict=True):
            yield {**_record(number, decision, action), "reply": text}

    return act


def measure(records: Iterable[Mapping[str, Any]]) -> tuple[Measurement, ...]:
    """Measure the answers of every split and task type.

    `expert_admissible` bounds what `ranked` can reach: the simulator's list does not always hold the
    expert's wording. `candidates` is the mean number of commands to choose from.
    """
    found: list[Measurement] = []
    for group, members in grouped(sorted(records, key=lambda record: record["number"])):
        found += share("accuracy", (record["right"] for record in members), group)
        found += share("malformed", (record["malformed"] for record in members), group)
        listed = [record for record in members if record["candidates"]]
        found += share("admissible", (record["admissible"] for record in listed), group)
        found += share("expert_admissible", (record["expert_admissible"] for record in listed), group)
        benchmark, split, task_type = group
        found.append(
            Measurement(
                name="candidates",
                value=sum(record["candidates"] for record in members) / len(members),
                n=len(members),
                benchmark=benchmark,
                split=split,
                task_type=task_type,
            )
        )
    return tuple(found)


def _record(number: int, decision: Decision, action: str | None) -> dict[str, Any]:
    known = {normalise(command) for command in decision.admissible_commands}
    expert = normalise(decision.expert_action)
    return {
        "number": number,
        "id": decision.id,
        "benchmark": decision.task.benchmark,
        "split": decision.task.split,
        "task_type": decision.task.task_type,
        "expert_action": decision.expert_action,
        "action": action or "",
        "right": action is not None and normalise(action) == expert,
        "malformed": action is None,
        "admissible": action is not None and normalise(action) in known,
        "expert_admissible": expert in known,
        "candidates": len(decision.admissible_commands),
    }


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
