"""Agentic Critical Training (ACT): GRPO on judging which of two actions is better.

The model sees a state and two actions, the expert's and an alternative, reasons freely or not at all,
and names one inside `<action>`. The reward compares the name with the expert's action and ignores
the reasoning. Source: arXiv 2603.08706; docs/design/trainers.md lists the details that it leaves open.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_gym.cli import run
from act_gym.config import PositiveFloat, parse
from trainers.data.questions import Numbered, judging_questions, read_pairs
from trainers.dry_run.measured_steps import estimable
from trainers.grpo.trainer import check, train_on_groups
from trainers.run.cleanup import discard_unstarted
from trainers.run.config import GroupStageConfig, JudgingInputs, Schedule
from trainers.run.stage import open_run, show

__all__ = ["ActConfig", "main", "train"]


@dataclass(frozen=True, kw_only=True)
class ActConfig(GroupStageConfig, JudgingInputs):
    """Train a model with GRPO to tell the expert's action from an alternative."""

    numbered: Numbered = "neither"
    """An answer that only numbers an action, such as Action 1, counts as neither action, or as the action it numbers.
    Its share is logged as numbered either way."""

    learning_rate: PositiveFloat = 5e-6
    """Peak learning rate."""

    schedule: Schedule = "constant"
    """How the learning rate falls after its warm-up: constant, linear or cosine."""

    out: Path = Path("runs/act")
    """The run folder."""


@estimable
@discard_unstarted
def train(arguments: ActConfig) -> dict[str, Any]:
    """Run the stage and return its summary; see `grpo.trainer` for the errors it raises."""
    opened, summary = open_run("trainers.act", arguments, [arguments.pairs], check=check)
    if summary is not None:
        return summary
    asking = arguments.asking(thinking=arguments.thinking)
    questions = judging_questions(
        read_pairs(arguments.pairs, arguments.limit),
        asking,
        order=arguments.order,
        seed=arguments.seed,
        numbered=arguments.numbered,
    )
    return train_on_groups("act", arguments, opened, questions, asking)


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(ActConfig, argv, program="act-gym train act")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
