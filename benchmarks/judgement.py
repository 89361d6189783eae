"""Measures how well a model judges which of two actions is better, always in both orders.

    python -m benchmarks.judgement --pairs runs/x/pairs/pairs.jsonl --model runs/x/act/checkpoint

Every pair is asked twice, the expert's action as Action 1 and as Action 2. A model that likes a
position is right in half of the questions without reading them; `first_chosen` shows it, and
`right_in_both` cannot be had that way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from act_gym.arguments import parse
from act_gym.core import ActionPair
from agents.prompts import Message, format_reply, judging_messages, normalise
from benchmarks.answers import AskSettings, ask_model, share, write_answers
from benchmarks.intervals import mean_of_shares
from benchmarks.measurement import Measurement, grouped

if TYPE_CHECKING:
    from agents.policy import Policy

__all__ = ["Arguments", "free_judge", "main", "measure", "ranked_judge"]

Judge = Callable[[Sequence[tuple[int, ActionPair]]], Iterator[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """What is judged."""

    pairs: tuple[Path, ...]
    """Files of pairs from `trainers.pairs`, best of tasks the model was not trained on."""


@dataclass(frozen=True, kw_only=True)
class Arguments(AskSettings, _Inputs):
    """Ask a model of every pair which action is better, in both orders."""

    out: Path = Path("runs/judgement")
    """The run folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(Arguments, sys.argv[1:] if argv is None else argv, program="act-gym judgement")
    ask_model(
        "judgement",
        arguments,
        arguments.pairs,
        ActionPair.from_json,
        lambda policy: ranked_judge(policy) if arguments.decode == "ranked" else free_judge(policy, arguments),
        lambda records: measure(records, np.random.default_rng(0)),
    )
    return 0


def ranked_judge(policy: Policy) -> Judge:
    """Return a judge that takes the likelier of the two answers `<action>…</action>`.

    Log-probabilities are summed over the answer's tokens: that is how likely the model is to write it.
    Two equally likely answers count as Action 1.
    """

    def judge(batch: Sequence[tuple[int, ActionPair]]) -> Iterator[dict[str, Any]]:
        prompts = [prompt for _, pair in batch for prompt in _both_orders(pair)]
        replies = [
            [format_reply(action) for action in shown]
            for _, pair in batch
            for shown in (_shown(pair, expert_first=True), _shown(pair, expert_first=False))
        ]
        scores = iter(policy.log_probabilities(prompts, replies))
        for number, pair in batch:
            answers = []
            for expert_first in (True, False):
                first, second = next(scores)
                chosen = _shown(pair, expert_first=expert_first)[0 if first >= second else 1]
                answers.append(_answer(pair, chosen, log_probabilities=[first, second]))
            yield _record(number, pair, answers)

    return judge


def free_judge(policy: Policy, settings: Arguments) -> Judge:
    """Return a judge that lets the model write and reads its reply."""

    def judge(batch: Sequence[tuple[int, ActionPair]]) -> Iterator[dict[str, Any]]:
        prompts = [prompt for _, pair in batch for prompt in _both_orders(pair, thinking=settings.thinking)]
        seeds = [settings.seed * 1_000_003 + 2 * number + order for number, _ in batch for order in (0, 1)]
        replies = iter(
            write_answers(
                policy,
                prompts,
                max_new_tokens=settings.max_new_tokens,
                temperature=settings.temperature,
                thinking=settings.thinking,
                seeds=seeds,
            )
        )
        for number, pair in batch:
            answers = []
            for _ in (True, False):
                text, action = next(replies)
                answers.append(_answer(pair, action, reply=text))
            yield _record(number, pair, answers)

    return judge


def measure(records: Iterable[Mapping[str, Any]], generator: np.random.Generator) -> tuple[Measurement, ...]:
    """Measure the answers of every split and task type.

    `accuracy` averages a pair's two questions before it bootstraps over pairs, because the two are
    anything but independent.
    """
    found: list[Measurement] = []
    for group, members in grouped(sorted(records, key=lambda record: record["number"])):
        both = [[answer["outcome"] == "right" for answer in record["answers"]] for record in members]
        answers = [answer for record in members for answer in record["answers"]]
        # The answer named Action 1: the right one where the expert came first, the wrong one where not.
        first = [
            (answer["outcome"] == "right") == (order == 0)
            for record in members
            for order, answer in enumerate(record["answers"])
            if answer["outcome"] in ("right", "wrong")
        ]
        found.append(Measurement.of("accuracy", mean_of_shares([sum(pair) / 2 for pair in both], generator), group))
        found += share("accuracy_expert_first", (pair[0] for pair in both), group)
        found += share("accuracy_expert_second", (pair[1] for pair in both), group)
        found += share("right_in_both", (all(pair) for pair in both), group)
        found += share("first_chosen", first, group)
        found += share("neither", (answer["outcome"] == "neither" for answer in answers), group)
        found += share("malformed", (answer["outcome"] == "malformed" for answer in answers), group)
    return tuple(found)


def _shown(pair: ActionPair, *, expert_first: bool) -> tuple[str, str]:
    actions = (pair.decision.expert_action, pair.alternative)
    return actions if expert_first else (actions[1], actions[0])


def _both_orders(pair: ActionPair, *, thinking: bool = False) -> list[list[Message]]:
    return [
        judging_messages(pair.decision.state, *_shown(pair, expert_first=expert_first), thinking=thinking)
        for expert_first in (True, False)
    ]


def _answer(pair: ActionPair, action: str | None, **details: Any) -> dict[str, Any]:
    if action is None:
        outcome = "malformed"
    elif normalise(action) == normalise(pair.decision.expert_action):
        outcome = "right"
    else:
        outcome = "wrong" if normalise(action) == normalise(pair.alternative) else "neither"
    return {"outcome": outcome, "action": action or "", **details}


def _record(number: int, pair: ActionPair, answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the flat record of a pair; the first answer is to the question with the expert first."""
    task = pair.decision.task
    return {
        "number": number,
        "id": pair.decision.id,
        "benchmark": task.benchmark,
        "split": task.split,
        "task_type": task.task_type,
        "proposer": pair.proposer,
        "expert_action": pair.decision.expert_action,
        "alternative": pair.alternative,
        "answers": answers,
    }


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
