"""Zero-variance groups in GRPO: keep, mask from the loss, or resample (DAPO dynamic sampling).

Such a group's advantages are zero. It teaches nothing, and yet it counts where the loss is averaged, so
the rest of the batch learns more slowly the more there are. `filter` leaves it out of the loss and of
the loss's divisor; `resample` draws other questions in its place, as DAPO's dynamic sampling
does (arXiv 2503.14476). TRL 1.16 has neither: it counts such groups (`frac_reward_zero_std`), and its
`mask_truncated_completions` is about length. Also here: both orders of a pair stay in one batch.

`Groups` is mixed into TRL's trainer and into `SharedPromptTrainer` alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from transformers import GenerationConfig
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from act_gym.errors import UsageError
from trainers.grpo.shared_prompt import SharedPromptTrainer
from trainers.grpo.token_budget import Budget
from trainers.run.config import ZeroVariance
from trainers.run.schedule import FirstStepTrains

__all__ = ["GroupTrainer", "Groups", "QuestionSampler", "SharedPromptGroupTrainer", "leave_out", "merge"]

Batch = dict[str, Any]


class Groups(FirstStepTrains):
    """Mixin, placed before a GRPO trainer, that keeps, masks or resamples zero-variance groups.

    Attributes:
        equal: `keep`, `filter` or `resample`.
        rounds: With `resample`, how often other questions are drawn at most for one batch.
        prompt_ids: Returns the tokens of a question; without it TRL renders questions by the chat template.
        block: So many neighbouring questions of the data set always share a batch.
    """

    equal: ZeroVariance = "keep"
    rounds: int = 0
    block: int = 1
    prompt_ids: Callable[[Any], list[int]] | None = None

    def _tokenize_prompts(self: Any, prompts: list[Any]) -> Any:
        # As in an evaluation: a chat template renders earlier turns otherwise than they were read when they were new.
        if self.prompt_ids is None:
            return super()._tokenize_prompts(prompts)  # type: ignore[misc]
        return [self.prompt_ids(prompt) for prompt in prompts], None, {}

    def _get_train_sampler(self: Any, dataset: Any = None) -> Any:
        return QuestionSampler(
            self.block,
            data_source=dataset or self.train_dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * self.args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
        )

    def _generate_single_turn(self: Any, *args: Any, **settings: Any) -> Any:
        # The model's own defaults fill every field that TRL leaves open: min_p, typical_p, suppressed tokens, …
        model = self.accelerator.unwrap_model(self.model_wrapped)
        model = model.get_base_model() if hasattr(model, "get_base_model") else model
        held, model.generation_config = model.generation_config, GenerationConfig()  # type: ignore[no-untyped-call]
        try:
            return super()._generate_single_turn(*args, **settings)  # type: ignore[misc]
        finally:
            model.generation_config = held

    def _calculate_rewards(self: Any, *args: Any, **settings: Any) -> torch.Tensor:
        rewards: torch.Tensor = super()._calculate_rewards(*args, **settings)  # type: ignore[misc]
        self._rewards = (rewards * self.reward_weights.to(rewards.device)).nansum(dim=1)  # of all processes
        return rewards

    def _generate_and_score_completions(self: Any, inputs: list[dict[str, Any]]) -> Batch:
        batch: Batch = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        if not self.model.training:
            return batch
        logged = self._metrics["train"]
        logged["zero_variance_groups"].append(_flat(self._rewards, self.num_generations).float().mean().item())
        if self.equal == "keep":
            return batch
        dull = self._dull(len(inputs))
        if self.equal == "resample":
            before = {name: list(values) for name, values in logged.items()}
            batch, dull, drawn = self._replace(inputs, batch, dull)
            # Questions drawn in place of equal groups are no fair sample: metrics leave them out.
            before["num_tokens"] = logged["num_tokens"]
            logged.clear()
            logged.update(before)
            logged["resampled_groups"].append(float(drawn))
        kept = self.accelerator.gather((~dull).float().mean()).mean().item()
        logged["kept_groups"].append(kept)
        return batch if kept == 1 else leave_out(batch, dull, self.accelerator.gather)

    def _compute_loss(self: Any, model: Any, inputs: Batch) -> Any:
        loss = super()._compute_loss(model, inputs)  # type: ignore[misc]
        share = inputs.get("kept_share")
        # These two divide by the number of replies; the others by tokens, of which left out replies have none.
        return loss / share if share is not None and self.loss_type in ("grpo", "dr_grpo") else loss

    def _dull(self: Any, count: int) -> torch.Tensor:
        """Return which of this process's replies, of `count`, are of an equal group. Shapes: (B,)."""
        begin = self.accelerator.process_index * count
        return _flat(self._rewards, self.num_generations)[begin : begin + count]

    def _replace(
        self: Any, inputs: Sequence[dict[str, Any]], batch: Batch, dull: torch.Tensor
    ) -> tuple[Batch, torch.Tensor, int]:
        """Sample other questions until no group is equal, or `rounds` times; also return how many groups were."""
        if len(inputs) % self.num_generations:
            raise UsageError("--zero-variance resample needs whole groups in each process. Raise --groups.")
        used = set(gather_object([row["question"] for row in inputs]))
        drawn = 0
        for number in range(self.rounds):
            # All processes sample equally much, else they would wait for each other for ever.
            wanted = int(self.accelerator.gather(dull.sum()).max()) // self.num_generations
            rows = self._others(used, wanted, number) if wanted else []
            if not rows:
                break
            drawn += len(rows) // self.num_generations * self.accelerator.num_processes
            more = super()._generate_and_score_completions(rows)  # type: ignore[misc]
            fresh = (~self._dull(len(rows))).nonzero()[:, 0][: int(dull.sum())]
            kept, rest = (~dull).nonzero()[:, 0], dull.nonzero()[len(fresh) :, 0]
            batch = merge(batch, torch.cat([kept, rest]), more, fresh, self._tokenizer.pad_token_id)
            dull = torch.zeros_like(dull)
            dull[len(kept) : len(kept) + len(rest)] = True
        return batch, dull, drawn

    def _others(self: Any, used: set[int], wanted: int, number: int) -> list[dict[str, Any]]:
        """Draw questions that are not used yet, whole blocks, other ones for each process; they become used."""
        starts = range(0, len(self.train_dataset), self.block)
        free = [start for start in starts if not used.intersection(range(start, start + self.block))]
        count = min(math.ceil(wanted / self.block), len(free) // self.accelerator.num_processes)
        # Nothing but the seed and the place in the training decides, so a resumed run draws the same.
        order = np.random.default_rng([self.args.seed, self.state.global_step, number]).permutation(len(free))
        drawn = [free[place] for place in order[: count * self.accelerator.num_processes].tolist()]
        used.update(index for start in drawn for index in range(start, start + self.block))
        begin = self.accelerator.process_index * count
        taken = [index for start in drawn[begin : begin + count] for index in range(start, start + self.block)]
        return [self.train_dataset[index] for index in taken for _ in range(self.num_generations)]


class GroupTrainer(Groups, Budget, GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer with rules for groups, and a bound on the tokens of a pass."""


class SharedPromptGroupTrainer(Groups, Budget, SharedPromptTrainer):
    """The same of the trainer whose groups share their prompt."""


def _flat(rewards: torch.Tensor, size: int) -> torch.Tensor:
    """Return which replies are of a group whose rewards are all equal. Shapes: both (B,)."""
    groups = rewards.view(-1, size)
    return (groups == groups[:, :1]).all(dim=1).repeat_interleave(size)


def leave_out(batch: Batch, dull: torch.Tensor, gather: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    """Return a batch in which some replies have no tokens, so that neither the loss nor its divisor sees them.

    Args:
        batch: TRL's batch of the replies.
        dull: Which replies are left out. Shapes: (B,).
        gather: Joins a tensor of each process.
    """
    kept = (~dull).to(batch["completion_mask"].dtype)
    mask = batch["completion_mask"] * kept[:, None]
    counted = mask if batch.get("tool_mask") is None else mask * batch["tool_mask"]
    share = gather(kept.float().mean()).mean()
    return {
        **batch,
        "completion_mask": mask,
        "num_items_in_batch": gather(counted.sum()).sum(),
        "kept_share": share.clamp(min=1 / len(dull)),  # nothing is left: the loss is 0, whatever it is divided by
    }


def merge(one: Batch, rows: torch.Tensor, other: Batch, more: torch.Tensor, pad: int) -> Batch:
    """Return a batch of rows of one and rows of another, in that order, padded to one width.

    Prompts are padded on the left and replies on the right; `num_items_in_batch` is left as it is in
    `one`.
    """
    joined = dict(one)
    for key, tensor in one.items():
        if tensor is None or tensor.ndim == 0:
            continue
        parts = [tensor[rows], other[key][more]]
        if tensor.ndim == 2:
            width = max(part.size(1) for part in parts)
            fill = pad if key.endswith("_ids") else 0
            left = key.startswith("prompt_")
            parts = [_widened(part, width, fill, left=left) for part in parts]
        joined[key] = torch.cat(parts)
    return joined


def _widened(tensor: torch.Tensor, width: int, fill: int, *, left: bool) -> torch.Tensor:
    missing = width - tensor.size(1)
    return torch.nn.functional.pad(tensor, (missing, 0) if left else (0, missing), value=fill)


class QuestionSampler(RepeatSampler):  # type: ignore[misc]
    """TRL's sampler, whose order follows from the seed and the epoch alone, and which shuffles blocks of questions.

    TRL's draws each epoch's order from one generator, so a sampler made to resume in a later epoch begins with the
    first epoch's order.

    Args:
        block: Questions in a block, neighbours in the data set; the batch size is a multiple of it, and so is the data
            set's length.
        settings: Of `RepeatSampler`.
    """

    def __init__(self, block: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.block = block
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose whose order is drawn; epochs count from 0."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        blocks = range(0, self.num_samples, self.block)
        order = [
            index for place in self._places(len(blocks)) for index in range(blocks[place], blocks[place] + self.block)
        ]
        for start in range(0, len(order) - self.batch_size + 1, self.batch_size):
            chunk = order[start : start + self.batch_size]
            for _ in range(self.repeat_count):
                yield from (index for index in chunk for _ in range(self.mini_repeat_count))

    def _places(self, count: int) -> Sequence[int]:
        if not self.shuffle:
            return range(count)
        # The orders that TRL's sampler gives to a training that is not interrupted.
        generator = torch.Generator().manual_seed(self.seed)
        drawn = [torch.randperm(count, generator=generator) for _ in range(self.epoch + 1)]
        places: list[int] = drawn[-1].tolist()
        return places
