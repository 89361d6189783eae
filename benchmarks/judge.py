"""Measures how well a model judges which of two actions is better, always in both orders.

    act-gym judge --pairs runs/x/pairs/pairs.jsonl --model runs/x/act/checkpoint

Every pair is asked twice, the expert's action as Action 1 and as Action 2. A model that likes a
position is right in half of the questions without reading them; `first_chosen` shows it, and
`right_in_both` cannot be had that way. With `--interventions suppressed injected` all is asked again with
empty reasoning and with a wrong rationale put into the model's mouth (`interventions.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from act_gym.config import parse
from act_gym.types import ActionPair
from agents.prompts import Message, format_reply, named_by_number, normalise
from benchmarks.probes.answers import AskSettings, ask_model, messages, share, write_answers
from benchmarks.probes.rationale_interventions import Intervention, InterventionSettings, prefixes, rationales
from benchmarks.stats.intervals import bootstrap_mean, clustered
from benchmarks.stats.measurement import Measurement, grouped

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["JudgeConfig", "free_judge", "main", "measure", "ranked_judge"]

Numbered = tuple[int, ActionPair]
Judge = Callable[[Sequence[Numbered]], Iterator[dict[str, Any]]]
# Takes pairs, prefilled reasoning, and whether the question asks for reasoning.
Answerer = Callable[[Sequence[Numbered], str | Sequence[str], bool], Iterator[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """Files of pairs."""

    pairs: tuple[Path, ...]
    """Files of pairs from `trainers.pairs`, best of tasks the model was not trained on."""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(AskSettings, InterventionSettings, _Inputs):
    """Ask a model of every pair which action is better, in both orders."""

    numbered: Literal["neither", "action"] = "neither"
    """Under free, an answer that only numbers an action, such as Action 1, counts as neither action, or as the action
    it numbers. Its share is measured as numbered either way."""
    out: Path = Path("runs/judge")
    """The run folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(JudgeConfig, sys.argv[1:] if argv is None else argv, program="act-gym judge")
    ask_model(
        "judge",
        arguments,
        arguments.pairs,
        ActionPair.from_json,
        lambda policy: (ranked_judge if arguments.decode == "ranked" else free_judge)(policy, arguments),
        lambda records: measure(records, np.random.default_rng(0)),
        also=arguments.files,
    )
    return 0


def ranked_judge(policy: Policy, settings: JudgeConfig | None = None) -> Judge:
    """Return a judge that takes the likelier of the two answers `<action>…</action>`.

    Log-probabilities are summed over the answer's tokens: that is how likely the model is to write it.
    Two equally likely answers count as Action 1.
    """
    settings = settings or JudgeConfig(pairs=())

    def answer(batch: Sequence[Numbered], prefix: str | Sequence[str], thinking: bool) -> Iterator[dict[str, Any]]:
        prompts = _prompts(policy, settings, batch, thinking=thinking)
        replies = [[format_reply(action) for action in shown] for shown in _all_shown(batch)]
        scores = policy.log_probabilities(prompts, replies, prefix=prefix, thinking=bool(prefix))
        pairs = [pair for _, pair in batch for _ in (0, 1)]
        for pair, shown, (first, second) in zip(pairs, _all_shown(batch), scores, strict=True):
            yield _answer(pair, shown, shown[0 if first >= second else 1], log_probabilities=[first, second])

    return _judge(policy, settings, answer)


def free_judge(policy: Policy, settings: JudgeConfig) -> Judge:
    """Return a judge that lets the model write and reads its reply."""

    def answer(batch: Sequence[Numbered], prefix: str | Sequence[str], thinking: bool) -> Iterator[dict[str, Any]]:
        replies = write_answers(
            policy,
            _prompts(policy, settings, batch, thinking=thinking),
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            thinking=thinking or bool(prefix),
            seeds=[settings.seed * 1_000_003 + 2 * number + order for number, _ in batch for order in (0, 1)],
            prefix=prefix,
        )
        pairs = [pair for _, pair in batch for _ in (0, 1)]
        for pair, shown, (text, action) in zip(pairs, _all_shown(batch), replies, strict=True):
            yield _answer(pair, shown, action, numbered=settings.numbered, reply=text)

    return _judge(policy, settings, answer)


def _judge(policy: Policy, settings: JudgeConfig, answer: Answerer) -> Judge:
    """Return a judge that asks everything as it is, and again with each intervention."""
    asking = replace(settings.asking(), thinking=False)
    argue = rationales(settings, policy, asking) if "injected" in settings.interventions else None

    def judge(batch: Sequence[Numbered]) -> Iterator[dict[str, Any]]:
        argued = argue([pair for _, pair in batch]) if argue else [""] * len(batch)
        twice = [text for text in argued for _ in (0, 1)]
        found = {"answers": list(answer(batch, "", settings.thinking))}
        for intervention in settings.interventions:
            begun = prefixes(policy, intervention, twice)
            found[intervention] = list(answer(batch, begun, settings.thinking))
        for place, (number, pair) in enumerate(batch):
            record = _record(number, pair, {name: both[2 * place : 2 * place + 2] for name, both in found.items()})
            yield {**record, "rationale": argued[place]} if argue else record

    return judge


