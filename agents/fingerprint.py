"""What a run's manifest says of an agent that asks a language model: which weights, which words, how it samples.

Two runs whose facts are the same asked the same model in the same words. Keys never stand here.
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
# A view with everything in it that a prompt may show; its words are of no benchmark.
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
    """Return the sha256 of the words in which a model is asked: of a made-up view, and the chat template.

    Args:
        question: How it is asked. An example, if there is one, is another of each task's and not among the words.
        template: The tokenizer's chat template, as it stands; what it renders may hold today's date.
    """
    messages = replace(question, example=False).messages(_VIEW)
    return hashlib.sha256(json.dumps([messages, question.reply.tools, template, question.example]).encode()).hexdigest()


def weights_hash(folders: Iterable[Path]) -> str:
    """Return one sha256 over the names and contents of the weights in some folders; empty if there are none."""
    paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    sums = [f"{path.name} {sha256_of(path)}\n" for path in paths if path.is_file() and path.suffix in _WEIGHTS]
    return hashlib.sha256("".join(sums).encode()).hexdigest() if sums else ""


def model_facts(policy: Policy, question: Question, folders: Iterable[Path]) -> dict[str, Any]:
    """Return what identifies a local model and how it is asked.

    Args:
        policy: The model.
        question: How it is asked.
        folders: Where its weights lie, and an adapter's; a model of a hub is told by its revision instead.
    """
    return {
        "model": policy.name,
        "revision": str(getattr(policy.model.config, "_commit_hash", None) or ""),
        "weights_sha256": weights_hash(folders),
        "dtype": str(policy.model.dtype).removeprefix("torch."),
        "prompts_sha256": prompts_hash(question, str(policy.tokenizer.chat_template)),
        "question": question.facts(),
    }
