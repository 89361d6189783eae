"""Measures how often a model takes the expert's action in the expert's states.

    act-gym next-action --decisions runs/x/pairs/decisions.jsonl --model runs/x/rl/checkpoint

Nothing is executed: it is a question and not an episode, so it is cheap, exact, and kinder than
playing, where a model has to live with its own mistakes. Given pairs, `--interventions injected` asks again
after a rationale for the alternative, and counts how often it is followed (`interventions.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from act_gym.config import parse
from act_gym.errors import UsageError
from act_gym.types import ActionPair, ExpertStep
from agents.placeholders import is_admissible
from agents.prompts import normalise
from benchmarks.probes.answers import AskSettings, ask_model, messages, share, write_answers
from benchmarks.probes.rationale_interventions import Intervention, InterventionSettings, prefixes, rationales
from benchmarks.stats.measurement import Measurement, grouped

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["NextActionConfig", "free_actor", "main", "measure", "ranked_actor"]

Actor = Callable[[Sequence[tuple[int, ExpertStep | ActionPair]]], Iterator[dict[str, Any]]]
Numbered = tuple[int, ExpertStep, str | None]  # with the alternative, where there is one
# Takes steps, prefilled reasoning, and whether the question asks for reasoning.
Answerer = Callable[[Sequence[Numbered], str | Sequence[str], bool], Iterator[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """Files of expert steps."""

    decisions: tuple[Path, ...]
    """Files of expert states or of pairs from `trainers.pairs`, best of tasks the model was not trained on."""


@dataclass(frozen=True, kw_only=True)
class NextActionConfig(AskSettings, InterventionSettings, _Inputs):
    """Ask a model at every expert state which action is next."""

    out: Path = Path("runs/next_action")
    """The run folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(NextActionConfig, sys.argv[1:] if argv is None else argv, program="act-gym next-action")
    ask_model(
        "next_action",
        arguments,
        arguments.decisions,
        _read_question,
        lambda policy: (ranked_actor if arguments.decode == "ranked" else free_actor)(policy, arguments),
        measure,
        also=arguments.files,
        check=partial(_check, arguments),
    )
    return 0


def ranked_actor(policy: Policy, settings: NextActionConfig | None = None) -> Actor:
    """Return an actor that takes the admissible command the model finds likeliest.

    Raises (when it is asked):
        UsageError: A step has no admissible commands.
    """
    settings = settings or NextActionConfig(decisions=())
    asking = settings.asking()

    def answer(batch: Sequence[Numbered], prefix: str | Sequence[str], thinking: bool) -> Iterator[dict[str, Any]]:
        steps = [step for _, step, _ in batch]
        _need_commands(steps)
        rankings = policy.rank(
            [messages(policy, asking, step, thinking=thinking) for step in steps],
            [step.admissible_commands for step in steps],
            prefix=prefix,
            thinking=bool(prefix),
        )
        for (_, step, alternative), ranking in zip(batch, rankings, strict=True):
            command, log_probability = ranking[0]
            yield {**_answer(step, alternative, command), "log_probability": log_probability}

    return _actor(policy, settings, answer)


def free_actor(policy: Policy, settings: NextActionConfig) -> Actor:
    """Return an actor that lets the model write and reads its reply."""
    asking, longest = settings.asking(), settings.max_new_tokens

    def answer(batch: Sequence[Numbered], prefix: str | Sequence[str], thinking: bool) -> Iterator[dict[str, Any]]:
        replies = write_answers(
            policy,
            [messages(policy, asking, step, thinking=thinking, longest=longest) for _, step, _ in batch],
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            thinking=thinking or bool(prefix),
            seeds=[settings.seed * 1_000_003 + number for number, _, _ in batch],
            prefix=prefix,
        )
        for (_, step, alternative), (text, action) in zip(batch, replies, strict=True):
            yield {**_answer(step, alternative, action), "reply": text}

    return _actor(policy, settings, answer)


