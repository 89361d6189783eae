"""Supervised training on the choice: a handful of pairs is learned, in both orders where both are shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from act_gym.types import ActionPair
from agents.prompt_config import CONVERSATION, trained_with, view_of
from agents.prompts import format_reply
from trainers.data.questions import Order
from trainers.run import checkpoints
from trainers.sft_choice import SFTChoiceConfig, train


def right(model: Path, pairs: list[ActionPair], *, expert_first: bool) -> float:
    """Share of pairs in which the expert's action is the likelier answer, at one place."""
    policy = checkpoints.load(str(model), "fp32")
    prompts, replies = [], []
    for pair in pairs:
        both = [pair.step.expert_action, pair.alternative]
        shown = both if expert_first else both[::-1]
        prompts.append(CONVERSATION.judging(view_of(pair.step), *shown))
        replies.append([format_reply(action) for action in both])
    scores = policy.log_probabilities(prompts, replies)
    return sum(expert > other for expert, other in scores) / len(scores)


@pytest.fixture
def choosing(tmp_path: Path, pairs_file: Path, speaking_model: Path) -> SFTChoiceConfig:
    return SFTChoiceConfig(
        pairs=pairs_file,
        model=str(speaking_model),
        out=tmp_path / "run",
        limit=6,
        batch=12,
        micro_batch=12,
        steps=160,
        learning_rate=1e-2,
        precision="fp32",
        probe=0,
        save_every=0,
    )


def test_a_handful_of_pairs_is_learned_in_both_orders(choosing: SFTChoiceConfig, pairs: list[ActionPair]) -> None:
    summary = train(replace(choosing, order="both"))
    checkpoint = choosing.out / "checkpoint"
    assert summary["questions"] == 12
    assert summary["loss"] < 0.1
    assert [right(checkpoint, pairs[:6], expert_first=first) for first in (True, False)] == [1.0, 1.0]


@pytest.mark.parametrize(("order", "questions"), [("recorded", 6), ("random", 6), ("both", 12)])
def test_every_order_asks_as_often_as_it_says(choosing: SFTChoiceConfig, order: Order, questions: int) -> None:
    summary = train(replace(choosing, order=order, steps=1))
    assert summary["questions"] == questions


@pytest.mark.parametrize("history", ["conversation", "window"])
def test_the_checkpoint_says_how_it_was_asked(
    choosing: SFTChoiceConfig, history: Literal["conversation", "window"]
) -> None:
    train(replace(choosing, history=history, window=2, steps=1))
    told = trained_with(str(choosing.out / "checkpoint"))
    assert (told["history"], told["window"], told["thinking"]) == (history, 2, False)
    assert told == replace(choosing, history=history, window=2).asking().facts()
