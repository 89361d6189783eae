"""Groups whose rewards are all equal: counted, left out of the loss, replaced; and both orders in one batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from act_gym.io.run_dir import Run
from act_gym.types import ActionPair
from tests.trainers.conftest import make_pair
from trainers import act
from trainers.act import ActConfig
from trainers.data.questions import Reward, in_both_orders, judging_questions
from trainers.grpo.trainer import _trainer, train_on_groups
from trainers.grpo.zero_variance import QuestionSampler, leave_out, merge
from trainers.run import checkpoints
from trainers.run.logging import quiet
from trainers.run.stage import facts_of

SIZE = 4  # replies in a group


def settings(tmp_path: Path, model: Path, **changes: Any) -> ActConfig:
    made = ActConfig(
        pairs=tmp_path / "pairs.jsonl",
        model=str(model),
        out=tmp_path / "run",
        groups=4,
        num_generations=SIZE,
        micro_batch=16,
        max_completion_tokens=10,
        learning_rate=1e-3,
        precision="fp32",
        steps=2,
        save_every=0,
        probe=0,
        probe_groups=0,
    )
    return replace(made, **changes)


def trainer_of(arguments: ActConfig, dull: Any) -> Any:
    """Return a trainer whose rewards are all equal for the questions that `dull` holds of, and else all different."""
    quiet()
    policy = checkpoints.load(arguments.model, arguments.precision)
    questions = judging_questions([make_pair(number) for number in range(24)])
    sequences = arguments.groups * SIZE
    trainer = _trainer(arguments, policy, questions, Reward(), sequences)

    def reward(completion_ids: Any, question: list[int], **_: Any) -> list[float]:
        return [0.5 if dull(number) else row % SIZE / 10 for row, number in enumerate(question)]

    trainer.reward_funcs = [reward]
    return trainer


def sampled(trainer: Any) -> dict[str, Any]:
    """Return the first batch that a training would learn from."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    torch.manual_seed(0)
    inputs = next(iter(trainer.get_train_dataloader()))
    batch: dict[str, Any] = trainer._generate_and_score_completions(inputs)
    return batch


def logged(trainer: Any, name: str) -> list[float]:
    values: list[float] = trainer._metrics["train"][name]
    return values


@pytest.mark.parametrize("shared", [True, False])
def test_equal_groups_are_counted_exactly(tmp_path: Path, tiny_model: Path, shared: bool) -> None:
    trainer = trainer_of(settings(tmp_path, tiny_model, shared_prompt=shared), lambda number: number % 3 == 0)
    loader = trainer.get_train_dataloader()
    trainer.model.train()
    for inputs in loader:
        trainer._generate_and_score_completions(inputs)
        asked = {row["question"] for row in inputs}
        assert logged(trainer, "zero_variance_groups")[-1] == sum(number % 3 == 0 for number in asked) / 4


def test_equal_rewards_that_floats_cannot_average_count_as_equal(tmp_path: Path, tiny_model: Path) -> None:
    trainer = trainer_of(settings(tmp_path, tiny_model), lambda number: True)
    trainer.reward_funcs = [lambda completion_ids, **_: [0.1] * len(completion_ids)]
    sampled(trainer)
    assert logged(trainer, "zero_variance_groups") == [1.0]


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo", "bnpo"])
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_the_loss_is_that_of_the_other_groups_alone(
    tmp_path: Path, speaking_model: Path, loss_type: Any, beta: float
) -> None:
    arguments = settings(tmp_path, speaking_model, loss_type=loss_type, beta=beta, zero_variance="filter")
    trainer = trainer_of(arguments, lambda number: number % 2 == 0)
    trainer.args.seed = 3
    batch = sampled(trainer)
    left = batch["completion_mask"].any(dim=1)
    assert 0 < left.float().mean() < 1
    assert logged(trainer, "kept_groups") == [left.float().mean().item()]
    assert not batch["advantages"][~left].any()
    alone = {key: value[left] if value is not None and value.ndim else value for key, value in batch.items()}
    del alone["kept_share"]
    alone["num_items_in_batch"] = alone["completion_mask"].sum()

    def gradient(inputs: dict[str, Any]) -> tuple[float, torch.Tensor]:
        trainer.model.zero_grad()
        loss = trainer._compute_loss(trainer.model, inputs)
        loss.backward()
        return loss.item(), torch.cat([one.grad.flatten() for one in trainer.model.parameters()])

    with_rest, expected = gradient(batch), gradient(alone)
    assert with_rest[0] == pytest.approx(expected[0], rel=1e-4, abs=1e-7)
    torch.testing.assert_close(with_rest[1], expected[1], rtol=1e-3, atol=1e-6)
    assert expected[1].abs().max() > 1e-3


