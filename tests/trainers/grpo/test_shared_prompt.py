"""A group's prompt run once: the same numbers as TRL's own pass, whatever the model, the padding and the cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, MambaConfig, MambaForCausalLM
from trl import GRPOConfig, GRPOTrainer

from tests.tiny_models import CONFIGS, build
from trainers.grpo.shared_prompt import SharedPromptTrainer, why_not
from trainers.run.logging import quiet
from trainers.varlen import NAME

ATTENTION = ("sdpa", "sdpa, masked", "eager")
PROMPTS = ("Go to the kitchen.", "Which of two actions is better? It is dark. " * 3, "Look around, then open the door.")


def trainer_of(
    cls: type[GRPOTrainer], model: Any, tiny_model: Path, out: Path, lora: bool = False, **settings: Any
) -> GRPOTrainer:
    """A trainer whose reward is how often a reply holds an e."""
    quiet()
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    settings = {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "num_generations": 4,
        "max_completion_length": 12,
        "learning_rate": 1e-3,
        "max_steps": 3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        **settings,
    }
    return cls(
        model=model,
        reward_funcs=lambda completions, **_: [float(text.count("e")) for text in completions],
        args=GRPOConfig(output_dir=str(out), **settings),
        train_dataset=Dataset.from_list([{"prompt": f"{prompt} Turn {n}."} for n in range(20) for prompt in PROMPTS]),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM") if lora else None,
    )


def batch_of(lengths: Sequence[Sequence[int]], prompts: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return rows of random tokens: prompts padded on the left, completions of these lengths on the right."""
    generator = torch.Generator().manual_seed(1)
    widest, longest = max(prompts), max(max(group) for group in lengths)
    ids, mask = [], []
    for prompt, group in zip(prompts, lengths, strict=True):
        tokens = torch.randint(2, 512, (prompt,), generator=generator)
        for length in group:
            said = torch.randint(2, 512, (length,), generator=generator)
            ids.append(torch.cat([torch.ones(widest - prompt), tokens, said, torch.ones(longest - length)]).long())
            mask.append(torch.tensor([0] * (widest - prompt) + [1] * (prompt + length) + [0] * (longest - length)))
    return torch.stack(ids), torch.stack(mask), longest


