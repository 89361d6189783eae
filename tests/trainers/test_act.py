"""GRPO on the judgement, end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import RecordWriter
from act_gym.types import ActionPair
from tests.trainers.conftest import make_pair
from trainers.act import ActConfig, main, train
from trainers.data.questions import judging_questions

RATES = ("accuracy", "other_admissible_rate", "inadmissible_rate", "format_error_rate")
STEP_METRICS = {*RATES, "reward", "frac_reward_zero_std", "length", "entropy", "loss", "step"}


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_model_that_cannot_write_the_format_is_stopped_before_training(
    tmp_path: Path, pairs_file: Path, tiny_model: Path
) -> None:
    arguments = ActConfig(pairs=pairs_file, model=str(tiny_model), out=tmp_path / "run", max_completion_tokens=12)
    with pytest.raises(RunError, match=r"100% of 16 .* Run warmup first: act-gym train warmup --model"):
        train(arguments)
    assert not arguments.out.exists(), "the same --out can be used with the warmed-up model"


def test_forced_training_on_malformed_replies_goes_through_and_warns(
    tmp_path: Path, pairs_file: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    argv = ["--pairs", str(pairs_file), "--model", str(tiny_model), "--out", str(out), "--force", "--groups", "2"]
    assert main([*argv, "--num-generations", "2", "--steps", "2", "--max-completion-tokens", "8", "--probe", "4"]) == 0
    captured = capsys.readouterr()
    assert "format_error_rate" in captured.out
    assert str(out / "checkpoint") in captured.out
    assert "going on because of --force" in captured.err
    assert "had equal rewards and taught nothing" in captured.err
    steps = [line for line in lines(out) if "step" in line]
    assert len(steps) == 2
    assert all(line.keys() >= STEP_METRICS for line in steps)
    assert {line["reward"] for line in steps} == {-0.5}
    assert {line["frac_reward_zero_std"] for line in steps} == {1.0}


def test_the_rewarded_answer_becomes_likelier(tmp_path: Path, speaking_model: Path) -> None:
    """All pairs share an expert action, so even a model that cannot read can learn to name it."""
    path = tmp_path / "pairs.jsonl"
    with RecordWriter(path) as writer:
        for number in range(0, 32, 8):
            writer.write(make_pair(number).to_json())
    out = tmp_path / "run"
    train(
        ActConfig(
            pairs=path,
            order="both",
            model=str(speaking_model),
            out=out,
            steps=40,
            groups=4,
            num_generations=16,
            max_completion_tokens=10,
            learning_rate=2e-3,
            lr_warmup=0.0,
            precision="fp32",
            micro_batch=64,
            save_every=0,
        )
    )
    rewards = [line["reward"] for line in lines(out) if "step" in line]
    # From about -0.1 to 0.9, whatever the random model began as.
    assert sum(rewards[-8:]) / 8 > sum(rewards[:8]) / 8 + 0.4
    assert all(
        line.keys() >= {"accuracy_expert_first", "accuracy_expert_second"} for line in lines(out) if "step" in line
    )


def test_every_step_logs_all_that_is_promised(tmp_path: Path, pairs_file: Path, speaking_model: Path) -> None:
    out = tmp_path / "run"
    train(
        ActConfig(
            pairs=pairs_file,
            order="both",
            model=str(speaking_model),
            out=out,
            steps=3,
            groups=2,
            num_generations=4,
            max_completion_tokens=10,
            learning_rate=1e-2,
            lr_warmup=0.0,
            precision="fp32",
            beta=0.05,
            save_every=0,
            probe=2,
            probe_groups=2,
        )
    )
    steps = [line for line in lines(out) if "step" in line]
    promised = STEP_METRICS | {
        "kl",
        "clipped_ratio",
        "clip_ratio",
        "grad_norm",
        "learning_rate",
        "seconds",
        "mastered_groups",
    }
    assert [sorted(promised - line.keys()) for line in steps] == [[], [], []]
    for line in steps:
        shares = [line[kind] for kind in RATES]
        assert sum(shares) == pytest.approx(1)
        assert line["reward"] == pytest.approx(sum(map(float.__mul__, shares, [1.0, 0.1, 0.0, -0.5])))
        assert line["mastered_groups"] <= line["frac_reward_zero_std"]
        assert 0 < line["entropy"] < 7  # at most the logarithm of 512 tokens, 6.2
        assert 1 <= line["length"] <= 10
    assert steps[0]["kl"] == pytest.approx(0, abs=1e-6)  # nothing has been learnt yet
    assert steps[2]["kl"] > 1e-4


def test_settings_that_cannot_be_are_refused_before_a_model_is_loaded(
    tmp_path: Path, pairs_file: Path, tiny_model: Path
) -> None:
    right = ActConfig(pairs=pairs_file, model=str(tiny_model), out=tmp_path / "run")
    for wrong, message in (
        ({"num_generations": 1}, "--num-generations is 1; expected a number of at least 2"),
        ({"reward_valid": 2.0}, "must earn more"),
        ({"order": "both", "groups": 3}, "--groups must be even"),
        ({"vllm": "server", "vllm_server": "127.0.0.1:8000"}, "expected an address"),
    ):
        with pytest.raises(UsageError, match=message):
            train(replace(right, **wrong))
        assert not right.out.exists(), "the same --out can be used with the right settings"


def test_both_orders_show_each_pair_both_ways(pairs: list[ActionPair]) -> None:
    questions = judging_questions(pairs, order="both")
    assert [q.expert_first for q in questions] == [True, False] * len(pairs)
    for question in questions:
        first, second = question.expert_action, question.other_actions[0]
        shown = (first, second) if question.expert_first else (second, first)
        assert f"Action 1: {shown[0]}\nAction 2: {shown[1]}\n" in question.prompt[0]["content"]


def test_the_recorded_order_is_the_pairs_and_a_random_one_depends_on_the_seed_alone(pairs: list[ActionPair]) -> None:
    recorded = [q.expert_first for q in judging_questions(pairs)]
    assert recorded == [pair.expert_first for pair in pairs]
    drawn = [[q.expert_first for q in judging_questions(pairs, order="random", seed=seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.slow
def test_the_default_model_trains_two_steps(tmp_path: Path, pairs_file: Path) -> None:
    out = tmp_path / "run"
    summary = train(
        ActConfig(
            pairs=pairs_file,
            out=out,
            precision="bf16",
            steps=2,
            groups=1,
            num_generations=2,
            max_completion_tokens=12,
            probe=2,
            force=True,
            save_every=0,
        )
    )
    assert summary["steps"] == 2
    assert (out / "checkpoint" / "model.safetensors").stat().st_size > 200e6
