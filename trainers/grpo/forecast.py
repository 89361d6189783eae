"""Probe of zero-variance groups before training: how many groups have equal rewards and teach nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from act_gym.io.run_dir import Run
from trainers.data.questions import Question, Reward
from trainers.data.replies import spread
from trainers.run import distributed
from trainers.run.config import GroupStageConfig
from trainers.run.logging import note

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["probe_groups"]

_MANY = 0.8


def probe_groups(
    run: Run, policy: Policy, questions: Sequence[Question], reward: Reward, *, config: GroupStageConfig, stage: str
) -> dict[str, float]:
    """Sample a whole group for some questions; log and return the shares of zero-variance groups.

    Replies are sampled as GRPO does, from the whole distribution (`top_p` is ignored).

    Args:
        run: Gets a line with `event="probe_groups"`.
        policy: The model as it is before this stage.
        questions: An even spread of `config.probe_groups` of them is asked.
        reward: The reward of replies.
        config: The stage's.
        stage: The stage's name for the log.

    Returns:
        Shares of the groups, 0-1: `frac_reward_zero_std`, and of those `mastered_groups`, in which all replies are
        right. Empty if `config.probe_groups` is 0.
    """
    if not config.probe_groups:
        return {}
    thinking = questions[0].thinking
    asked = spread([question for question in questions if question.thinking is thinking], config.probe_groups)
    size = config.num_generations
    rows = [question for question in asked for _ in range(size)]
    ask = partial(
        policy.generate,
        [question.prompt for question in rows],
        max_new_tokens=config.max_completion_tokens,
        temperature=config.temperature,
        seeds=[config.seed * 1_000_003 + number for number in range(len(rows))],
        stop=None,
        thinking=thinking,
    )
    with distributed.whole(policy.model):
        replies = distributed.by_first(ask)
    kinds = [question.kind(reply.text) for reply, question in zip(replies, rows, strict=True)]
    groups = [kinds[start : start + size] for start in range(0, len(kinds), size)]
    equal = [len({reward.of(kind) for kind in group}) == 1 for group in groups]
    mastered = [set(group) == {"expert"} for group in groups]
    shares = {"frac_reward_zero_std": sum(equal) / len(groups), "mastered_groups": sum(mastered) / len(groups)}
    run.log(stage=stage, event="probe_groups", asked=len(groups), replies=size, **shares)
    share = shares["frac_reward_zero_std"]
    note(
        f"{stage}: {share:.0%} of {len(groups)} groups of {size} replies have equal rewards before "
        f"training ({shares['mastered_groups']:.0%} are all right)."
    )
    if share > _MANY:
        note(
            "warning: such groups teach nothing. Try a higher --temperature, more --num-generations, other questions, "
            "or --zero-variance resample."
        )
    return shares