BATCHES = {
    "equal lengths": (((7, 7, 7, 7),), (20,)),
    "padding on both sides": (((3, 9, 1, 5), (2, 2, 8, 4)), (24, 11)),
    "an empty completion": (((0, 6, 6),), (15,)),
    "a prompt of one token": (((4, 5, 6),), (1,)),
    "groups of several sizes": (((4,), (5, 6), (2, 3, 4)), (12, 30, 9)),
}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("kind", CONFIGS)
def test_log_probabilities_and_gradients_are_those_of_separate_rows(
    kind: str, attention: str, batch: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if attention == "sdpa, masked":  # as of a model whose layers drop arguments
        monkeypatch.setattr("trainers.varlen._hands_on", lambda model: False)
    model = build(kind, attention.partition(",")[0])
    trainer = trainer_of(SharedPromptTrainer, model, tiny_model, tmp_path)
    assert trainer.unshared == ""
    assert (model.config._attn_implementation == NAME) == (attention == "sdpa")
    ids, mask, longest = batch_of(*BATCHES[batch])
    weights = torch.randn(ids.size(0), longest, generator=torch.Generator().manual_seed(2)) * mask[:, -longest:]

    def results(cls: type[GRPOTrainer]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        model.zero_grad()
        found = cls._get_per_token_logps_and_entropies(trainer, model, ids, mask, longest, compute_entropy=True)
        (found[0] * weights).sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        return found[0].detach() * mask[:, -longest:], found[1].detach() * mask[:, -longest:], gradient

    for ours, theirs in zip(results(SharedPromptTrainer), results(GRPOTrainer), strict=True):
        assert torch.isfinite(ours).all()
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("kind", CONFIGS)
def test_flex_attention_says_what_sdpa_says_under_trl(kind: str, tiny_model: Path, tmp_path: Path) -> None:
    """Without gradients, as flex attention has no backward pass on a CPU."""
    ids, mask, longest = batch_of(*BATCHES["padding on both sides"])

    @torch.no_grad()
    def results(cls: type[GRPOTrainer], attention: str) -> torch.Tensor:
        model = build(kind, attention)
        trainer = trainer_of(cls, model, tiny_model, tmp_path)
        assert getattr(trainer, "unshared", "") == ""
        found = cls._get_per_token_logps_and_entropies(trainer, model, ids, mask, longest, compute_entropy=True)
        return torch.stack(found[:2]) * mask[:, -longest:]

    with torch.compiler.set_stance("force_eager"):
        ours = results(SharedPromptTrainer, "flex_attention")
    theirs = results(GRPOTrainer, "sdpa")
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def course(
    cls: type[GRPOTrainer], tiny_model: Path, out: Path, **settings: Any
) -> tuple[dict[str, list[float]], torch.Tensor]:
    """Train the tiny model; return what was logged of each step, and how the weights were changed."""
    trainer = trainer_of(cls, str(tiny_model), tiny_model, out, **settings)
    before = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    trainer.train()
    after = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    logged = ("loss", "grad_norm", "reward", "entropy")
    return {name: [float(step.get(name, 0.0)) for step in steps] for name in logged}, after - before


@pytest.mark.parametrize(
    "settings",
    [
        {"max_steps": 20},
        {"gradient_accumulation_steps": 3},
        {"num_generations": 8, "gradient_accumulation_steps": 2},
        {"num_iterations": 2, "max_steps": 6},
        {"beta": 0.1},
        {"gradient_checkpointing": True},
        {"loss_type": "grpo", "gradient_accumulation_steps": 2},
        {"lora": True},
        {"lora": True, "beta": 0.1},
    ],
    ids=lambda settings: ", ".join(f"{name} {value}" for name, value in settings.items()),
)
def test_training_goes_as_under_trl(settings: dict[str, Any], tiny_model: Path, tmp_path: Path) -> None:
    theirs, their_change = course(GRPOTrainer, tiny_model, tmp_path / "theirs", **settings)
    ours, our_change = course(SharedPromptTrainer, tiny_model, tmp_path / "ours", **settings)
    assert min(ours["grad_norm"]) > 0.01
    for name, values in theirs.items():
        assert ours[name] == pytest.approx(values, rel=1e-4, abs=1e-5), name
    assert (our_change - their_change).norm() <= 1e-2 * their_change.norm()


def test_mixed_precision_goes_as_under_trl_up_to_its_rounding(tiny_model: Path, tmp_path: Path) -> None:
    theirs, _ = course(GRPOTrainer, tiny_model, tmp_path / "theirs", bf16=True)
    ours, _ = course(SharedPromptTrainer, tiny_model, tmp_path / "ours", bf16=True)
    assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=0.05)
    assert ours["entropy"] == pytest.approx(theirs["entropy"], rel=0.01)


def test_micro_batches_are_made_of_whole_groups(tiny_model: Path, tmp_path: Path) -> None:
    trainer = trainer_of(
        SharedPromptTrainer, build("llama"), tiny_model, tmp_path, gradient_accumulation_steps=3, max_steps=2
    )
    seen = []
    packed = trainer._of_packs

    def watching(model: Any, packs: Any) -> Any:
        seen.append([len(part.continuations) for part in packs.layout.parts])
        return packed(model, packs)

    trainer._of_packs = watching  # type: ignore[method-assign]
    trainer.train()
    assert seen == [[4, 4]] * 6


@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_replies_are_those_of_whole_prompts(use_cache: bool, tiny_model: Path, tmp_path: Path) -> None:
    model = build("olmo3, window 6")
    model.generation_config.use_cache = use_cache
    trainer = trainer_of(SharedPromptTrainer, model, tiny_model, tmp_path)
    trainer.generation_config.do_sample = False
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    prompts = [tokenizer(prompt)["input_ids"] for prompt in PROMPTS for _ in range(4)]
    ours, _ = trainer._generate_single_turn(prompts, None, {}, 4)
    theirs, _ = GRPOTrainer._generate_single_turn(trainer, prompts, None, {}, 4)
    assert ours == theirs
    assert "generate" not in vars(trainer.model)


def test_a_model_that_cannot_be_packed_is_trained_as_by_trl(tiny_model: Path, tmp_path: Path) -> None:
    config = MambaConfig(vocab_size=512, hidden_size=32, num_hidden_layers=2, pad_token_id=1, eos_token_id=1)
    trainer = trainer_of(SharedPromptTrainer, MambaForCausalLM(config), tiny_model, tmp_path, max_steps=1)
    assert "linear_attention" in trainer.unshared
    trainer.train()
    assert trainer.state.log_history[0]["grad_norm"] > 0
    flash = build("llama")
    flash.config._attn_implementation = "flash_attention_2"
    assert "flash_attention_2" in why_not(flash)
