"""Supervised fine-tuning on the choice: the judging question of a pair, with the expert's action as its answer.

It is the control of Agentic Critical Training (arXiv 2603.08706, version 2: "SFT-on-choice"): the same pairs and
the same question as in `act`, but the answer is given and not found by trial. The loss covers the answer
alone. The answer holds no reasoning, because the data has none.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_gym.cli import run
from act_gym.config import parse
from agents.prompts import format_reply
from trainers.data.questions import judging_questions, read_pairs
from trainers.dry_run.measured_steps import estimable
from trainers.run.cleanup import discard_unstarted
from trainers.run.config import JudgingInputs, SupervisedStageConfig
from trainers.run.stage import open_run, show
from trainers.sft.answers import train_on_answers

__all__ = ["SFTChoiceConfig", "main", "train"]


@dataclass(frozen=True, kw_only=True)
class SFTChoiceConfig(SupervisedStageConfig, JudgingInputs):
    """Train a model on examples to name the expert's action of two."""

    out: Path = Path("runs/sft-choice")
    """The run folder."""


@estimable
@discard_unstarted
def train(arguments: SFTChoiceConfig) -> dict[str, Any]:
    """Run the stage and return its summary."""
    opened, summary = open_run("trainers.sft_choice", arguments, [arguments.pairs])
    if summary is not None:
        return summary
    asking = arguments.asking()
    questions = judging_questions(
        read_pairs(arguments.pairs, arguments.limit), asking, order=arguments.order, seed=arguments.seed
    )
    answers = [format_reply(question.expert_action) for question in questions]
    return train_on_answers("sft-choice", arguments, opened, questions, answers, asking)


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(SFTChoiceConfig, argv, program="act-gym train sft-choice")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
