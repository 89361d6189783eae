"""Callback that evaluates by play every N optimizer steps and keeps the best checkpoint.

Playing leaves no trace in the training: random states, the mode of every module and gradients are as they were, and
the weights are the same bits with and without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

from transformers import TrainerCallback

from act_gym.io.run_dir import Run
from agents.local.constrained_decoding import takes_masks
from trainers.run import checkpoints, distributed
from trainers.run.acting import acting_policy, untouched
from trainers.run.config import EvalSettings
from trainers.run.eval_panel import Panel, panel_of, record_evals
from trainers.run.samples import SampleCallback

__all__ = ["EvalCallback", "evaluations"]


def evaluations(
    trainer: Any, tokenizer: Any, run: Run, arguments: Any, stage: str, notes: Mapping[str, Any] | None
) -> list[TrainerCallback]:
    """Return the callbacks that evaluate a training and write samples, where the settings ask for them."""
    made: list[TrainerCallback] = []
    if arguments.samples_every and not distributed.shards_weights():
        made.append(SampleCallback(trainer, tokenizer, run.folder, arguments.samples_every))
    if arguments.eval_every:
        made.append(EvalCallback(trainer, tokenizer, run, arguments, stage, notes or {}, base=arguments.model))
    return made


class EvalCallback(TrainerCallback):
    """Plays a fixed panel of games every N steps and after the last one, and keeps the best checkpoint.

    Of several processes the first plays and the others wait. An evaluation that `evals.jsonl` holds is not repeated
    when a training resumes before it: the training comes to the same weights again.

    Args:
        trainer: Transformers', before it trains.
        tokenizer: The model's.
        run: The run folder.
        arguments: The program's.
        stage: The stage's name; marks the log.
        notes: JSON files that a checkpoint holds besides the model.
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
        """Evaluate, if it is time."""
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
        """Save the model as `best`; adapters are merged into a copy, so that the training goes on with its own."""
        model = self.trainer.model
        adapted = hasattr(model, "merge_and_unload")
        weights = {name: value.cpu() for name, value in model.state_dict().items()} if adapted else None
        folder = self.run.folder / "best"
        checkpoints.save(model, self.tokenizer, folder, weights=weights, base=self.base, notes=self.notes)
