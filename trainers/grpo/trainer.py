"""GRPO on questions: groups of replies to one prompt, rewarded and compared with each other.

Set-up of TRL's GRPOTrainer, shared by `act` and `rl`. The loss, the sampling and the advantages are
TRL's. Ours are the reward, the logged metrics, the shared prompt of a group (`shared_prompt.py`), and the
shape of the batches: one optimizer step samples `groups` x `num_generations` replies in one go,
then runs them through in micro-batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from act_gym.errors import UsageError
from act_gym.io.run_dir import Run
from agents.prompt_config import TRAINED_WITH
from agents.prompt_config import Question as Asking
from trainers.data.questions import Kind, Question, Reward, in_both_orders
from trainers.data.replies import check_format, drop_long, shortened
from trainers.dry_run import estimate
from trainers.grpo import generation
from trainers.grpo.forecast import probe_groups
from trainers.run import checkpoints
from trainers.run.config import GroupStageConfig
from trainers.run.logging import note, quiet
from trainers.run.stage import common_config, finish, lora

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["check", "reward_function", "train_on_groups"]

_EQUAL_SHARE = 0.8
_RATES: dict[Kind, str] = {
    "expert": "accuracy",
    "valid": "other_admissible_rate",
    "other": "inadmissible_rate",
    "malformed": "format_error_rate",
}
"""The metric that holds each kind's share of the replies."""


def check(config: GroupStageConfig) -> None:
    """Check, before there is a run folder, whether settings fit together.

    Raises:
        MissingDependencyError: vLLM shall write the replies and is not installed.
        UsageError: They do not.
    """
    if config.both_orders and config.groups % 2:
        raise UsageError(f"--order both asks each pair twice a batch: --groups must be even; got {config.groups}.")
    _reward(config)
    generation.check(config)


def _reward(config: GroupStageConfig) -> Reward:
    return Reward(
        expert=config.reward_expert,
        valid=config.reward_valid,
        other=config.reward_other,
        malformed=config.reward_malformed,
    )


def train_on_groups(
    stage: str, config: GroupStageConfig, run: Run, questions: Sequence[Question], asking: Asking
) -> dict[str, Any]:
    """Train a model with GRPO and leave it in the run's `checkpoint` folder.

    Args:
        stage: `act` or `rl`; marks the log.
        config: The program's config: model, group, optimisation and output settings.
        run: The open run folder.
        questions: The prompts.
        asking: How the states are shown; the checkpoint says so.

    Returns:
        The stage's summary: metrics are means over the last quarter of the training.

    Raises:
        RunError: Nearly all replies are malformed before training, and `force` is off.
        UsageError: The settings do not fit the questions.
    """
    reward = _reward(config)
    if config.dry_run:
        policy = estimate.tokens_of(config.model)
    else:
        quiet()
        policy = checkpoints.load(config.model, config.precision)
    questions = shortened(questions, policy, config.max_prompt_tokens)
    questions = drop_long(questions, policy, config.max_prompt_tokens)
    if config.both_orders:
        questions = in_both_orders(questions)
    sequences = min(config.groups, len(questions)) * config.num_generations
    extra: dict[str, Any] = {"questions": len(questions)}
    if config.dry_run:
        lengths = [len(policy.prompt_ids(q.prompt, thinking=q.thinking)) for q in questions]
        return estimate.count(stage, config, lengths, extra)
    if checkpoints.last_state(config.out) is None:
        share = check_format(run, policy, questions, config=config, stage=stage)
        extra |= {} if share is None else {"format_error_rate_before": round(share, 4)}
        found = probe_groups(run, policy, questions, reward, config=config, stage=stage)
        extra |= {f"{name}_before": round(value, 4) for name, value in found.items()}
    trainer = _trainer(config, policy, questions, reward, sequences)
    summary = finish(trainer, policy.tokenizer, run, config, stage, extra, {TRAINED_WITH: asking.facts()})
    share = summary.get("frac_reward_zero_std", 0.0)
    if share > _EQUAL_SHARE:
        note(
            f"warning: in the last quarter {share:.0%} of the groups had equal rewards and taught "
            "nothing. Either the questions are mastered, or the model always answers alike: try a higher "
            "--temperature, more --num-generations, harder questions, or --zero-variance resample."
        )
    return summary