def _actor(policy: Policy, settings: NextActionConfig, answer: Answerer) -> Actor:
    """Return an actor that is asked everything as it is, and again with each intervention."""
    asking = replace(settings.asking(), thinking=False)
    argue = rationales(settings, policy, asking) if "injected" in settings.interventions else None

    def act(batch: Sequence[tuple[int, ExpertStep | ActionPair]]) -> Iterator[dict[str, Any]]:
        asked = [_numbered(number, question) for number, question in batch]
        argued = argue([_pair(question) for _, question in batch]) if argue else [""] * len(batch)
        found = {"": list(answer(asked, "", settings.thinking))}
        for intervention in settings.interventions:
            found[intervention] = list(answer(asked, prefixes(policy, intervention, argued), settings.thinking))
        for place, (number, step, alternative) in enumerate(asked):
            record = {**_record(number, step), **found[""][place]}
            record |= {name: each[place] for name, each in found.items() if name}
            record |= {"alternative": alternative} if alternative is not None else {}
            yield record | ({"rationale": argued[place]} if argue else {})

    return act


def _check(settings: NextActionConfig, questions: Sequence[ExpertStep | ActionPair]) -> None:
    if settings.decode == "ranked":
        _need_commands([one.step if isinstance(one, ActionPair) else one for one in questions])
    if "injected" in settings.interventions:
        for question in questions:
            _pair(question)


def _need_commands(steps: Sequence[ExpertStep]) -> None:
    for step in steps:
        if not step.admissible_commands:
            raise UsageError(f"{step.id} has no admissible commands to rank. Use --decode free.")


def _read_question(record: Mapping[str, Any]) -> ExpertStep | ActionPair:
    """Read a step, or a pair, whose step is asked about and whose alternative can be injected."""
    return ActionPair.from_json(record) if "alternative" in record else ExpertStep.from_json(record)


def measure(records: Iterable[Mapping[str, Any]]) -> tuple[Measurement, ...]:
    """Measure the answers of every split and task type.

    `expert_admissible` bounds what `ranked` can reach: the simulator's list does not always hold the
    expert's wording. `candidates` is the mean number of commands to choose from. `alternative_chosen` is how
    often the alternative of a pair is what the model does anyway; with `_injected`, after a rationale for it.
    """
    found: list[Measurement] = []
    for group, members in grouped(sorted(records, key=lambda record: record["number"])):
        found += _measure_answers(members, "", group)
        listed = [record for record in members if record["candidates"]]
        found += share("expert_admissible", (record["expert_admissible"] for record in listed), group)
        candidates = [record["candidates"] for record in members]
        found.append(Measurement.plain("candidates", sum(candidates) / len(candidates), len(candidates), group))
        for intervention in get_args(Intervention):
            if all(intervention in record for record in members):
                asked = [{"candidates": record["candidates"], **record[intervention]} for record in members]
                found += _measure_answers(asked, f"_{intervention}", group)
    return tuple(found)


def _measure_answers(answers: Sequence[Mapping[str, Any]], suffix: str, group: Sequence[str]) -> Iterator[Measurement]:
    yield from share(f"accuracy{suffix}", (answer["right"] for answer in answers), group)
    yield from share(f"format_error_rate{suffix}", (answer["malformed"] for answer in answers), group)
    yield from share(f"admissible{suffix}", (one["admissible"] for one in answers if one["candidates"]), group)
    yield from share(
        f"alternative_chosen{suffix}",
        (answer["took_alternative"] for answer in answers if answer.get("took_alternative") is not None),
        group,
    )


def _numbered(number: int, question: ExpertStep | ActionPair) -> Numbered:
    if isinstance(question, ActionPair):
        return number, question.step, question.alternative
    return number, question, None


def _pair(question: ExpertStep | ActionPair) -> ActionPair:
    if isinstance(question, ActionPair):
        return question
    raise UsageError(
        f"{question.id} has no alternative that a rationale could argue for. "
        "Give pairs.jsonl as --decisions, or leave injected out of --interventions."
    )


def _answer(step: ExpertStep, alternative: str | None, action: str | None) -> dict[str, Any]:
    spoken = None if action is None else normalise(action)
    return {
        "action": action or "",
        "right": spoken == normalise(step.expert_action),
        "malformed": action is None,
        "admissible": action is not None and is_admissible(action, step.admissible_commands),
        "took_alternative": None if alternative is None else spoken == normalise(alternative),
    }


def _record(number: int, step: ExpertStep) -> dict[str, Any]:
    return {
        "number": number,
        "id": step.id,
        "benchmark": step.task.benchmark,
        "split": step.task.split,
        "task_type": step.task.task_type,
        "expert_action": step.expert_action,
        "expert_admissible": normalise(step.expert_action)
        in {normalise(command) for command in step.admissible_commands},
        "candidates": len(step.admissible_commands),
    }


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