def measure(records: Iterable[Mapping[str, Any]], generator: np.random.Generator) -> tuple[Measurement, ...]:
    """Measure the answers of every split and task type.

    `accuracy` averages a pair's two questions before it bootstraps over pairs, because the two are
    anything but independent. Measurements under an intervention have its name, such as
    `accuracy_injected`; `alternative_chosen_injected` is how often the injected action is followed, and
    `lost_injected` is `accuracy` minus `accuracy_injected`, pair by pair.
    """
    found: list[Measurement] = []
    for group, members in grouped(sorted(records, key=lambda record: record["number"])):
        free = _shares_right(members, "answers")
        found += _measure_answers([record["answers"] for record in members], "", group)
        for intervention in get_args(Intervention):
            asked = [record[intervention] for record in members if intervention in record]
            if len(asked) < len(members):
                continue
            found += _measure_answers(asked, f"_{intervention}", group)
            lost = [one - other for one, other in zip(free, _shares_right(members, intervention), strict=True)]
            found.append(Measurement.of(f"lost_{intervention}", bootstrap_mean(lost, generator), group))
    return tuple(found)


def _measure_answers(
    pairs: Sequence[Sequence[Mapping[str, Any]]], suffix: str, group: Sequence[str]
) -> Iterator[Measurement]:
    both = [[answer["outcome"] == "right" for answer in answers] for answers in pairs]
    outcomes = [answer["outcome"] for answers in pairs for answer in answers]
    # The answer named Action 1: the right one where the expert came first, the wrong one where not.
    first = [
        (answer["outcome"] == "right") == (order == 0)
        for answers in pairs
        for order, answer in enumerate(answers)
        if answer["outcome"] in ("right", "wrong")
    ]
    yield Measurement.of(f"accuracy{suffix}", clustered([sum(pair) / 2 for pair in both]), group)
    yield from share(f"accuracy_expert_first{suffix}", (pair[0] for pair in both), group)
    yield from share(f"accuracy_expert_second{suffix}", (pair[1] for pair in both), group)
    yield from share(f"right_in_both{suffix}", (all(pair) for pair in both), group)
    yield from share(f"first_chosen{suffix}", first, group)
    yield from share(f"alternative_chosen{suffix}", (outcome == "wrong" for outcome in outcomes), group)
    numbered = ("numbered" in answer for answers in pairs for answer in answers)
    yield from share(f"numbered{suffix}", numbered, group)
    yield from share(f"neither{suffix}", (outcome == "neither" for outcome in outcomes), group)
    yield from share(f"format_error_rate{suffix}", (outcome == "malformed" for outcome in outcomes), group)


def _shares_right(records: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [sum(answer["outcome"] == "right" for answer in record[name]) / 2 for record in records]


def _all_shown(batch: Sequence[Numbered]) -> list[tuple[str, str]]:
    """Return what each question shows: two questions a pair, the one with the expert first before the other."""
    return [_shown(pair, expert_first=expert_first) for _, pair in batch for expert_first in (True, False)]


def _shown(pair: ActionPair, *, expert_first: bool) -> tuple[str, str]:
    actions = (pair.step.expert_action, pair.alternative)
    return actions if expert_first else (actions[1], actions[0])


def _prompts(
    policy: Policy, settings: JudgeConfig, batch: Sequence[Numbered], *, thinking: bool = False
) -> list[list[Message]]:
    asking, longest = settings.asking(), settings.max_new_tokens
    return [
        messages(policy, asking, pair.step, shown, thinking=thinking, longest=longest)
        for (_, pair), shown in zip([one for one in batch for _ in (0, 1)], _all_shown(batch), strict=True)
    ]


def _answer(
    pair: ActionPair, shown: tuple[str, str], action: str | None, *, numbered: str = "neither", **details: Any
) -> dict[str, Any]:
    outcome = _outcome(pair, action)
    named = named_by_number(action or "", *shown) if outcome == "neither" else None
    if named is not None:
        outcome = _outcome(pair, named) if named and numbered == "action" else "numbered"
        details["numbered"] = True
    return {"outcome": outcome, "action": action or "", **details}


def _outcome(pair: ActionPair, action: str | None) -> str:
    if action is None:
        return "malformed"
    if normalise(action) == normalise(pair.step.expert_action):
        return "right"
    return "wrong" if normalise(action) == normalise(pair.alternative) else "neither"


def _record(number: int, pair: ActionPair, answers: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the flat record of a pair; of two answers the first is to the question with the expert first."""
    task = pair.step.task
    return {
        "number": number,
        "id": pair.step.id,
        "benchmark": task.benchmark,
        "split": task.split,
        "task_type": task.task_type,
        "proposer": pair.proposer,
        "expert_action": pair.step.expert_action,
        "alternative": pair.alternative,
        **answers,
    }


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
