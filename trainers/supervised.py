"""Supervised training on answers: the loss covers the answer's tokens and nothing else.

Set-up of TRL's SFTTrainer, shared by `warmup` and `imitation`. Prompts are tokenised here, by the
same call that poses them to the policy, so a model learns the answer after the very tokens it will
be asked with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from act_gym.errors import UsageError
from act_gym.run import Run
from agents.policy import Policy
from trainers import checkpoints
from trainers.questions import Question
from trainers.quiet import quiet
from trainers.replies import check_format, drop_long
from trainers.training import common_config, finish, lora

__all__ = ["encode", "train_on_answers", "trainer_of"]

_IGNORED = -100


def train_on_answers(
    stage: str, arguments: Any, run: Run, questions: Sequence[Question], answers: Sequence[str]
) -> dict[str, Any]:
    """Fine-tune a model on answers and leave it in the run's `checkpoint` folder.

    Args:
        stage: `warmup` or `imitation`; marks the log.
        arguments: The program's arguments: model, optimisation and output settings, `batch`, `thinking`.
        run: The open run folder.
        questions: The prompts.
        answers: What the model shall reply to each.

    Returns:
        The stage's summary; its loss is the mean over the last quarter, in nats a token.

    Raises:
        UsageError: No question is short enough.
    """
    quiet()
    policy = checkpoints.load(arguments.model, arguments.precision)
    answer_of = {id(question): answer for question, answer in zip(questions, answers, strict=True)}
    questions = drop_long(questions, policy, arguments.max_prompt_tokens, thinking=arguments.thinking)
    extra: dict[str, Any] = {"questions": len(questions)}
    if checkpoints.last_state(arguments.out) is None:
        share = check_format(run, policy, questions, thinking=arguments.thinking, settings=arguments, stage=stage)
        extra |= {} if share is None else {"malformed_before": round(share, 4)}
    rows = [encode(policy, q, answer_of[id(q)], thinking=arguments.thinking) for q in questions]
    return finish(trainer_of(arguments, policy, rows), policy.tokenizer, run, arguments, stage, extra)


def encode(policy: Policy, question: Question, answer: str, *, thinking: bool = False) -> dict[str, list[int]]:
    """Tokenise a question with its answer.

    Returns:
        `input_ids`: prompt, answer, end-of-turn; `labels`: the same with the prompt ignored (-100).

    Raises:
        UsageError: The tokenizer has no end-of-sequence token, so the model could never learn to stop.
    """
    end = policy.tokenizer.eos_token_id
    if end is None:
        raise UsageError("The tokenizer has no end-of-sequence token; set eos_token in its folder.")
    prompt = policy.prompt_ids(question.prompt, thinking=thinking)
    spoken = [*policy.ids(answer), end]
    return {"input_ids": prompt + spoken, "labels": [_IGNORED] * len(prompt) + spoken}


def trainer_of(arguments: Any, policy: Policy, rows: Sequence[dict[str, list[int]]]) -> Any:
    """Set up TRL's trainer on rows of `encode`."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(
        **common_config(arguments, sequences=min(arguments.batch, len(rows))),
        max_length=None,  # cutting would lose the answer, which stands last; drop_long bounds the length
        packing=False,
    )
    return SFTTrainer(
        model=policy.model,
        args=config,
        train_dataset=Dataset.from_list(list(rows)),
        processing_class=policy.tokenizer,
        peft_config=lora(arguments),
    )
