"""Direct preference optimisation on pairs: what it learns, against which reference, and what must not change it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from act_gym.errors import UsageError
from act_gym.io.run_dir import Run
from act_gym.types import ActionPair
from agents.prompt_config import CONVERSATION, view_of
from agents.prompts import format_reply
from trainers import dpo
from trainers.dpo import DPOStageConfig, train
from trainers.run import checkpoints


def metrics(run: Path, name: str) -> list[float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line[name] for line in lines if name in line and "step" in line]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoint" / "model.safetensors")


def odds(model: Path, pairs: list[ActionPair]) -> list[float]:
    """Log-odds of the expert's action against the alternative, in the words of evaluation."""
    policy = checkpoints.load(str(model), "fp32")
    replies = [[format_reply(pair.step.expert_action), format_reply(pair.alternative)] for pair in pairs]
    scores = policy.log_probabilities([CONVERSATION.messages(view_of(pair.step)) for pair in pairs], replies)
    return [expert - alternative for expert, alternative in scores]


@pytest.fixture
def preferring(tmp_path: Path, pairs_file: Path, speaking_model: Path) -> DPOStageConfig:
    return DPOStageConfig(
        pairs=pairs_file,
        model=str(speaking_model),
        out=tmp_path / "a",
        batch=8,
        steps=6,
        learning_rate=1e-3,
        precision="fp32",
        save_every=2,
        probe=0,
    )


def test_a_handful_of_pairs_is_learned(
    preferring: DPOStageConfig, pairs: list[ActionPair], speaking_model: Path
) -> None:
    before = odds(speaking_model, pairs[:6])
    summary = train(replace(preferring, limit=6, steps=100, learning_rate=3e-3, save_every=0))
    after = odds(preferring.out / "checkpoint", pairs[:6])
    assert min(before) < 0
    assert min(after) > 0
    assert summary["preferred"] == 1.0
    assert summary["margin"] > 0.2  # the log-odds have moved by 2


def test_the_first_loss_is_that_of_a_policy_equal_to_its_reference(preferring: DPOStageConfig) -> None:
    for reference in ("precomputed", "model"):
        out = preferring.out.with_name(reference)
        train(replace(preferring, reference=reference, steps=1, out=out))  # type: ignore[arg-type]
        assert metrics(out, "loss") == [pytest.approx(0.6931, abs=1e-3)]  # ln 2
        assert metrics(out, "margin") == [pytest.approx(0.0, abs=1e-4)]


def test_a_reference_worked_out_before_equals_one_kept_in_memory(preferring: DPOStageConfig) -> None:
    kept = replace(preferring, reference="model", out=preferring.out.with_name("b"))
    train(preferring)
    train(kept)
    assert max(map(abs, metrics(preferring.out, "margin"))) > 0.005
    for name in ("loss", "grad_norm", "margin"):
        assert metrics(kept.out, name) == pytest.approx(metrics(preferring.out, name), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("micro_batch", [2, 8])
def test_accumulation_never_changes_a_preference(preferring: DPOStageConfig, micro_batch: int) -> None:
    whole = replace(preferring, micro_batch=16)
    pieces = replace(preferring, micro_batch=micro_batch, out=preferring.out.with_name("b"))
    train(whole)
    train(pieces)
    for name in ("loss", "grad_norm", "margin"):
        assert metrics(pieces.out, name) == pytest.approx(metrics(whole.out, name), rel=1e-3, abs=1e-6)
    for name, tensor in weights(whole.out).items():
        torch.testing.assert_close(weights(pieces.out)[name], tensor, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("limit", "batch", "micro_batch"), [(24, 24, 2), (22, 16, 8)])
def test_accumulation_never_changes_the_loss(
    preferring: DPOStageConfig, limit: int, batch: int, micro_batch: int
) -> None:
    """Of 22 pairs, the last step holds 6: a pass of 4 and one of 2."""
    whole = replace(
        preferring,
        limit=limit,
        batch=batch,
        micro_batch=48,
        imitation_weight=1.0,
        steps=0,
        learning_rate=1e-6,
        lr_warmup=0.0,
        save_every=0,
    )
    pieces = replace(whole, micro_batch=micro_batch, out=preferring.out.with_name("b"))
    train(whole)
    train(pieces)
    assert metrics(pieces.out, "loss") == pytest.approx(metrics(whole.out, "loss"), rel=0, abs=1e-6)
    assert metrics(pieces.out, "grad_norm") == pytest.approx(metrics(whole.out, "grad_norm"), rel=1e-5)


class Killed(Run):
    """A run folder on a machine that goes down when the fifth step is logged."""

    def log(self, **values: Any) -> None:
        if values.get("step") == 5:
            raise KeyboardInterrupt
        super().log(**values)


def test_a_killed_and_resumed_run_keeps_the_reference_it_began_with(
    preferring: DPOStageConfig, pairs: list[ActionPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(preferring)
    killed = replace(preferring, out=preferring.out.with_name("b"))
    with monkeypatch.context() as patch:
        patch.setattr("trainers.run.stage.Run", Killed)
        with pytest.raises(KeyboardInterrupt):
            train(killed)
    assert checkpoints.last_state(killed.out) == killed.out / "state" / "checkpoint-4"
    train(replace(killed, resume=True))
    for name, tensor in weights(preferring.out).items():
        torch.testing.assert_close(weights(killed.out)[name], tensor, rtol=0, atol=0)


def test_adapters_leave_a_whole_model_and_their_reference_is_the_model_without_them(preferring: DPOStageConfig) -> None:
    train(replace(preferring, lora_rank=4))
    assert metrics(preferring.out, "margin")[0] == pytest.approx(0.0, abs=1e-4)
    before = load_file(Path(preferring.model) / "model.safetensors")
    after = weights(preferring.out)
    assert {name for name in before if not before[name].equal(after[name])} == {n for n in before if "_proj" in n}


def test_imitation_beside_the_preference_raises_the_experts_probability(preferring: DPOStageConfig) -> None:
    alone = replace(preferring, steps=20, save_every=0)
    beside = replace(alone, imitation_weight=1.0, out=preferring.out.with_name("b"))
    train(alone)
    train(beside)
    name = "log_probability_expert"
    assert metrics(beside.out, name)[-1] > metrics(alone.out, name)[-1] + 0.2


def test_the_tokens_are_those_of_imitation(speaking_model: Path, pairs: list[ActionPair]) -> None:
    from trainers.data.questions import acting_questions
    from trainers.sft.answers import encode

    policy = checkpoints.load(str(speaking_model), "fp32")
    question = acting_questions([pairs[0].step])[0]
    row = encode(policy, question, format_reply(question.expert_action))
    prompt = policy.prompt_ids(question.prompt)
    assert row["input_ids"] == prompt + dpo.spoken_ids(policy, prompt, format_reply(question.expert_action))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"beta": 0.0}, "--beta"),
        ({"label_smoothing": 0.5}, "--label-smoothing"),
        ({"label_smoothing": 0.1}, "robust"),
        ({"imitation_weight": -1.0}, "--imitation-weight"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    preferring: DPOStageConfig, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(replace(preferring, **wrong))
