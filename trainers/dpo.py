"""Direct preference optimisation (DPO) of the expert's action over the alternative.

The prompt is the acting question: the model learns a preference and answers no judging question. It is the
control of Agentic Critical Training (arXiv 2603.08706, version 2: "DPO"). The loss is TRL's `DPOTrainer`
(Rafailov et al., arXiv 2305.18290); the questions and their tokens are this project's, the same as in
`imitation`. The reference is the model that the stage begins with, also after a kill.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from act_gym.cli import run
from act_gym.config import Bound, Positive, PositiveFloat, parse
from act_gym.errors import UsageError
from act_gym.io.run_dir import Run
from act_gym.types import ActionPair
from agents.prompt_config import TRAINED_WITH
from agents.prompts import format_reply, normalise
from trainers.data.questions import acting_questions, read_pairs
from trainers.data.replies import check_format, drop_long, shortened
from trainers.dry_run import estimate
from trainers.dry_run.measured_steps import estimable
from trainers.run import checkpoints
from trainers.run.cleanup import discard_unstarted
from trainers.run.config import BatchSettings, PairInputs, PromptSettings, StageConfig
from trainers.run.logging import quiet
from trainers.run.stage import common_config, dataset_of, finish, lora, open_run, show, step_size
from trainers.sft.answers import spoken_ids

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["DPOStageConfig", "check", "main", "train", "trainer_of"]


@dataclass(frozen=True, kw_only=True)
class _Inputs(BatchSettings, PairInputs):
    """Preference pairs and the strength of the preference."""

    sequences_per_row: ClassVar[int] = 2

    batch: Positive = 16
    """Pairs in one optimizer step; each is two sequences."""

    beta: PositiveFloat = 0.1
    """Strength of the regularisation towards the reference policy; above 0."""

    loss_type: Literal["sigmoid", "ipo", "hinge", "robust", "apo_zero"] = "sigmoid"
    """Loss of the difference of the two rewards (TRL's names); sigmoid is DPO as published."""

    label_smoothing: Annotated[float, Bound(least=0, below=0.5)] = 0.0
    """With `robust`: how likely an alternative is better than the expert's action, 0 to below 0.5."""

    imitation_weight: Annotated[float, Bound(least=0)] = 0.0
    """Weight of an imitation loss on the expert's action, added to the preference loss (TRL's `sft` loss); keeps its
    probability from falling together with the alternative's."""

    reference: Literal["precomputed", "model"] = "precomputed"
    """precomputed: compute the reference's log-probabilities before training, without a second model in memory. model:
    keep a second model. LoRA needs no second model: the adapters are switched off."""


@dataclass(frozen=True, kw_only=True)
class DPOStageConfig(StageConfig, PromptSettings, _Inputs):
    """Train a model to prefer the expert's action to an alternative."""

    learning_rate: PositiveFloat = 1e-6
    """Peak learning rate."""

    out: Path = Path("runs/dpo")
    """The run folder."""


@estimable
@discard_unstarted
def train(arguments: DPOStageConfig) -> dict[str, Any]:
    """Run the stage and return its summary.

    Raises:
        UsageError: The settings do not fit together, or no question is short enough.
    """
    opened, summary = open_run("trainers.dpo", arguments, [arguments.pairs], check=check)
    if summary is not None:
        return summary
    return _train(arguments, opened, read_pairs(arguments.pairs, arguments.limit))


def check(arguments: DPOStageConfig) -> None:
    """Check that settings fit together.

    Raises:
        UsageError: The settings do not fit together.
    """
    if arguments.label_smoothing and arguments.loss_type != "robust":
        raise UsageError(f"The loss {arguments.loss_type} takes no --label-smoothing; use --loss-type robust.")


def _train(arguments: DPOStageConfig, opened: Run, pairs: Sequence[ActionPair]) -> dict[str, Any]:
    if arguments.dry_run:
        policy = estimate.tokens_of(arguments.model)
    else:
        quiet()
        policy = checkpoints.load(arguments.model, arguments.precision)
    # A pair from another source may hold the same action twice; it has no preference.
    differing = [p for p in pairs if normalise(p.alternative) != normalise(p.step.expert_action)]
    asking = arguments.asking()
    questions = shortened(
        acting_questions((pair.step for pair in differing), asking), policy, arguments.max_prompt_tokens
    )
    alternative_of = {id(q): pair.alternative for q, pair in zip(questions, differing, strict=True)}
    questions = drop_long(questions, policy, arguments.max_prompt_tokens)
    extra: dict[str, Any] = {"pairs": len(questions)}
    if not arguments.dry_run and checkpoints.last_state(arguments.out) is None:
        share = check_format(opened, policy, questions, config=arguments, stage="dpo")
        extra |= {} if share is None else {"format_error_rate_before": round(share, 4)}
    rows = []
    for question in questions:
        prompt = policy.prompt_ids(question.prompt, thinking=question.thinking)
        better, worse = (
            spoken_ids(policy, prompt, format_reply(action))
            for action in (question.expert_action, alternative_of[id(question)])
        )
        rows.append({"prompt_ids": prompt, "chosen_ids": better, "rejected_ids": worse})
    if arguments.dry_run:
        return estimate.count(
            "dpo", arguments, [sum(map(len, row.values())) + len(row["prompt_ids"]) for row in rows], extra
        )
    notes = {TRAINED_WITH: asking.facts()}
    return finish(trainer_of(arguments, policy, rows), policy.tokenizer, opened, arguments, "dpo", extra, notes)


def trainer_of(arguments: DPOStageConfig, policy: Policy, rows: Sequence[dict[str, list[int]]]) -> Any:
    """Set up TRL's trainer.

    Args:
        arguments: The program's arguments.
        policy: The model, as it is before this stage.
        rows: Tokens of the prompt and of the two replies, under TRL's names.
    """
    from trl import DPOConfig

    from trainers.sft.dpo_trainer import TokenisedDPOTrainer

    class Trainer(TokenisedDPOTrainer):
        """Trainer that skips the reference where steps are measured; its values do not change a step's time."""

        def _precompute_ref_logps(self, dataset: Any, *others: Any) -> Any:
            if not arguments.measure_steps:
                return super()._precompute_ref_logps(dataset, *others)
            for name in ("ref_chosen_logps", "ref_rejected_logps"):
                dataset = dataset.add_column(name, [0.0] * len(dataset))
            return dataset

    # Memory and speed depend on sequences, and a pair is two.
    in_pairs = replace(arguments, micro_batch=max(1, arguments.micro_batch // arguments.sequences_per_row))
    losses = ["sft"] if arguments.imitation_weight else []
    config = DPOConfig(
        **common_config(in_pairs, sequences=step_size(arguments.batch, len(rows), in_pairs.micro_batch)),
        max_length=None,  # truncation would cut the action, which is last; drop_long bounds the length
        beta=arguments.beta,
        loss_type=[arguments.loss_type, *losses],
        loss_weights=[1.0, *(arguments.imitation_weight for _ in losses)],
        label_smoothing=arguments.label_smoothing,
        precompute_ref_log_probs=arguments.reference == "precomputed" and not arguments.lora_rank,
    )
    return Trainer(
        model=policy.model,
        args=config,
        train_dataset=dataset_of(rows, arguments),
        processing_class=policy.tokenizer,
        peft_config=lora(arguments),
    )


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(DPOStageConfig, argv, program="act-gym train dpo")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
