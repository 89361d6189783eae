"""Imitation of whole episodes: from files of episodes to a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from act_gym.bounds import Bound, NotNegative
from act_gym.errors import UsageError
from act_gym.io.jsonl import as_record, read_records
from act_gym.io.run_dir import Run
from act_gym.sampling import in_turn
from act_gym.types import Episode
from agents.prompt_config import TRAINED_WITH, Question
from agents.prompt_sets import DEFAULT
from trainers.dry_run import estimate
from trainers.run import checkpoints
from trainers.run.logging import quiet
from trainers.run.notes import note
from trainers.run.stage import common_config, finish, lora, step_size
from trainers.sft.episodes import EpisodeRow, encode_episode

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["EpisodeInputs", "read_episodes", "train_on_episodes"]


@dataclass(frozen=True, kw_only=True)
class EpisodeInputs:
    """Whole episodes as training data, and how a model reads them."""

    episodes: tuple[Path, ...] = ()
    """Files of episodes with labels, from `act-gym train collect` or `dagger`: one sequence an episode, with loss on
    every label. Without any, each state of --decisions is a sample of its own."""

    prompts: str = DEFAULT
    """With --episodes: the prompt set, a name or a folder; see docs/agents.md."""

    max_episode_tokens: NotNegative = 4096
    """With --episodes: an episode is cut before the turn that does not fit; 0 keeps all."""

    max_tokens_per_pass: NotNegative = 2048
    """With --episodes: tokens in one forward and backward pass; bounds the memory and changes nothing else. 0 runs a
    whole batch at once."""

    observation_weight: Annotated[float, Bound(least=0)] = 0.0
    """With --episodes: weight of the loss on observations, the implicit world model; 0 trains actions alone."""


def read_episodes(paths: Iterable[Path], limit: int = 0) -> list[Episode]:
    """Read the episodes of some files that hold a label, in their order.

    Args:
        paths: The files.
        limit: Episodes at most, taken from the types of task in turn, since files are sorted by type; 0 for all.

    Raises:
        RunError: A file cannot be read, or holds something else.
        UsageError: No episode holds a label.
    """
    episodes: list[Episode] = []
    for path in paths:
        for number, record in enumerate(read_records(path), start=1):
            episode = as_record(Episode, record, f"{path}, line {number},")
            if any(turn.label for turn in episode.turns):
                episodes.append(episode)
    if not episodes:
        raise UsageError(
            f"No episode in {', '.join(map(str, paths))} holds a label. Collect some with: act-gym train collect"
        )
    return _of_all_types(episodes, limit) if limit else episodes


def _of_all_types(episodes: Sequence[Episode], limit: int) -> list[Episode]:
    """Return `limit` episodes, as many of each type of task as far as there are so many, in their order."""
    places: dict[str, list[int]] = {}
    for place, episode in enumerate(episodes):
        places.setdefault(episode.task.task_type, []).append(place)
    return [episodes[place] for place in sorted(list(in_turn(places.values()))[:limit])]


def train_on_episodes(arguments: Any, run: Run, episodes: Sequence[Episode], stage: str) -> dict[str, Any]:
    """Fine-tune a model on the labels of episodes and leave it in the run's `checkpoint` folder.

    Args:
        arguments: The program's arguments: episode, supervised, model, optimisation and output settings.
        run: The open run folder.
        episodes: With labels.
        stage: The stage's name; marks the log.

    Returns:
        The stage's summary; its loss is the mean over the last quarter, in nats a trained token.
    """
    quiet()
    load = partial(checkpoints.load, precision=arguments.precision)
    policy = estimate.tokens_of(arguments.model) if arguments.dry_run else load(arguments.model)
    question = Question(history="conversation", prompts=arguments.prompts)
    rows = [
        encode_episode(
            policy,
            episode,
            question,
            max_tokens=arguments.max_episode_tokens,
            observations=arguments.observation_weight > 0,
        )
        for episode in episodes
    ]
    rows = [row for row in rows if row.turns]
    left_out = sum(row.left_out for row in rows)
    if left_out:
        note(f"{left_out} labels are beyond --max-episode-tokens {arguments.max_episode_tokens} and are left out.")
    told = {
        "episodes": len(rows),
        "labels": sum(row.turns for row in rows),
        "tokens": sum(row.size for row in rows),
        "trained_tokens": sum(row.trained for row in rows),
    }
    if arguments.dry_run:
        return estimate.count(stage, arguments, [row.size for row in rows], told)
    trainer = _trainer_of(arguments, policy, rows)
    notes = {TRAINED_WITH: question.facts()}
    return finish(trainer, policy.tokenizer, run, arguments, stage, told, notes)


def _trainer_of(arguments: Any, policy: Policy, rows: Sequence[EpisodeRow]) -> Any:
    from datasets import Dataset
    from trl import SFTConfig

    from trainers.sft.episode_trainer import EpisodeCollator, EpisodeTrainer
    from trainers.varlen.model_support import attends_alone, use

    batch = step_size(arguments.batch, len(rows), arguments.batch)
    settings = {**common_config(arguments, sequences=batch), "remove_unused_columns": False}
    # A whole batch comes from the collator, which cuts it into passes.
    settings["per_device_train_batch_size"] *= settings.pop("gradient_accumulation_steps")
    collator = EpisodeCollator(
        rows=rows,
        budget=arguments.max_tokens_per_pass,
        observation_weight=arguments.observation_weight,
        packed=not attends_alone(policy.model) and use(policy.model),
        padding=policy.tokenizer.pad_token_id,
    )
    return EpisodeTrainer(
        model=policy.model,
        args=SFTConfig(**settings, max_length=None, packing=False, dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=Dataset.from_dict({"row": range(len(rows))}),
        processing_class=policy.tokenizer,
        peft_config=lora(arguments),
        data_collator=collator,
    )
