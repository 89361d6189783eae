"""Batched replies of a model to questions, and the share of its replies that is malformed.

A model that cannot write the answer format earns the same reward everywhere, so GRPO has nothing to compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from act_gym.errors import RunError, UsageError
from act_gym.io.run_dir import Run
from agents.conversation import fitted
from trainers.data.questions import Question
from trainers.run import distributed
from trainers.run.config import GroupSettings, StageConfig
from trainers.run.logging import note

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["check_format", "drop_long", "shortened", "spread"]


def shortened(questions: Sequence[Question], policy: Policy, limit: int) -> list[Question]:
    """Return the questions with conversations of at most `limit` tokens, the oldest turns left out; 0 keeps all.

    One that is longer without them stays; see `drop_long`.
    """
    if not limit:
        return list(questions)
    kept, count = [], 0
    for question in questions:
        prompt = fitted(policy, question.prompt, limit, thinking=question.thinking)
        kept.append(question if len(prompt) == len(question.prompt) else replace(question, prompt=prompt))
        count += len(prompt) < len(question.prompt)
    if count:
        note(f"{count} of {len(questions)} conversations are longer than {limit} tokens and lose their oldest turns.")
    return kept


def drop_long(questions: Sequence[Question], policy: Policy, limit: int) -> list[Question]:
    """Leave out questions whose prompt is longer than `limit` tokens, and say how many; 0 keeps all.

    Raises:
        UsageError: None is short enough.
    """
    if not limit:
        return list(questions)
    kept = [q for q in questions if len(policy.prompt_ids(q.prompt, thinking=q.thinking)) <= limit]
    if not kept:
        raise UsageError(f"All {len(questions)} prompts are longer than {limit} tokens. Raise --max-prompt-tokens.")
    if len(kept) < len(questions):
        note(f"Left out {len(questions) - len(kept)} of {len(questions)} questions longer than {limit} tokens.")
    return kept


def check_format(
    run: Run, policy: Policy, questions: Sequence[Question], *, config: StageConfig, stage: str
) -> float | None:
    """Measure and log the malformed share before training.

    Args:
        run: Gets a line with `event="format"`.
        policy: The model as it is before this stage.
        questions: An even spread of `config.probe` of them is asked.
        config: The stage's. GRPO samples as in training and stops at `max_malformed`; other stages only measure.
        stage: The stage's name for the log.

    Returns:
        The malformed share in 0-1; None if `config.probe` is 0.

    Raises:
        RunError: GRPO could not learn from replies like these, and `force` is off.
    """
    if not config.probe:
        return None
    grouped = config if isinstance(config, GroupSettings) else None
    thinking = questions[0].thinking  # where some ask for reasoning and some do not, the first kind is measured
    asked = spread([question for question in questions if question.thinking is thinking], config.probe)
    longest = grouped.max_completion_tokens if grouped else 256 if thinking else 24
    ask = partial(
        policy.generate,
        [question.prompt for question in asked],
        max_new_tokens=longest,
        temperature=grouped.temperature if grouped else 1.0,
        seeds=[config.seed + number for number in range(len(asked))],
        stop=None,  # GRPO's sampling has no stop text either: a second action makes a reply malformed
        thinking=thinking,
    )
    with distributed.whole(policy.model):
        replies = distributed.by_first(ask)
    kinds = [question.kind(reply.text) for reply, question in zip(replies, asked, strict=True)]
    malformed = kinds.count("malformed") / len(kinds)
    run.log(
        stage=stage,
        event="format",
        asked=len(asked),
        format_error_rate=malformed,
        accuracy=kinds.count("expert") / len(kinds),
    )
    note(f"{stage}: {malformed:.0%} of {len(asked)} sampled replies are malformed before training.")
    ends = [r.completion_tokens >= longest for r, kind in zip(replies, kinds, strict=True) if kind == "malformed"]
    if grouped and malformed > grouped.max_malformed:
        limit = grouped.max_malformed
        advice = (
            f"{malformed:.0%} of {len(asked)} sampled replies are malformed (at most {limit:.0%} allowed), so nearly "
            "every group would earn the same and GRPO would learn nothing"
        )
        if not grouped.force:
            cut = _cut(sum(ends), len(ends), longest, thinking=thinking)
            raise RunError(
                f"{advice}. {cut}Run warmup first: act-gym train warmup --model {config.model}; "
                "then give --model runs/warmup/checkpoint. Or train anyway with --force."
            )
        note(f"warning: {advice}; going on because of --force.")
    return malformed


def _cut(cut: int, malformed: int, longest: int, *, thinking: bool) -> str:
    """Return how many malformed replies the limit of tokens cut off, and which option raises it; empty if none."""
    if not cut:
        return ""
    needed = "; reasoning takes hundreds of tokens" if thinking else ""
    return f"{cut} of these {malformed} were cut off at --max-completion-tokens {longest}: raise it{needed}. "


def spread(questions: Sequence[Question], count: int) -> list[Question]:
    """Return at most `count` of them, evenly spread, so that they come from different tasks."""
    stride = max(1, len(questions) // count)
    return list(questions[::stride][:count])
