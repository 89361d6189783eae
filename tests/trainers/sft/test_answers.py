"""What a model learns to end its turn with, under real chat templates."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from act_gym.errors import UsageError
from agents.local.model import Policy
from agents.prompts import format_reply
from tests.tiny_models import build
from trainers.data.questions import Question
from trainers.sft.answers import encode, end_of_turn

SHIPPED = files("trl") / "chat_templates"
# Olmo 3 Instruct's shape: a turn ends with <|im_end|>, but the last one with the end of the text.
OLMO = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
    "{% if m['role'] == 'assistant' and loop.last %}{{ eos_token }}{% else %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def policy_of(tiny_model: Path, template: str) -> Policy:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = template
    model = build("qwen3")
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return Policy(model, tokenizer, "tiny")


def shipped(name: str) -> str:
    return (SHIPPED / f"{name}.jinja").read_text(encoding="utf-8")


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("thought", ["", "The door is open."])
@pytest.mark.parametrize("template", ["qwen3", "qwen3_instruct_2507", "qwen2_5", "olmo"])
def test_the_loss_covers_the_answer_and_the_end_of_the_turn(template, thought, thinking, tiny_model):
    policy = policy_of(tiny_model, OLMO if template == "olmo" else shipped(template))
    question = Question("x", [{"role": "user", "content": "Go."}], "look around", (), thinking=thinking)
    row = encode(policy, question, format_reply("look around", thought))
    learnt = [token for token in row["labels"] if token != -100]
    prompt = policy.prompt_ids(question.prompt, thinking=thinking)
    assert row["input_ids"] == prompt + learnt
    reasoning = f"<think>{thought}</think>" if thought else ""
    assert policy.tokenizer.decode(learnt) == f"{reasoning}<action>look around</action><|im_end|>"


def test_the_real_models_template_is_understood():
    policy = Policy.load("smollm2")
    assert policy.tokenizer.convert_ids_to_tokens(end_of_turn(policy)) == "<|im_end|>"


def test_a_turn_that_ends_where_the_model_does_not_stop_is_an_error_that_says_what_to_add(tiny_model):
    policy = policy_of(tiny_model, shipped("qwen3").replace("<|im_end|>", "<|im_start|>"))
    with pytest.raises(UsageError, match=r"stops at <\|im_end\|>.*eos_token_id in the model's generation_config.json"):
        end_of_turn(policy)
    policy.model.generation_config.eos_token_id = [1, policy.tokenizer.convert_tokens_to_ids("<|im_start|>")]
    assert policy.tokenizer.convert_ids_to_tokens(end_of_turn(policy)) == "<|im_start|>"


def test_a_template_that_drops_the_answer_is_an_error(tiny_model):
    policy = policy_of(tiny_model, "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}")
    with pytest.raises(UsageError, match="does not write a question and its answer as they are given"):
        end_of_turn(policy)


def test_a_template_that_ends_no_turn_is_an_error(tiny_model):
    policy = policy_of(tiny_model, "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    with pytest.raises(UsageError, match="ends a turn with ''"):
        end_of_turn(policy)
