"""Evaluation callback: plays games every N optimizer steps, keeps the best checkpoint, and writes samples of replies.

Playing does not change the training: random states, the mode of every module and gradients are restored, so the weights
are the same bits with and without it.

"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from act_gym.io.jsonl import read_records, write_records
from act_gym.io.run_dir import Run
from agents.local.constrained_decoding import takes_masks
from agents.local.model import Policy
from agents.local.sampling import Sampler
from trainers.run import checkpoints, distributed
from trainers.run.config import EvalSettings, StageConfig
from trainers.run.eval_panel import Panel, panel_of, record_evals

__all__ = [
    "SAMPLES",
    "EvalCallback",
    "Sample",
    "SampleCallback",
    "acting_policy",
    "evaluations",
    "samples_of",
    "untouched",
]


def acting_policy(trainer: Any, tokenizer: Any, name: str) -> Policy:
    """Wrap the model in memory, with its adapters, as a policy; use it in a block of `untouched`."""
    model = trainer.model
    return Policy(model.get_base_model() if hasattr(model, "merge_and_unload") else model, tokenizer, name)


@contextmanager
def untouched(model: Any, *, bf16: bool = False) -> Iterator[None]:
    """Restore a model's modes and all random states after the block, in which the model is evaluated.

    Args:
        model: The model in training.
        bf16: Whether its arithmetic is in bf16 in the block, as in mixed training.
    """
    modes = [(module, module.training) for module in model.modules()]
    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu: Sequence[torch.Tensor] = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ()
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # One block for all games: weights are cast once, not in every pass.
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=bf16):
            model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        torch.set_rng_state(drawn[2])
        if on_gpu:
            torch.cuda.set_rng_state_all(list(on_gpu))


SAMPLES = "samples.jsonl"
_QUESTIONS = 4
_LONGEST = 256  # tokens of a reply in supervised training
_IGNORED = -100


@dataclass(frozen=True)
class Sample:
    """One question.

    Attributes:
        number: Row of the training data.
        prompt: Its tokens.
        target: The tokens that are trained after it; none in GRPO.
        longest: Tokens of a reply at most.
    """

    number: int
    prompt: tuple[int, ...]
    target: tuple[int, ...]
    longest: int


class SampleCallback(TrainerCallback):
    """Callback that writes the model's replies to the same questions every N steps, without an effect on the training.

    Args:
        trainer: Transformers', before it trains.
        tokenizer: The model's.
        folder: The run folder.
        every: Optimizer steps between two rounds of samples.
    """

    def __init__(self, trainer: Any, tokenizer: Any, folder: Path, every: int) -> None:
        self.trainer, self.tokenizer, self.folder, self.every = trainer, tokenizer, folder, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 (theirs)
        """Write samples, if they are due."""
        if state.global_step % self.every == 0:
            distributed.by_first(lambda: self._write(state.global_step, bf16=args.bf16))

    def _write(self, step: int, *, bf16: bool) -> None:
        path = self.folder / SAMPLES
        known = list(read_records(path)) if path.exists() else []
        if any(line["step"] == step for line in known):
            return  # a resumed training reaches the same weights again
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


def evaluations(
    trainer: Any, tokenizer: Any, run: Run, config: StageConfig, stage: str, notes: Mapping[str, Any] | None
) -> list[TrainerCallback]:
    """Return the callbacks that evaluate a training and write samples, where the settings ask for them."""
    made: list[TrainerCallback] = []
    if config.samples_every and not distributed.shards_weights():
        made.append(SampleCallback(trainer, tokenizer, run.folder, config.samples_every))
    if config.eval_every:
        made.append(EvalCallback(trainer, tokenizer, run, config, stage, notes or {}, base=config.model))
    return made


class EvalCallback(TrainerCallback):
    """Callback that plays a fixed panel of games every N steps and after the last one, and keeps the best checkpoint.

    Of several processes the first plays and the others wait. An evaluation that `evals.jsonl` holds is not repeated
    when a training resumes before it: the training comes to the same weights again.

    Args:
        trainer: Transformers', before it trains.
        tokenizer: The model's.
        run: The run folder.
        arguments: The program's.
        stage: The stage's name; marks the log.
        notes: JSON files that a checkpoint holds in addition to the model.
        base: The model that the training began with.
    """

    def __init__(
        self,
        trainer: Any,
        tokenizer: Any,
        run: Run,
        arguments: EvalSettings,
        stage: str,
        notes: Mapping[str, Any],
        *,
        base: str,
    ) -> None:
        self.trainer, self.tokenizer, self.run, self.arguments = trainer, tokenizer, run, arguments
        self.stage, self.notes, self.base = stage, notes, base
        self.panel: Panel | None = None
        if not distributed.is_first():
            return
        self.panel = panel_of(arguments, run.folder, notes)
        with untouched(trainer.model):
            # Its small example is compared in full precision, which there is only before the training begins.
            takes_masks(acting_policy(self.trainer, self.tokenizer, self.run.folder.name))

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Evaluate before the first step, if that is asked for."""
        if self.arguments.eval_first and state.global_step == 0:
            distributed.by_first(lambda: self._evaluate(args, state, control))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Evaluate, if an evaluation is due."""
        if state.global_step % self.arguments.eval_every == 0 or state.global_step == state.max_steps:
            distributed.by_first(lambda: self._evaluate(args, state, control))

    def _evaluate(self, args: Any, state: Any, control: Any) -> None:
        assert self.panel is not None
        panel, step = self.panel, state.global_step

        def play() -> list[dict[str, Any]]:
            return panel.play(acting_policy(self.trainer, self.tokenizer, self.run.folder.name), step)

        with untouched(self.trainer.model, bf16=args.bf16):
            values = record_evals(self.run, self.stage, step, panel.env_ids, play, self._keep_best)
        # The control is a copy: this is no logging step of the trainer's. Trackers make eval/ of eval_.
        logs = {f"eval_{name}": value for name, value in values.items()}
        self.trainer.callback_handler.on_log(args, state, copy(control), logs)

    def _keep_best(self) -> None:
        """Save the model as `best`; adapters are merged into a copy, so that the training keeps its own."""
        model = self.trainer.model
        adapted = hasattr(model, "merge_and_unload")
        weights = {name: value.cpu() for name, value in model.state_dict().items()} if adapted else None
        folder = self.run.folder / "best"
        checkpoints.save(model, self.tokenizer, folder, weights=weights, base=self.base, notes=self.notes)
