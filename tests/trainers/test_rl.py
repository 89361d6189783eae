"""GRPO on expert states."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import pytest

from act_gym.engines.webshop.catalogue.build import build
from act_gym.engines.webshop.catalogue.generated import GeneratedProducts
from act_gym.errors import RunError
from act_gym.types import ActionPair, ExpertStep, Task, Turn
from trainers.data.questions import Reward, acting_questions, judge
from trainers.grpo.trainer import _trainer
from trainers.rl import RLConfig, train
from trainers.run import checkpoints


def test_a_question_is_rewarded_against_the_expert_and_the_admissible_commands(pairs: list[ActionPair]) -> None:
    question = acting_questions([pairs[0].step])[0]
    assert "Answer each observation with your next command" in question.prompt[0]["content"]
    kinds = [
        judge(f"<action>{action}</action>", question.expert_action, question.valid_actions)
        for action in ("go to kitchen", "Look around", "sing")
    ]
    assert kinds == ["expert", "valid", "other"]


def test_another_search_than_the_experts_is_a_valid_action(tmp_path: Path) -> None:
    build(tmp_path / "stock", GeneratedProducts(60))
    env = gym.make("act/WebShop", catalogue=str(tmp_path / "stock"))
    _, info = env.reset(seed=0)
    task = Task(id="webshop/0", benchmark="WebShop", split="train", task_type="shop")
    step = ExpertStep(
        id="webshop/0#0",
        task=task,
        turn=0,
        goal="Find black shoes.",
        history=(),
        observation="A search page.",
        expert_action="search[black shoes]",
        admissible_commands=info["admissible_commands"],
    )
    (question,) = acting_questions([step])
    actions = ("search[black shoes]", "search[shoes]", "Search[ red  shoes ].", "search[]", "search[a[b]", "click[x]")
    kinds = [judge(f"<action>{one}</action>", "search[black shoes]", question.valid_actions) for one in actions]
    assert kinds == ["expert", "valid", "valid", "other", "other", "other"]
    assert env.step("search[shoes]")[4]["action_valid"]
    env.close()


def test_rl_trains_end_to_end(tmp_path: Path, pairs_file: Path, speaking_model: Path) -> None:
    out = tmp_path / "run"
    summary = train(
        RLConfig(
            decisions=pairs_file,
            model=str(speaking_model),
            out=out,
            steps=2,
            groups=2,
            num_generations=4,
            beta=0.01,
            iterations=2,
            max_completion_tokens=10,
            precision="fp32",
            save_every=0,
        )
    )
    assert summary["format_error_rate_before"] < 0.9
    steps = [line for line in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if "step" in line]
    assert all("kl" in line and "accuracy_expert_first" not in line for line in steps)


def test_the_format_is_checked_here_too(tmp_path: Path, pairs_file: Path, tiny_model: Path) -> None:
    with pytest.raises(RunError, match="Run warmup first"):
        train(
            RLConfig(
                decisions=pairs_file, model=str(tiny_model), out=tmp_path / "run", max_completion_tokens=8, probe=4
            )
        )


def test_a_limit_that_cuts_the_reasoning_off_is_named(tmp_path: Path, pairs_file: Path, speaking_model: Path) -> None:
    asked = RLConfig(decisions=pairs_file, model=str(speaking_model), out=tmp_path / "run", thinking=True, probe=4)
    with pytest.raises(
        RunError, match=r"\d of these \d were cut off at --max-completion-tokens 24: raise it; reasoning"
    ):
        train(replace(asked, max_completion_tokens=24, temperature=5.0, max_malformed=0.0))


def test_a_group_reads_the_tokens_that_an_evaluation_reads(
    tmp_path: Path, pairs: list[ActionPair], tiny_model: Path
) -> None:
    """Under a template that renders earlier replies otherwise than they were read when they were new."""
    policy = checkpoints.load(str(tiny_model), "fp32")
    old = "{% if message.role == 'assistant' and loop.revindex > 2 %} (old){% endif %}<|im_end|>"
    policy.tokenizer.chat_template = policy.tokenizer.chat_template.replace("<|im_end|>", old)
    past = (
        Turn(observation="A foundry.", action="go to hallway"),
        Turn(observation="A hallway.", action="look around"),
    )
    questions = acting_questions([replace(pair.step, turn=2, history=past) for pair in pairs[:4]])
    arguments = RLConfig(model=str(tiny_model), out=tmp_path / "run", groups=2, num_generations=2, micro_batch=4)
    trainer = _trainer(arguments, policy, questions, Reward(), 4)
    asked = [question.prompt for question in questions]
    rows, images, _ = trainer._tokenize_prompts(asked)
    assert rows == [policy.prompt_ids(messages) for messages in asked]
    assert images is None
    assert rows != policy.tokenizer.apply_chat_template(asked, add_generation_prompt=True)["input_ids"]