def reward_function(questions: Sequence[Question], reward: Reward, tokenizer: Any) -> Callable[..., list[float]]:
    """Return the function TRL calls on a batch of replies; it also logs the kinds of the replies.

    The dataset carries only each question's index, because lists of admissible commands are long.
    """
    from agents.local.sampling import reasoning_opening

    opening = {thinking: reasoning_opening(tokenizer, thinking=thinking) for thinking in (False, True)}

    def composite(
        completion_ids: list[list[int]],
        question: list[int],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float]:
        replies = tokenizer.batch_decode(completion_ids, skip_special_tokens=True)
        asked = [questions[index] for index in question]
        replies = [opening[each.thinking] + reply for each, reply in zip(asked, replies, strict=True)]
        kinds = [each.kind(reply) for each, reply in zip(asked, replies, strict=True)]
        for kind, name in _RATES.items():
            log_metric(name, kinds.count(kind) / len(kinds))
        for each, reply in zip(asked, replies, strict=True):
            if each.expert_first is not None:
                log_metric("numbered", float(each.by_number(reply) is not None))
        log_metric("mastered_groups", _share_mastered(question, kinds))
        for kind, each in zip(kinds, asked, strict=True):
            # One by one, as TRL averages over all processes, and one of them may have none.
            if each.expert_first is not None:
                log_metric(f"accuracy_expert_{'first' if each.expert_first else 'second'}", float(kind == "expert"))
        return [reward.of(kind) for kind in kinds]

    return composite


def _share_mastered(numbers: Sequence[int], kinds: Sequence[Kind]) -> float:
    """Return the share of questions that were answered right in all replies."""
    right: dict[int, bool] = {}
    for number, kind in zip(numbers, kinds, strict=True):
        right[number] = right.get(number, True) and kind == "expert"
    return sum(right.values()) / len(right)


def _trainer(
    config: GroupStageConfig, policy: Policy, questions: Sequence[Question], reward: Reward, sequences: int
) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig

    from trainers.grpo.zero_variance import GroupTrainer, SharedPromptGroupTrainer

    common = common_config(config, sequences=sequences)
    # A state holds no replies, so it is saved where the next step samples its own.
    common["save_steps"] = math.ceil(common["save_steps"] / config.iterations) * config.iterations
    trl_config = GRPOConfig(
        **common,
        num_generations=config.num_generations,
        # One round of sampling an optimizer step: replies are always from the newest weights.
        steps_per_generation=common["gradient_accumulation_steps"],
        num_iterations=config.iterations,
        max_completion_length=config.max_completion_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        beta=config.beta,
        epsilon=config.epsilon,
        loss_type=config.loss_type,
        scale_rewards=config.scale_rewards,
        chat_template_kwargs={"enable_thinking": config.thinking},
        **generation.config(config),
    )
    rows = [{"prompt": question.prompt, "question": index} for index, question in enumerate(questions)]
    make = SharedPromptGroupTrainer if config.shared_prompt else GroupTrainer
    trainer = make(
        model=policy.model,
        reward_funcs=reward_function(questions, reward, policy.tokenizer),
        args=trl_config,
        train_dataset=Dataset.from_list(rows),
        processing_class=policy.tokenizer,
        peft_config=lora(config),
    )
    trainer.prompt_ids = partial(policy.prompt_ids, thinking=config.thinking)
    trainer.equal, trainer.rounds = config.zero_variance, config.resample_rounds
    trainer.max_tokens_per_pass = config.max_tokens_per_pass
    trainer.block = 2 if config.both_orders else 1
    if config.shared_prompt and trainer.unshared:
        note(f"note: each reply runs its own prompt, as in TRL: {trainer.unshared}.")
    return trainer
