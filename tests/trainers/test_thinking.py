"""Where reasoning is off, the chat template's switch is off too: in training, in sampling and in evaluation alike."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from act_gym.agent import AgentInput
from act_gym.io.run_dir import Run
from act_gym.types import ActionPair
from agents.local.agent import LocalAgent, LocalSettings
from agents.local.model import Policy
from agents.prompt_config import CONVERSATION
from agents.prompts import format_reply
from tests.tiny_models import build
from trainers import dpo
from trainers.act import ActConfig
from trainers.data.questions import Question, Reward, acting_questions, judging_questions
from trainers.data.replies import check_format
from trainers.dpo import DPOStageConfig
from trainers.grpo import trainer as grpo
from trainers.rl import RLConfig
from trainers.run import checkpoints
from trainers.sft import answers as supervised

OFF = "<|im_start|>assistant\n<think>\n\n</think>\n\n"
ON = "<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A random model of Qwen3's architecture with Qwen3's own chat template, which has a switch for reasoning."""
    folder = tmp_path_factory.mktemp("qwen")
    build("qwen3").save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny_model / name, folder / name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = (files("trl") / "chat_templates" / "qwen3.jinja").read_text(encoding="utf-8")
    tokenizer.save_pretrained(folder)
    return folder


def opening(policy: Policy, prompt: list[int]) -> str:
    """What the template puts into the model's mouth."""
    return "<|im_start|>assistant" + policy.tokenizer.decode(prompt).rpartition("<|im_start|>assistant")[2]


@pytest.mark.parametrize(("thinking", "expected"), [(False, OFF), (True, ON)])
def test_grpo_asks_in_the_mode_of_its_questions(
    thinking: bool, expected: str, qwen: Path, pairs: list[ActionPair], tmp_path: Path
) -> None:
    policy = checkpoints.load(str(qwen), "fp32")
    asked = [
        (ActConfig, judging_questions(pairs, replace(CONVERSATION, thinking=thinking))),
        (RLConfig, acting_questions([pair.step for pair in pairs], replace(CONVERSATION, thinking=thinking))),
    ]
    for make, questions in asked:
        arguments = make(out=tmp_path / make.__name__, thinking=thinking, groups=2, num_generations=2)
        trainer: Any = grpo._trainer(arguments, policy, questions, Reward(), 4)
        rows = trainer._tokenize_prompts([question.prompt for question in questions])[0]
        assert rows == [policy.prompt_ids(question.prompt, thinking=thinking) for question in questions]
        assert {opening(policy, row) for row in rows} == {expected}


def test_supervised_answers_follow_the_opening_that_is_asked_with(qwen: Path, pairs: list[ActionPair]) -> None:
    policy = checkpoints.load(str(qwen), "fp32")
    for thinking, thought, expected in ((False, "", OFF), (True, "It is dark.", ON)):
        question = acting_questions([pairs[0].step], replace(CONVERSATION, thinking=thinking))[0]
        answer = format_reply(question.expert_action, thought)
        row = supervised.encode(policy, question, answer)
        start = row["labels"].count(-100)
        assert opening(policy, row["input_ids"][:start]) == expected
        assert policy.tokenizer.decode(row["input_ids"][start:]) == answer + "<|im_end|>"


def test_a_template_that_opens_the_reasoning_is_gone_on_in_or_closed_at_once(qwen: Path) -> None:
    policy = checkpoints.load(str(qwen), "fp32")
    policy.tokenizer.chat_template = policy.tokenizer.chat_template.replace(
        "{{- '<|im_start|>assistant\\n' }}", "{{- '<|im_start|>assistant\\n<think>\\n' }}"
    )
    question = Question("x", [{"role": "user", "content": "Go."}], "go to hallway", (), thinking=True)
    assert opening(policy, policy.prompt_ids(question.prompt, thinking=True)) == "<|im_start|>assistant\n<think>\n"
    for thought, spoken in (("Dark.", "Dark.</think>"), ("", "</think>")):
        row = supervised.encode(policy, question, format_reply("go to hallway", thought))
        answer = policy.tokenizer.decode([label for label in row["labels"] if label != -100])
        assert answer == f"{spoken}<action>go to hallway</action><|im_end|>"


CUT = "I could <action>go to hallway</action>, or"


def test_an_action_in_reasoning_that_never_ends_is_none(qwen: Path) -> None:
    policy = checkpoints.load(str(qwen), "fp32")
    question = Question("x", [{"role": "user", "content": "Go."}], "go to hallway", (), thinking=True)
    ids = policy.ids(CUT)
    found = {}
    for name in ("written", "opened"):
        if name == "opened":
            policy.tokenizer.chat_template = policy.tokenizer.chat_template.replace(
                "{{- '<|im_start|>assistant\\n' }}", "{{- '<|im_start|>assistant\\n<think>\\n' }}"
            )
        kinds: dict[str, float] = {}
        reward = grpo.reward_function([question], Reward(), policy.tokenizer)
        earned = reward([ids, policy.ids("Dark.</think><action>go to hallway</action>")], [0, 0], kinds.__setitem__)
        (begun,) = policy.generate([question.prompt], max_new_tokens=2, temperature=0, thinking=True)
        agent = LocalAgent(LocalSettings(thinking=True), policy=policy)
        action = agent._written(replace(begun, text=("<think>" if name == "opened" else "") + CUT)).action
        found[name] = earned, kinds["format_error_rate"], begun.text.startswith("<think>"), action
    assert found["written"] == ([1.0, 1.0], 0.0, False, "go to hallway")
    assert found["opened"] == ([-0.5, 1.0], 0.5, True, "")


def test_preferences_are_learned_with_reasoning_off(qwen: Path, pairs_file: Path, tmp_path: Path) -> None:
    shown: list[list[int]] = []

    def watched(arguments: DPOStageConfig, policy: Policy, rows: list[dict[str, list[int]]]) -> Any:
        shown.extend(row["prompt_ids"] for row in rows)
        return made(arguments, policy, rows)

    made = dpo.trainer_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dpo, "trainer_of", watched)
        dpo.train(
            DPOStageConfig(pairs=pairs_file, model=str(qwen), out=tmp_path / "run", steps=1, probe=0, save_every=0)
        )
    policy = checkpoints.load(str(qwen), "fp32")
    assert {opening(policy, prompt) for prompt in shown} == {OFF}


class Listening(Policy):
    """A policy that remembers how it was asked."""

    def prompt_ids(self, *args: Any, **options: Any) -> list[int]:
        ids = super().prompt_ids(*args, **options)
        self.asked.append(opening(self, ids))
        return ids


@pytest.mark.parametrize(("thinking", "expected"), [(False, OFF), (True, ON)])
def test_sampling_and_playing_ask_in_the_same_mode(
    thinking: bool, expected: str, qwen: Path, pairs: list[ActionPair], tmp_path: Path
) -> None:
    policy = Listening.load(str(qwen), dtype="float32")
    policy.asked = []
    arguments = RLConfig(out=tmp_path / "run", thinking=thinking, probe=2, max_completion_tokens=4, max_malformed=1.0)
    questions = acting_questions([pair.step for pair in pairs], replace(CONVERSATION, thinking=thinking))
    check_format(Run(arguments.out, "probe", arguments), policy, questions, config=arguments, stage="rl")
    agent = LocalAgent(LocalSettings(thinking=thinking, max_new_tokens=4), policy=policy)
    agent.act([AgentInput(task=pairs[0].step.task, goal="Go to the kitchen.", observation="A hallway.")])
    assert len(policy.asked) >= 3
    assert set(policy.asked) == {expected}
