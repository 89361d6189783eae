"""RL on expert states: GRPO with a reward that compares the model's action with the expert's.

No environment runs: the reward is the same composite as in ACT, against the expert's action and the
commands that were admissible. Source: the RL stage of Agentic Critical Training (arXiv 2603.08706).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_gym.cli import run
from act_gym.config import PositiveFloat, parse
from trainers.data.questions import acting_questions, read_steps
from trainers.dry_run.measured_steps import estimable
from trainers.grpo.trainer import check, train_on_groups
from trainers.run.cleanup import discard_unstarted
from trainers.run.config import DecisionInputs, GroupStageConfig, Schedule
from trainers.run.stage import open_run, show

__all__ = ["RLConfig", "main", "train"]


@dataclass(frozen=True, kw_only=True)
class RLConfig(GroupStageConfig, DecisionInputs):
    """Train a model with GRPO to act as the expert does."""

    learning_rate: PositiveFloat = 5e-6
    """Peak learning rate."""

    schedule: Schedule = "constant"
    """How the learning rate falls after its warm-up: constant, linear or cosine."""

    out: Path = Path("runs/rl")
    """The run folder."""


@estimable
@discard_unstarted
def train(arguments: RLConfig) -> dict[str, Any]:
    """Run the stage and return its summary; see `grpo.trainer` for the errors it raises."""
    opened, summary = open_run("trainers.rl", arguments, [arguments.decisions], check=check)
    if summary is not None:
        return summary
    asking = arguments.asking(thinking=arguments.thinking)
    steps = read_steps(arguments.decisions, arguments.limit)
    questions = acting_questions(steps, asking)
    return train_on_groups("rl", arguments, opened, questions, asking)


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(RLConfig, argv, program="act-gym train rl")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
