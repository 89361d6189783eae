"""Whole episodes in TRL's own trainer, both ways that it offers: an environment's method as a tool, and a rollout."""

import inspect
import json

import pytest

from act_gym import tasks
from act_gym.adapters.tool_environment import ToolEnvironment, environment_factory, training_rows
from act_gym.errors import UsageError
from trainers.grpo.multiturn import EpisodeRollout, episode_reward, rollout_rows

pytest.importorskip("trl")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:You are using 'rollout_func'"),
    pytest.mark.filterwarnings("ignore:You are using 'environment_factory'"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
]

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


def config(folder, **more):
    from trl import GRPOConfig

    given = {
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
    return GRPOConfig(**{**given, **more})


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


@pytest.mark.parametrize("reply", ["<action>look</action>", "no"])
def test_a_rollout_trains_on_what_the_model_wrote_and_not_on_what_it_read(tiny_model, tmp_path, reply):
    from datasets import Dataset
    from trl import GRPOTrainer

    model, tokenizer = load(tiny_model)
    rows = rollout_rows(ENV, tasks(ENV)[:2])
    memorise(model, tokenizer, ["Task: x<|im_end|>\n<|im_start|>assistant\n"], reply + "<|im_end|>", steps=40)
    rollout = EpisodeRollout(ENV, max_turns=3, max_new_tokens=16)
    outputs = []

    def watched(prompts, trainer):
        outputs.append((prompts, rollout(prompts, trainer)))
        return outputs[-1][1]

    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        reward_funcs=[episode_reward],
        rollout_func=watched,
        train_dataset=Dataset.from_list(rows),
        args=config(tmp_path),
    )
    assert trainer.train().global_step == 2
    rollout.close()
    assert len(outputs) == 2
    written = []
    for prompts, output in outputs:
        assert len(prompts) == 4  # one a generation: TRL has repeated them
        for prompt, completion, mask in zip(
            output["prompt_ids"], output["completion_ids"], output["env_mask"], strict=True
        ):
            assert len(completion) == len(mask)
            assert tokenizer.decode(prompt).endswith("<|im_start|>assistant\n")
            read = tokenizer.decode([token for token, own in zip(completion, mask, strict=True) if not own])
            wrote = tokenizer.decode([token for token, own in zip(completion, mask, strict=True) if own])
            assert read.count("<|im_start|>user\nObservation:\n") == 2  # between three decisions
            assert "<|im_start|>" not in wrote
            written.append(wrote)
        assert all(0 <= value <= 1 for value in output["episode_reward"])
    assert any(reply in wrote for wrote in written)
    assert "rewards/episode_reward/mean" in trainer.state.log_history[0]


def test_every_process_draws_other_replies_and_a_resumed_training_the_same(tiny_model, tmp_path, monkeypatch):
    from accelerate import Accelerator
    from datasets import Dataset
    from trl import GRPOTrainer

    model, tokenizer = load(tiny_model)
    rows = rollout_rows(ENV, tasks(ENV)[:1])
    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        reward_funcs=[episode_reward],
        rollout_func=EpisodeRollout(ENV),
        train_dataset=Dataset.from_list(rows),
        args=config(tmp_path),
    )
    trainer.model_wrapped = trainer.model

    def drawn(calls=1):
        rollout = EpisodeRollout(ENV, max_turns=2, max_new_tokens=8)
        found = [rollout([row["prompt"] for row in rows] * 2, trainer)["completion_ids"] for _ in range(calls)]
        rollout.close()
        return found

    first, second = drawn(calls=2)
    assert drawn() == [first]
    trainer.state.global_step = 1
    later = drawn()[0]
    trainer.state.global_step = 0
    monkeypatch.setattr(Accelerator, "process_index", 1)
    other = drawn()[0]
    replies = [reply for found in (first, second, later, other) for reply in found]
    assert len(set(map(tuple, replies))) == 8


def test_what_a_template_writes_between_two_replies_makes_the_whole_conversation(tiny_model):
    import gymnasium as gym

    from trainers.grpo.multiturn import _Played

    _, tokenizer = load(tiny_model)
    env = gym.make(ENV)
    played = _Played(env, tasks(ENV)[0].id, tokenizer, "tags")
    played.take(tokenizer("<action>look</action>", add_special_tokens=False)["input_ids"], last=False)
    whole = tokenizer.decode(played.prompt + played.completion)
    first = tokenizer.decode(played.prompt).partition("user\n")[2].rpartition("<|im_end|>")[0]
    observation = whole.rpartition("Observation:\n")[2].rpartition("<|im_end|>")[0]
    messages = [
        {"role": "user", "content": first},
        {"role": "assistant", "content": "<action>look</action>"},
        {"role": "user", "content": f"Observation:\n{observation}"},
    ]
    assert whole == tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    env.close()


def test_prompts_of_somebody_else_are_refused():
    with pytest.raises(UsageError, match="rollout_rows"):
        EpisodeRollout(ENV)([[{"role": "user", "content": "hi"}]], trainer_of_nothing())


def trainer_of_nothing():
    class Nothing:
        processing_class = None

    return Nothing()


def test_only_act_is_a_tool_and_it_is_documented_as_trl_asks():
    from transformers.utils import get_json_schema

    public = {name for name, _ in inspect.getmembers(ToolEnvironment, inspect.isfunction) if name[0] != "_"}
    assert public == {"act", "reset", "get_reward"}
    environment = ToolEnvironment(ENV)
    schema = get_json_schema(environment.act)["function"]
    assert (schema["name"], schema["parameters"]["required"]) == ("act", ["command"])
    environment._close()
