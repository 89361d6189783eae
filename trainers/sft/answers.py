"""Supervised fine-tuning on answers, with loss on the answer's tokens and the token that ends its turn.

Uses TRL's SFTTrainer for every supervised stage. Prompts are tokenised by the same call as at inference. The chat
template decides which token ends a turn: a model that learns another one never stops.

"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from act_gym.errors import UsageError
from act_gym.io.run_dir import Run
from agents.conversation import reply_ids
from agents.prompt_config import CONVERSATION, TRAINED_WITH
from agents.prompt_config import Question as Asking
from trainers.data.questions import Question
from trainers.data.replies import check_format, drop_long, shortened
from trainers.dry_run import estimate
from trainers.run import checkpoints
from trainers.run.config import SupervisedStageConfig
from trainers.run.logging import note, quiet
from trainers.run.stage import common_config, finish, lora, step_size

if TYPE_CHECKING:
    from agents.local.model import Policy
    from trainers.sft.sample_packing import PackingCollator

__all__ = ["encode", "end_of_turn", "spoken_ids", "train_on_answers", "trainer_of"]


_QUESTION, _ANSWER = "What is your next action?", "<action>look around</action>"


def end_of_turn(policy: Policy) -> int:
    """Return the token with which the chat template ends the model's turn.

    Raises:
        UsageError: The template does not render the answer unchanged, or the model does not stop at the token
            that ends a turn; the message says what to add.
    """
    stops = policy.model.generation_config.eos_token_id
    listed = stops if isinstance(stops, list | tuple) else [stops]
    return _end_of_turn(policy.tokenizer, tuple(stop for stop in listed if stop is not None))


@lru_cache(maxsize=4)
def _end_of_turn(tokenizer: Any, stops: tuple[int, ...]) -> int:
    if tokenizer.eos_token_id is None:
        raise UsageError("The tokenizer has no end-of-sequence token; set eos_token in its folder.")
    turn = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}]
    text = tokenizer.apply_chat_template(turn, tokenize=False)
    before, found, after = text.rpartition(_ANSWER)
    if not found or _QUESTION not in before:
        raise UsageError(
            f"The chat template does not write a question and its answer as they are given, but {text[-400:]!r}. "
            "Expected both, word for word; put a template that does so into chat_template.jinja in the model's folder."
        )
    known = {tokenizer.eos_token_id, *stops}
    following = tokenizer(after.strip(), add_special_tokens=False)["input_ids"][:1]
    if following and following[0] in known:
        return int(following[0])
    names = ", ".join(sorted(tokenizer.convert_ids_to_tokens(sorted(known))))
    raise UsageError(
        f"The chat template ends a turn with {after!r}, and the model stops at {names}, so it would learn to go on "
        "talking. Let the template end the assistant's turn with one of these, or add the token that ends it to "
        "eos_token_id in the model's generation_config.json (eos_token in tokenizer_config.json)."
    )


_IGNORED = -100


def train_on_answers(
    stage: str,
    config: SupervisedStageConfig,
    run: Run,
    questions: Sequence[Question],
    answers: Sequence[str],
    asking: Asking = CONVERSATION,
    *,
    acting: bool = True,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fine-tune a model on answers and leave it in the run's `checkpoint` folder.

    Args:
        stage: The stage's name; marks the log.
        config: The program's config: supervised, model, optimisation and output settings.
        run: The open run folder.
        questions: The prompts.
        answers: The reply to learn for each.
        asking: How the states are shown; the checkpoint says so.
        acting: Whether the answers are actions, so that the malformed share can be measured before training.
        extra: Further values of the summary.

    Returns:
        The stage's summary; its loss is the mean over the last quarter, in nats a token.

    Raises:
        UsageError: No question is short enough.
    """
    if config.dry_run:
        policy = estimate.tokens_of(config.model)
    else:
        quiet()
        policy = checkpoints.load(config.model, config.precision)
    questions = shortened(questions, policy, config.max_prompt_tokens)
    answer_of = {id(question): answer for question, answer in zip(questions, answers, strict=True)}
    questions = drop_long(questions, policy, config.max_prompt_tokens)
    told: dict[str, Any] = {"questions": len(questions), **(extra or {})}
    if acting and not config.dry_run and checkpoints.last_state(config.out) is None:
        share = check_format(run, policy, questions, config=config, stage=stage)
        told |= {} if share is None else {"format_error_rate_before": round(share, 4)}
    rows = [encode(policy, q, answer_of[id(q)]) for q in questions]
    if config.dry_run:
        return estimate.count(stage, config, [len(row["input_ids"]) for row in rows], told)
    notes = {TRAINED_WITH: asking.facts()}
    return finish(trainer_of(config, policy, rows), policy.tokenizer, run, config, stage, told, notes)


def encode(policy: Policy, question: Question, answer: str) -> dict[str, list[int]]:
    """Tokenise a question with its answer.

    Returns:
        `input_ids`: prompt, answer, end-of-turn; `labels`: the same with the prompt ignored (-100).

    Raises:
        UsageError: See `spoken_ids`.
    """
    prompt = policy.prompt_ids(question.prompt, thinking=question.thinking)
    spoken = spoken_ids(policy, prompt, answer)
    return {"input_ids": prompt + spoken, "labels": [_IGNORED] * len(prompt) + spoken}


def spoken_ids(policy: Policy, prompt: Sequence[int], answer: str) -> list[int]:
    """Return the tokens to learn after a prompt: the answer and the end of its turn.

    Raises:
        UsageError: The model could not learn to stop with its chat template; see `templates.end_of_turn`.
    """
    return [*reply_ids(policy, prompt, answer), end_of_turn(policy)]


def trainer_of(config: SupervisedStageConfig, policy: Policy, rows: Sequence[dict[str, list[int]]]) -> Any:
    """Set up TRL's trainer on rows of `encode`."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from trainers.run.schedule import FirstStepTrains

    class AnswerTrainer(FirstStepTrains, SFTTrainer):  # type: ignore[misc, unused-ignore]
        """TRL's trainer, whose first step trains already."""

    trl_config = SFTConfig(
        **common_config(config, sequences=step_size(config.batch, len(rows), config.micro_batch)),
        max_length=None,  # cutting would lose the answer, which comes last; drop_long bounds the length
        packing=False,
    )
    return AnswerTrainer(
        model=policy.model,
        args=trl_config,
        train_dataset=Dataset.from_list(list(rows)),
        processing_class=policy.tokenizer,
        peft_config=lora(config),
        data_collator=_collator(config, policy),
    )


def _collator(config: SupervisedStageConfig, policy: Policy) -> PackingCollator | None:
    """Return the collator that packs samples into rows; None leaves one sample a row, padded by TRL."""
    if not config.pack:
        return None
    from trainers.sequences import Costs
    from trainers.sft.sample_packing import PackingCollator, why_not
    from trainers.varlen import use

    reason = why_not(policy.model)
    if reason:
        note(f"note: samples are padded, not packed: {reason}.")
        return None
    return PackingCollator(
        policy.tokenizer.pad_token_id,
        Costs.of(policy.model.config.get_text_config()),
        one_row="flash" in policy.model.config._attn_implementation,
        by_sequence=use(policy.model),
    )
