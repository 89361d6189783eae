"""Fingerprint of a model agent for a run's manifest: weights, prompts and sampling.

Two runs with equal fingerprints used the same model with the same prompts. API keys are never included.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from act_gym.agent import AgentInput
from act_gym.io.run_dir import sha256_of
from act_gym.types import Task, Turn
from agents.prompt_config import Question

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["model_facts", "prompts_hash", "weights_hash"]

_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth")
# An input with every part that a prompt may show; its text is of no benchmark.
_VIEW = AgentInput(
    task=Task(id="cellar/dig/1", benchmark="Cellar", split="seen", task_type="dig"),
    goal="dig for the chest",
    observation="You stand in a cellar. " * 100,
    admissible_commands=tuple(f"dig at spot {number}" for number in range(300)),
    history=tuple(
        Turn(observation=f"Spot {number}.", action=f"dig at spot {number}", thought="Not here.", score=0.1)
        for number in range(40)
    ),
    seed=0,
)


def prompts_hash(question: Question, template: str = "") -> str:
    """Return the sha256 of the prompt of a synthetic input, with the chat template.

    Args:
        question: The prompt settings. A few-shot example differs between tasks and is not included.
        template: The source of the tokenizer's chat template; its output may contain today's date.
    """
    messages = replace(question, example=False).messages(_VIEW)
    return hashlib.sha256(json.dumps([messages, question.reply.tools, template, question.example]).encode()).hexdigest()


def weights_hash(folders: Iterable[Path]) -> str:
    """Return one sha256 over the names and contents of the weight files in some folders; empty without folders."""
    paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    sums = [f"{path.name} {sha256_of(path)}\n" for path in paths if path.is_file() and path.suffix in _WEIGHTS]
    return hashlib.sha256("".join(sums).encode()).hexdigest() if sums else ""


def model_facts(policy: Policy, question: Question, folders: Iterable[Path]) -> dict[str, Any]:
    """Return the fingerprint of a local model and its prompts.

    Args:
        policy: The model.
        question: The prompt settings.
        folders: Folders of its weights and adapter; a hub model is identified by its revision instead.
    """
    return {
        "model": policy.name,
        "revision": str(getattr(policy.model.config, "_commit_hash", None) or ""),
        "weights_sha256": weights_hash(folders),
        "dtype": str(policy.model.dtype).removeprefix("torch."),
        "prompts_sha256": prompts_hash(question, str(policy.tokenizer.chat_template)),
        "question": question.facts(),
    }
