"""Imitation learning: maximum likelihood of the expert's action, in whole episodes or state by state.

The loss covers the answer alone. Reasoning is off, in the question and in the chat template: an expert's
trajectory holds none to imitate. `self-reflection` is imitation with reasoning; docs/method.md describes the effect of
each stage on a thinking model. Source: the IL stage of Agentic Critical Training (arXiv 2603.08706).
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
from trainers.data.questions import acting_questions, read_steps
from trainers.dry_run.measured_steps import estimable
from trainers.run.cleanup import discard_unstarted
from trainers.run.config import DecisionInputs, SupervisedStageConfig
from trainers.run.stage import open_run, show
from trainers.sft.answers import train_on_answers
from trainers.sft.episodes import EpisodeStageConfig, read_episodes, train_on_episodes

__all__ = ["ImitationConfig", "main", "train"]


@dataclass(frozen=True, kw_only=True)
class ImitationConfig(SupervisedStageConfig, EpisodeStageConfig, DecisionInputs):
    """Train a model on the expert's actions."""

    out: Path = Path("runs/imitation")
    """The run folder."""


@estimable
@discard_unstarted
def train(arguments: ImitationConfig) -> dict[str, Any]:
    """Run the stage and return its summary."""
    inputs = list(arguments.data_files())
    opened, summary = open_run("trainers.imitation", arguments, inputs)
    if summary is not None:
        return summary
    if arguments.episodes:
        return train_on_episodes(arguments, opened, read_episodes(arguments.episodes, arguments.limit), "imitation")
    asking = arguments.asking()
    questions = acting_questions(read_steps(arguments.decisions, arguments.limit), asking)
    answers = [format_reply(question.expert_action) for question in questions]
    return train_on_answers("imitation", arguments, opened, questions, answers, asking)


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(ImitationConfig, argv, program="act-gym train imitation")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
