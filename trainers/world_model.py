"""Implicit world modelling: supervised training on the observation that follows an action.

The model reads a state and an action, and learns the observation that followed when `trainers.early_experience`
carried the action out: the expert's, and random admissible ones. `imitation` comes after it, as a stage of
its own. Source: Early Experience (arXiv 2510.08558); the wording of the question is ours.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from act_gym.cli import run
from act_gym.config import parse
from act_gym.types import Transition
from agents.prompt_config import CONVERSATION, view_of
from agents.prompt_config import Question as Asking
from trainers.data.proposers import RANDOM
from trainers.data.questions import Question, read_experience
from trainers.dry_run.measured_steps import estimable
from trainers.run.cleanup import discard_unstarted
from trainers.run.config import ExperienceInputs, SupervisedStageConfig
from trainers.run.stage import open_run, show
from trainers.sft.answers import train_on_answers

__all__ = ["WorldModelConfig", "lessons", "main", "train"]

_ASK = "You do this: {action}\n\nWhat do you observe then? Reply with the observation alone."


@dataclass(frozen=True, kw_only=True)
class _Inputs(ExperienceInputs):
    """Transitions to learn."""

    actions: Literal["random", "all"] = "random"
    """Actions whose outcomes are learned in addition to those of the expert's actions: random admissible actions, or
    the policy's proposals too (all)."""


@dataclass(frozen=True, kw_only=True)
class WorldModelConfig(SupervisedStageConfig, _Inputs):
    """Train a model to predict the outcome of an action. `probe` is not used: the replies are no actions."""

    out: Path = Path("runs/world-model")
    """The run folder."""


def lessons(
    experiences: Iterable[Transition], asking: Asking = CONVERSATION, *, actions: Literal["random", "all"] = "random"
) -> tuple[list[Question], list[str]]:
    """Return a question about the outcome of every action, and the outcome that was observed.

    Args:
        experiences: Actions that were carried out.
        asking: How a state is shown, and how long an observation may be.
        actions: The actions in addition to the expert's, `random` or `all`.
    """
    questions, answers = [], []
    for record in experiences:
        if not (record.is_expert or record.source == RANDOM or actions == "all"):
            continue
        questions.append(
            Question(
                id=record.step.id,
                prompt=asking.about(view_of(record.step), _ASK.format(action=record.action)),
                expert_action=record.step.expert_action,
                other_actions=(),
            )
        )
        shown, longest = record.next_observation.strip(), asking.max_characters
        answers.append(shown if len(shown) <= longest else shown[:longest].rstrip() + " …")
    return questions, answers


@estimable
@discard_unstarted
def train(arguments: WorldModelConfig) -> dict[str, Any]:
    """Run the stage and return its summary.

    Raises:
        UsageError: The settings make no sense, or no question is short enough.
    """
    opened, summary = open_run("trainers.world_model", arguments, [arguments.experience])
    if summary is not None:
        return summary
    asking = arguments.asking()
    questions, answers = lessons(
        read_experience(arguments.experience, arguments.limit), asking, actions=arguments.actions
    )
    return train_on_answers("world-model", arguments, opened, questions, answers, asking, acting=False)


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(WorldModelConfig, argv, program="act-gym train world-model")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