def test_where_no_group_is_equal_filtering_and_resampling_change_no_bit(tmp_path: Path, tiny_model: Path) -> None:
    weights = []
    for equal in ("keep", "filter", "resample"):
        trainer = trainer_of(settings(tmp_path, tiny_model, zero_variance=equal), lambda number: False)
        torch.manual_seed(0)
        trainer.train()
        weights.append({name: tensor.clone() for name, tensor in trainer.model.state_dict().items()})
    for name, tensor in weights[0].items():
        for other in weights[1:]:
            torch.testing.assert_close(other[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("shared", [True, False])
def test_resampling_fills_the_batch_with_other_questions(tmp_path: Path, tiny_model: Path, shared: bool) -> None:
    arguments = settings(tmp_path, tiny_model, zero_variance="resample", resample_rounds=8, shared_prompt=shared)
    trainer = trainer_of(arguments, lambda number: number % 2 == 0)
    batch = sampled(trainer)
    assert batch["completion_mask"].any(dim=1).all()
    assert "kept_share" not in batch
    assert logged(trainer, "kept_groups") == [1.0]
    first = logged(trainer, "zero_variance_groups")[0]
    assert first > 0
    assert logged(trainer, "resampled_groups")[0] >= 4 * first
    assert logged(trainer, "reward") == [pytest.approx(first * 0.5 + (1 - first) * 0.15)]  # as without resampling
    prompts = trainer._tokenizer.batch_decode(batch["prompt_ids"], skip_special_tokens=True)
    assert len(set(prompts)) == 4
    assert all(len(set(prompts[start : start + SIZE])) == 1 for start in range(0, 16, SIZE))
    trainer._compute_loss(trainer.model, batch).backward()


def test_resampling_ends_where_all_questions_are_dull(tmp_path: Path, tiny_model: Path) -> None:
    trainer = trainer_of(settings(tmp_path, tiny_model, zero_variance="resample"), lambda number: True)
    batch = sampled(trainer)
    assert logged(trainer, "resampled_groups") == [12.0]  # three rounds of four
    assert logged(trainer, "kept_groups") == [0.0]
    assert trainer._compute_loss(trainer.model, batch).item() == 0.0


def test_merged_batches_are_padded_where_they_were() -> None:
    one = {"prompt_ids": torch.tensor([[1, 2]]), "completion_ids": torch.tensor([[3], [4]]), "n": torch.tensor(7)}
    other = {"prompt_ids": torch.tensor([[5, 6, 7]]), "completion_ids": torch.tensor([[8, 9]]), "n": torch.tensor(8)}
    one["prompt_ids"] = one["prompt_ids"].repeat(2, 1)
    joined = merge(one, torch.tensor([1]), other, torch.tensor([0]), pad=0)
    assert joined["prompt_ids"].tolist() == [[0, 1, 2], [5, 6, 7]]
    assert joined["completion_ids"].tolist() == [[4, 0], [8, 9]]
    assert joined["n"] == 7


def test_leaving_all_out_leaves_a_divisor() -> None:
    batch = {"completion_mask": torch.ones(4, 3, dtype=torch.long)}
    left = leave_out(batch, torch.ones(4, dtype=torch.bool), lambda tensor: tensor)
    assert (left["num_items_in_batch"], left["kept_share"]) == (0, 0.25)


def test_both_orders_of_a_pair_come_in_one_batch(tmp_path: Path, pairs_file: Path, speaking_model: Path) -> None:
    arguments = settings(tmp_path, speaking_model, pairs=pairs_file, order="both", steps=4)
    act.train(arguments)
    lines = [json.loads(line) for line in (arguments.out / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "step" in line]
    assert len(steps) == 4
    for line in steps:
        halves = (line["accuracy_expert_first"] + line["accuracy_expert_second"]) / 2
        assert line["accuracy"] == pytest.approx(halves)  # as many questions of each


def test_the_sampler_keeps_blocks_and_shuffles_them() -> None:
    made = QuestionSampler(2, data_source=range(12), mini_repeat_count=3, batch_size=4, repeat_count=2, seed=1)
    order = list(made)
    assert len(order) == len(made) == 12 * 3 * 2
    batches = [order[start : start + 12] for start in range(0, len(order), 12)]
    assert batches[::2] == batches[1::2]  # each is repeated
    for batch in batches[::2]:
        questions = batch[::3]
        assert all(questions[place] % 2 == 0 and questions[place + 1] == questions[place] + 1 for place in (0, 2))
    assert sorted(order) == sorted([*range(12)] * 6)
    assert order != sorted(order)


def test_a_question_whose_twin_was_left_out_goes_too(pairs: list[ActionPair]) -> None:
    questions = judging_questions(pairs[:3], order="both")
    assert in_both_orders(questions) == questions
    assert in_both_orders([*questions[:1], *questions[2:]]) == questions[2:]
    assert in_both_orders([*questions[:3], *questions[4:]]) == [*questions[:2], *questions[4:]]


class Killed(Run):
    """A run folder on a machine that goes down when the fourth step is logged."""

    def log(self, **values: Any) -> None:
        if values.get("step") == 4:
            raise KeyboardInterrupt
        super().log(**values)


def test_a_killed_and_resumed_training_draws_the_same_questions(
    tmp_path: Path, pairs_file: Path, pairs: list[ActionPair], speaking_model: Path
) -> None:
    changes = {"pairs": pairs_file, "zero_variance": "resample", "steps": 5, "save_every": 2, "num_generations": 2}
    whole = settings(tmp_path, speaking_model, groups=2, micro_batch=4, **changes)
    act.train(whole)
    killed = replace(whole, out=tmp_path / "killed")
    run = Killed(
        killed.out,
        "trainers.act",
        killed,
        inputs=[killed.pairs, *sorted(speaking_model.glob("*.safetensors"))],
        facts=facts_of([killed.pairs]),
    )
    with pytest.raises(KeyboardInterrupt):
        train_on_groups("act", killed, run, judging_questions(pairs, killed.asking()), killed.asking())
    act.train(replace(killed, resume=True))
    lines = [
        [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        for out in (whole.out, killed.out)
    ]
    assert sum(line.get("resampled_groups", 0) for line in lines[0]) > 0
    one, other = (load_file(out / "checkpoint" / "model.safetensors") for out in (whole.out, killed.out))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=0, atol=0)


def test_the_forecast_is_of_whole_groups(tmp_path: Path, pairs_file: Path, speaking_model: Path) -> None:
    arguments = settings(tmp_path, speaking_model, pairs=pairs_file, probe_groups=6, steps=1)
    summary = act.train(arguments)
    lines = [json.loads(line) for line in (arguments.out / "metrics.jsonl").read_text().splitlines()]
    (found,) = [line for line in lines if line.get("event") == "probe_groups"]
    assert (found["asked"], found["replies"]) == (6, SIZE)
    assert 0 <= found["mastered_groups"] <= found["frac_reward_zero_std"] <= 1
    assert summary["frac_reward_zero_std_before"] == pytest.approx(found["frac_reward_zero_std"], abs=1e-4)
