"""A model small enough to train in a second, a tokenizer for it, and pairs to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from act_gym.io.jsonl import RecordWriter
from act_gym.types import ActionPair, ExpertStep, Task
from agents.prompts import format_reply
from trainers.data.questions import acting_questions, judging_questions

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLACES = ("kitchen", "workshop", "greenhouse", "hallway", "foundry", "bathroom", "bedroom", "studio")


def make_pair(number: int) -> ActionPair:
    place, elsewhere = PLACES[number % len(PLACES)], PLACES[(number + 3) % len(PLACES)]
    task = Task(id=f"scienceworld/find-plant/{number}", benchmark="Cellar", split="train", task_type="find-plant")
    step = ExpertStep(
        id=f"{task.id}#0",
        task=task,
        turn=0,
        goal=f"go to the {place}.",
        history=(),
        observation="A hallway." + " It is dark." * (number % 3),
        expert_action=f"go to {place}",
        admissible_commands=(f"go to {place}", f"go to {elsewhere}", "look around"),
    )
    return ActionPair(step=step, alternative=f"go to {elsewhere}", proposer="hand", expert_first=number % 2 == 0)


@pytest.fixture
def pairs() -> list[ActionPair]:
    return [make_pair(number) for number in range(24)]


@pytest.fixture
def pairs_file(tmp_path: Path, pairs: list[ActionPair]) -> Path:
    path = tmp_path / "pairs.jsonl"
    with RecordWriter(path) as writer:
        for pair in pairs:
            writer.write(pair.to_json())
    return path


@pytest.fixture
def data(tmp_path: Path, pairs: list[ActionPair]) -> Path:
    """A folder as `pairs` leaves it: the pairs and their decisions."""
    folder = tmp_path / "data"
    with RecordWriter(folder / "pairs.jsonl") as one, RecordWriter(folder / "decisions.jsonl") as other:
        for pair in pairs:
            one.write(pair.to_json())
            other.write(pair.step.to_json())
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Llama as a model folder; its tokenizer knows the words of our questions."""
    from tests.tiny_models import build
    from trainers.run.logging import quiet

    quiet()
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = make_tokenizer()
    build(
        "llama",
        vocab_size=len(tokenizer),
        max_position_embeddings=1024,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer() -> Any:
    """Byte-pair encoding learned from our questions, so that an answer is about six tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    learner = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made = [make_pair(number) for number in range(24)]
    asked = [*judging_questions(made), *acting_questions([pair.step for pair in made])]
    texts = [text for q in asked for text in (q.prompt[0]["content"], format_reply(q.expert_action))]
    tokenizer.train_from_iterator(texts, learner)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=TEMPLATE
    )


@pytest.fixture(scope="session")
def speaking_model(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The tiny model after a warm-up: it writes the format, and answers at random."""
    from trainers.warmup import WarmupConfig, train

    folder = tmp_path_factory.mktemp("speaking")
    path = folder / "pairs.jsonl"
    with RecordWriter(path) as writer:
        for number in range(24):
            writer.write(make_pair(number).to_json())
    out = folder / "run"
    train(
        WarmupConfig(
            pairs=path,
            model=str(tiny_model),
            out=out,
            epochs=20,
            batch=4,
            learning_rate=1e-2,
            precision="fp32",  # the same model on every processor
            probe=4,
            save_every=0,
            log_every=30,
        )
    )
    return out / "checkpoint"
