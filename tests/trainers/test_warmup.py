"""The warm-up teaches the format and no judgement."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.errors import UsageError
from act_gym.types import ActionPair
from agents.prompt_config import CONVERSATION
from agents.prompts import read_reply
from tests.trainers.conftest import make_pair
from trainers.data.questions import judging_questions
from trainers.run import checkpoints
from trainers.warmup import WarmupConfig, lessons, train

MANY = [make_pair(number) for number in range(4000)]


def test_the_drawn_answer_is_the_experts_half_of_the_time_in_either_place() -> None:
    questions, answers = lessons(MANY, acting_share=0.0, seed=1)
    for expert_first in (True, False):
        right = [
            read_reply(answer).action == question.expert_action
            for question, answer in zip(questions, answers, strict=True)
            if question.expert_first is expert_first
        ]
        # About 2,000 tosses of a fair coin: four standard deviations are 0.045.
        assert len(right) > 1800
        assert abs(sum(right) / len(right) - 0.5) < 0.045


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_the_draw_does_not_look_at_which_action_is_the_experts(seed: int, acting_share: float) -> None:
    """If expert and alternative change places in every pair, the same draws name the other action."""
    pairs = MANY[:20]
    swapped = [
        ActionPair(
            step=replace(pair.step, expert_action=pair.alternative),
            alternative=pair.step.expert_action,
            proposer=pair.proposer,
            expert_first=not pair.expert_first,
        )
        for pair in pairs
    ]
    settings = {"acting_share": acting_share, "seed": seed}
    for (question, answer), (other_question, other_answer) in zip(
        zip(*lessons(pairs, **settings), strict=True), zip(*lessons(swapped, **settings), strict=True), strict=True
    ):
        chosen, other = read_reply(answer).action, read_reply(other_answer).action
        if question.expert_first is None:
            assert chosen == other
        else:
            assert (chosen == question.expert_action) == (other == other_question.expert_action)


def test_every_answer_is_well_formed_and_names_a_valid_action() -> None:
    for thinking in (False, True):
        questions, answers = lessons(MANY[:200], replace(CONVERSATION, thinking=thinking), acting_share=0.5, seed=3)
        assert {question.expert_first for question in questions} == {None, True, False}
        for question, answer in zip(questions, answers, strict=True):
            reply = read_reply(answer)
            assert reply.action in {question.expert_action, *question.other_actions}
            assert bool(reply.thought) is thinking


def test_an_acting_share_that_is_no_share_is_refused(tmp_path: Path, pairs_file: Path, tiny_model: Path) -> None:
    with pytest.raises(UsageError, match=r"--acting-share is 1\.5; .*at least 0 and at most 1"):
        train(WarmupConfig(pairs=pairs_file, model=str(tiny_model), out=tmp_path / "run", acting_share=1.5))
    assert not (tmp_path / "run").exists()


def test_a_model_learns_to_write_the_format(tiny_model: Path, speaking_model: Path, pairs: list[ActionPair]) -> None:
    questions = judging_questions(pairs)

    def malformed(folder: Path) -> float:
        replies = checkpoints.load(str(folder), "fp32").generate(
            [question.prompt for question in questions], max_new_tokens=16, stop=None
        )
        return sum(read_reply(reply.text).action is None for reply in replies) / len(replies)

    assert malformed(tiny_model) == 1.0
    assert malformed(speaking_model) < 0.8  # about 0.4; a random model never writes the format by chance


def test_the_run_says_what_it_began_with_and_what_it_left(speaking_model: Path) -> None:
    done = json.loads((speaking_model.parent / "done.json").read_text())
    assert done["summary"]["format_error_rate_before"] == 1.0
    assert done["summary"]["questions"] == 24
    assert done["checkpoint_sha256"] == checkpoints.hash_of(speaking_model)
    assert not (speaking_model.parent / "state").exists()
