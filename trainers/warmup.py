"""Warm-up: supervised training on the answer format, with the answer drawn at random.

A model that cannot write `<action>…</action>` earns the same reward for every reply, and GRPO has no gradient.
This stage teaches the format and no judgement, because every answer is a coin flip: the
expert's action is the answer of half the judging questions. The paper has no such stage; its models need none.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from act_gym.cli import run
from act_gym.config import NotNegative, Positive, PositiveFloat, Share, parse
from act_gym.types import ActionPair
from agents.prompt_config import CONVERSATION
from agents.prompt_config import Question as Asking
from agents.prompts import format_reply
from trainers.data.questions import Question, acting_questions, judging_questions, read_pairs
from trainers.dry_run.measured_steps import estimable
from trainers.run.cleanup import discard_unstarted
from trainers.run.config import PairInputs, SupervisedStageConfig
from trainers.run.stage import open_run, show
from trainers.sft.answers import train_on_answers

__all__ = ["WarmupConfig", "lessons", "main", "train"]

_THOUGHT = "I compare what the actions would do and decide."
"""With `thinking`, the reasoning of every answer: it shows where reasoning goes, not how to judge."""


@dataclass(frozen=True, kw_only=True)
class _Inputs(PairInputs):
    """Examples of the answer format."""

    examples: NotNegative = 128
    """Pairs used, evenly spread over the file; 0 uses all."""

    acting_share: Share = 0.25
    """Share of the examples that ask for the next action; the others ask which of two is better."""

    thinking: bool = False
    """Answer with reasoning before the action."""


@dataclass(frozen=True, kw_only=True)
class WarmupConfig(SupervisedStageConfig, _Inputs):
    """Teach a model the answer format by answers drawn at random."""

    batch: Positive = 8
    """Samples in one optimizer step."""

    learning_rate: PositiveFloat = 5e-5
    """Peak learning rate."""

    out: Path = Path("runs/warmup")
    """The run folder."""


def lessons(
    pairs: Sequence[ActionPair], asking: Asking = CONVERSATION, *, acting_share: float, seed: int
) -> tuple[list[Question], list[str]]:
    """Pose questions and draw their answers.

    Whether a pair becomes an acting question, the order of its actions, and the answer are drawn
    independently of each other. A judging answer is either action with equal odds. An acting answer
    is any admissible command with equal odds; where the list is missing, either action of the pair.

    Args:
        pairs: The source of the states and actions.
        asking: How a state is shown; whether questions ask for reasoning, and answers hold some.
        acting_share: Probability of an acting question, 0–1.
        seed: Seeds all draws.

    Returns:
        Questions and their answers, in the order of the pairs.
    """
    random = np.random.default_rng(seed)
    questions, answers = [], []
    for pair in pairs:
        acting = random.random() < acting_share
        expert_first = bool(random.integers(2))
        either = (pair.step.expert_action, pair.alternative)
        choices = (pair.step.admissible_commands or either) if acting else either
        answer = choices[random.integers(len(choices))]
        if acting:
            questions += acting_questions([pair.step], asking)
        else:
            shown = ActionPair(
                step=pair.step,
                alternative=pair.alternative,
                proposer=pair.proposer,
                expert_first=expert_first,
            )
            questions += judging_questions([shown], asking)
        answers.append(format_reply(answer, _THOUGHT if asking.thinking else ""))
    return questions, answers


@estimable
@discard_unstarted
def train(arguments: WarmupConfig) -> dict[str, Any]:
    """Run the stage and return its summary.

    Raises:
        UsageError: The settings make no sense, or no question is short enough.
    """
    opened, summary = open_run("trainers.warmup", arguments, [arguments.pairs])
    if summary is not None:
        return summary
    pairs = read_pairs(arguments.pairs, arguments.limit)
    if arguments.examples:
        stride = max(1, len(pairs) // arguments.examples)
        pairs = pairs[::stride][: arguments.examples]
    asking = arguments.asking(thinking=arguments.thinking)
    questions, answers = lessons(pairs, asking, acting_share=arguments.acting_share, seed=arguments.seed)
    return train_on_answers("warmup", arguments, opened, questions, answers, asking)


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(WarmupConfig, argv, program="act-gym train warmup")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
