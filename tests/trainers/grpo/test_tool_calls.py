"""Whole episodes in TRL's own trainer, with an environment's method as a tool."""

import inspect
import json
import re
from pathlib import Path

import pytest

from act_gym import tasks
from act_gym.integrations.trl_environment import ToolEnvironment, environment_factory, training_rows

pytest.importorskip("trl")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:You are using 'environment_factory'"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
]

ROOT = Path(__file__).resolve().parents[3]
ENV = "act/ALFWorld-generated-train"
CALL = "<tool_call>\n" + json.dumps({"name": "act", "arguments": {"command": "look"}}) + "\n</tool_call>"


def load(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def memorise(model, tokenizer, prompts, reply, steps=60):
    """Teach a random model to write one reply whatever it is asked, so that what follows from it can be seen."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    written = tokenizer(reply, add_special_tokens=False)["input_ids"]
    for step in range(steps):
        prompt = tokenizer(prompts[step % len(prompts)], add_special_tokens=False)["input_ids"][-200:]
        ids = torch.tensor([prompt + written])
        labels = ids.clone()
        labels[:, : len(prompt)] = -100
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def settings(folder):
    return {
        "output_dir": str(folder),
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "num_generations": 4,
        "max_completion_length": 400,
        "learning_rate": 1e-4,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
        "temperature": 0.7,
    }


def config(folder, **more):
    from trl import GRPOConfig

    return GRPOConfig(**{**settings(folder), **more})


def test_a_model_acts_by_tool_calls_in_trls_trainer(tiny_model, tmp_path):
    from datasets import Dataset
    from trl import GRPOTrainer
    from trl.chat_template_utils import qwen3_chat_template

    model, tokenizer = load(tiny_model)
    tokenizer.chat_template = qwen3_chat_template
    tokenizer.add_tokens([CALL])  # one token, so that so small a model can learn to write it
    model.resize_token_embeddings(len(tokenizer))
    rows = training_rows(ENV, tasks(ENV)[:2])
    tool = ToolEnvironment(ENV).act
    texts = [
        tokenizer.apply_chat_template(row["prompt"], tools=[tool], tokenize=False, add_generation_prompt=True)
        for row in rows
    ]
    model.config.max_position_embeddings = 4096  # a tiny tokenizer's prompts are long
    memorise(model, tokenizer, texts, CALL + "<|im_end|>", steps=30)
    seen = []

    def watch(environments, **_):
        seen.extend(environments)
        return [0.0] * len(environments)

    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        reward_funcs=[watch],
        environment_factory=environment_factory(ENV, {"max_episode_steps": 3}),
        train_dataset=Dataset.from_list(rows),
        args=config(tmp_path, max_tool_calling_iterations=2),
    )
    result = trainer.train()
    assert result.global_step == 2
    logs = [entry for entry in trainer.state.log_history if "tools/call_frequency" in entry]
    assert len(logs) == 2
    assert logs[0]["tools/call_frequency"] > 0
    assert "rewards/ToolEnvironment/mean" in logs[0]
    assert any(environment._info["turn"] > 0 for environment in seen)
    for environment in seen:
        environment._close()


def test_only_act_is_a_tool_and_it_is_documented_as_trl_asks():
    from transformers.utils import get_json_schema

    public = {name for name, _ in inspect.getmembers(ToolEnvironment, inspect.isfunction) if name[0] != "_"}
    assert public == {"act", "reset", "get_reward"}
    environment = ToolEnvironment(ENV)
    schema = get_json_schema(environment.act)["function"]
    assert (schema["name"], schema["parameters"]["required"]) == ("act", ["command"])
    environment._close()


def test_the_pages_block_trains(tiny_model, tmp_path, monkeypatch):
    import trl
    from trl.chat_template_utils import qwen3_chat_template

    page = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(from datasets .*?)```", page, re.DOTALL)
    model, tokenizer = load(tiny_model)
    tokenizer.chat_template = qwen3_chat_template  # of the model that the page names
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "model")
    small = {"max_completion_length": 32, "max_steps": 1, "per_device_train_batch_size": 2, "num_generations": 2}
    made = trl.GRPOConfig
    monkeypatch.setattr(trl, "GRPOConfig", lambda **given: made(**{**settings(tmp_path), **given, **small}))
    assert block.count("Qwen/Qwen3-0.6B") == 1
    known = {}
    exec(block.replace("Qwen/Qwen3-0.6B", str(tmp_path / "model")), known)
    assert known["trainer"].state.global_step == 1
