"""What must not change a training: how it is cut into pieces, padding, and a kill in the middle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from act_gym.io.run_dir import Run
from act_gym.types import ActionPair
from agents.prompts import format_reply
from trainers import act, imitation
from trainers.act import ActConfig
from trainers.data.questions import acting_questions, judging_questions
from trainers.grpo.trainer import train_on_groups
from trainers.imitation import ImitationConfig
from trainers.run import checkpoints
from trainers.run.logging import quiet
from trainers.run.stage import facts_of
from trainers.sft import answers as supervised


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoint" / "model.safetensors")


def metrics(run: Path, name: str) -> list[float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line[name] for line in lines if name in line and "step" in line]


class Killed(Run):
    """A run folder on a machine that goes down when the fifth step is logged."""

    def log(self, **values: Any) -> None:
        if values.get("step") == 5:
            raise KeyboardInterrupt
        super().log(**values)


@pytest.fixture
def imitating(tmp_path: Path, pairs_file: Path, tiny_model: Path) -> ImitationConfig:
    return ImitationConfig(
        decisions=pairs_file,
        model=str(tiny_model),
        out=tmp_path / "a",
        batch=8,
        steps=6,
        learning_rate=1e-3,
        precision="fp32",
        save_every=2,
        probe=0,
    )


@pytest.mark.parametrize("micro_batch", [1, 2])
def test_accumulating_small_batches_trains_as_one_large_batch(imitating: ImitationConfig, micro_batch: int) -> None:
    whole = replace(imitating, micro_batch=8)
    pieces = replace(imitating, micro_batch=micro_batch, out=imitating.out.with_name("b"))
    imitation.train(whole)
    imitation.train(pieces)
    for name in ("loss", "grad_norm"):
        assert metrics(pieces.out, name) == pytest.approx(metrics(whole.out, name), rel=1e-4)
    for name, tensor in weights(whole.out).items():
        torch.testing.assert_close(weights(pieces.out)[name], tensor, rtol=0, atol=2e-5)


def test_a_killed_and_resumed_imitation_ends_with_the_weights_of_an_uninterrupted_one(
    imitating: ImitationConfig,
) -> None:
    imitation.train(imitating)
    killed = replace(imitating, out=imitating.out.with_name("b"))
    questions = acting_questions(imitation.read_steps(killed.decisions))
    answers = [format_reply(question.expert_action) for question in questions]
    inputs = [killed.decisions, *sorted(Path(killed.model).glob("*.safetensors"))]
    with pytest.raises(KeyboardInterrupt):
        supervised.train_on_answers(
            "imitation",
            killed,
            Killed(killed.out, "trainers.imitation", killed, inputs=inputs, facts=facts_of(inputs)),
            questions,
            answers,
        )
    assert checkpoints.last_state(killed.out) == killed.out / "state" / "checkpoint-4"
    assert checkpoints.finished(killed.out) is None
    imitation.train(replace(killed, resume=True))
    assert_same_weights(imitating.out, killed.out)


def test_a_killed_and_resumed_act_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, pairs_file: Path, pairs: list[ActionPair], speaking_model: Path
) -> None:
    whole = ActConfig(
        pairs=pairs_file,
        model=str(speaking_model),
        out=tmp_path / "a",
        groups=2,
        num_generations=4,
        max_completion_tokens=12,
        steps=6,
        learning_rate=1e-3,
        precision="fp32",
        save_every=2,
        probe=0,
    )
    act.train(whole)
    killed = replace(whole, out=tmp_path / "b")
    inputs = [killed.pairs, *sorted(speaking_model.glob("*.safetensors"))]
    with pytest.raises(KeyboardInterrupt):
        train_on_groups(
            "act",
            killed,
            Killed(killed.out, "trainers.act", killed, inputs=inputs, facts=facts_of(inputs)),
            judging_questions(pairs, killed.asking()),
            killed.asking(),
        )
    act.train(replace(killed, resume=True))
    assert max(metrics(whole.out, "grad_norm")) > 0
    assert metrics(killed.out, "reward")[-2:] == metrics(whole.out, "reward")[-2:]
    assert_same_weights(whole.out, killed.out)


def assert_same_weights(one: Path, other: Path) -> None:
    for name, tensor in weights(one).items():
        torch.testing.assert_close(weights(other)[name], tensor, rtol=0, atol=0)


def rows_of(policy: Any, pairs: Sequence[ActionPair]) -> list[dict[str, list[int]]]:
    questions = acting_questions([pair.step for pair in pairs])
    return [supervised.encode(policy, question, format_reply(question.expert_action)) for question in questions]


def test_padding_never_changes_a_loss(imitating: ImitationConfig, pairs: list[ActionPair]) -> None:
    quiet()
    policy = checkpoints.load(imitating.model, "fp32")
    rows = rows_of(policy, [pairs[0], pairs[2]])  # of different length
    assert len(rows[0]["input_ids"]) != len(rows[1]["input_ids"])
    trainer = supervised.trainer_of(imitating, policy, rows)

    def total(batch: list[dict[str, list[int]]]) -> float:
        with torch.no_grad():
            loss = trainer.compute_loss(trainer.model, trainer.data_collator(batch))
        return float(loss) * sum(label != -100 for row in batch for label in row["labels"][1:])

    assert total(rows) == pytest.approx(total(rows[:1]) + total(rows[1:]), rel=1e-5)


def test_the_loss_covers_the_answer_and_the_end_of_the_turn_and_nothing_else(
    tiny_model: Path, pairs: list[ActionPair]
) -> None:
    policy = checkpoints.load(str(tiny_model), "fp32")
    for pair, row in zip(pairs, rows_of(policy, pairs), strict=True):
        assert_only_answer_is_learned(policy, row, f"<action>{pair.step.expert_action}</action>")


@pytest.mark.slow
def test_the_loss_covers_exactly_the_answer_in_the_default_models_chat_format(pairs: list[ActionPair]) -> None:
    policy = checkpoints.load("smollm2", "bf16")
    row = rows_of(policy, pairs[:1])[0]
    assert_only_answer_is_learned(policy, row, f"<action>{pairs[0].step.expert_action}</action>")
    whole = policy.tokenizer.apply_chat_template(
        [
            *acting_questions([pairs[0].step])[0].prompt,
            {"role": "assistant", "content": f"<action>{pairs[0].step.expert_action}</action>"},
        ],
        tokenize=False,
    )
    assert policy.tokenizer.decode(row["input_ids"]) == whole.rstrip("\n")


def assert_only_answer_is_learned(policy: Any, row: dict[str, list[int]], answer: str) -> None:
    learned = [label for label in row["labels"] if label != -100]
    assert policy.tokenizer.decode(learned) == answer + policy.tokenizer.eos_token
    assert row["labels"][-len(learned) :] == learned == row["input_ids"][-len(learned) :]
