"""Samples: the greedy replies to a few fixed questions of the training data, every N optimizer steps.

One line of `samples.jsonl` is one question at one step: `step`, `number` of the question in the data, `prompt` as the
model read it, `reply`, and either the `target` of supervised training or the `reward` of GRPO.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from act_gym.io.jsonl import read_records, write_records
from agents.local.model import Policy
from agents.local.sampling import Sampler
from trainers.run import distributed
from trainers.run.acting import acting_policy, untouched

__all__ = ["SAMPLES", "Sample", "SampleCallback", "samples_of"]

SAMPLES = "samples.jsonl"
_QUESTIONS = 4
_LONGEST = 256  # tokens of a reply in supervised training
_IGNORED = -100


@dataclass(frozen=True)
class Sample:
    """One question.

    Attributes:
        number: Which row of the training data.
        prompt: Its tokens.
        target: The tokens that are trained after it; none in GRPO.
        longest: Tokens of a reply at most.
    """

    number: int
    prompt: tuple[int, ...]
    target: tuple[int, ...]
    longest: int


class SampleCallback(TrainerCallback):
    """Writes what the model replies to the same questions every N steps, and changes nothing in the training.

    Args:
        trainer: Transformers', before it trains.
        tokenizer: The model's.
        folder: The run folder.
        every: Optimizer steps between two rounds of samples.
    """

    def __init__(self, trainer: Any, tokenizer: Any, folder: Path, every: int) -> None:
        self.trainer, self.tokenizer, self.folder, self.every = trainer, tokenizer, folder, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 (theirs)
        """Ask, if it is time."""
        if state.global_step % self.every == 0:
            distributed.by_first(lambda: self._write(state.global_step, bf16=args.bf16))

    def _write(self, step: int, *, bf16: bool) -> None:
        path = self.folder / SAMPLES
        known = list(read_records(path)) if path.exists() else []
        if any(line["step"] == step for line in known):
            return  # a training that resumes comes to the same weights again
        with untouched(self.trainer.model, bf16=bf16):
            policy = acting_policy(self.trainer, self.tokenizer, self.folder.name)
            lines = [self._line(policy, sample, step) for sample in samples_of(self.trainer, policy)]
        write_records(path, [*known, *lines])

    def _line(self, policy: Policy, sample: Sample, step: int) -> dict[str, Any]:
        sampler = Sampler(policy.model, self.tokenizer, sample.longest, 0.0, None)
        (reply,) = sampler.run([sample.prompt], [0], [""])
        line = {"step": step, "number": sample.number, "prompt": self.tokenizer.decode(list(sample.prompt))}
        line["reply"] = self.tokenizer.decode(reply, skip_special_tokens=True)
        if sample.target:
            return {**line, "target": self.tokenizer.decode(list(sample.target), skip_special_tokens=True)}
        rewards = self.trainer.reward_funcs[0](
            completion_ids=[reply], question=[sample.number], log_metric=lambda *_: None
        )
        return {**line, "reward": rewards[0]}


def samples_of(trainer: Any, policy: Policy) -> Iterator[Sample]:
    """Yield a few questions, evenly spread over the training data.

    Args:
        trainer: Of any stage.
        policy: The model.
    """
    data, rows = trainer.train_dataset, getattr(trainer.data_collator, "rows", None)
    count = len(data)
    for number in sorted({place * count // _QUESTIONS for place in range(_QUESTIONS)}):
        if rows is not None:
            row = rows[data[number]["row"]]
            if row.labels:
                start, stop = row.labels[len(row.labels) // 2]
                yield _supervised(number, row.tokens[:start], row.tokens[start:stop])
            continue
        yield _of_row(number, data[number], trainer, policy)


def _of_row(number: int, row: Mapping[str, Any], trainer: Any, policy: Policy) -> Sample:
    if "chosen_ids" in row:
        return _supervised(number, row["prompt_ids"], row["chosen_ids"])
    if "labels" in row:
        first = next(place for place, label in enumerate(row["labels"]) if label != _IGNORED)
        return _supervised(number, row["input_ids"][:first], row["input_ids"][first:])
    thinking = bool((trainer.args.chat_template_kwargs or {}).get("enable_thinking"))
    prompt = tuple(policy.prompt_ids(row["prompt"], thinking=thinking))
    return Sample(int(row["question"]), prompt, (), trainer.args.max_completion_length)


def _supervised(number: int, prompt: Any, target: Any) -> Sample:
    return Sample(number, tuple(prompt), tuple(target), min(2 * len(target) + 8, _LONGEST))
