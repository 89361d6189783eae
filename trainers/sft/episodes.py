"""Imitation of whole episodes, one sequence an episode, with loss on every label.

The episode is the conversation that the model reads when it plays (`agents.conversation`), so its tokens are computed
once for all turns. A turn whose played action is its label is trained in place. Where another action was played, the
label is a branch: its tokens follow the episode up to that turn and do not attend to anything later, so states that
another agent reached are trained on too (DAgger). A turn without a label is context only.

The loss equals that of training every state alone with the same history.

"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from act_gym.agent import AgentInput
from act_gym.config import Bound, NotNegative
from act_gym.errors import UsageError
from act_gym.io.jsonl import as_record, read_records
from act_gym.io.run_dir import Run
from act_gym.sampling import in_turn
from act_gym.types import Episode
from agents.conversation import following_ids, reply_ids
from agents.prompt_config import TRAINED_WITH, Question
from agents.prompt_sets import DEFAULT
from trainers.dry_run import estimate
from trainers.run import checkpoints
from trainers.run.config import BatchSettings, DataInputs, ModelSettings, StageConfig, SupervisedSettings
from trainers.run.logging import note, quiet
from trainers.run.stage import common_config, finish, lora, step_size
from trainers.sft.answers import end_of_turn

if TYPE_CHECKING:
    from agents.local.model import Policy
    from agents.prompt_config import Question

__all__ = [
    "Branch",
    "EpisodeInputs",
    "EpisodeRow",
    "encode_episode",
    "passes",
    "read_episodes",
    "states_of",
    "train_on_episodes",
    "unbranched",
]


@dataclass(frozen=True)
class Branch:
    """A label that was not played.

    Attributes:
        after: How many of the episode's tokens it follows.
        tokens: Its tokens, the end of the turn included; all of them are trained.
    """

    after: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class EpisodeRow:
    """One episode as tokens.

    Attributes:
        tokens: The conversation, up to the last turn that is trained.
        labels: Where the labels that were played are, as first token and end; the end of the turn is among them.
        observations: Where the observations after the first are.
        branches: Labels that were not played.
        left_out: Turns with a label that did not fit.
    """

    tokens: tuple[int, ...]
    labels: tuple[tuple[int, int], ...] = ()
    observations: tuple[tuple[int, int], ...] = ()
    branches: tuple[Branch, ...] = ()
    left_out: int = 0

    @property
    def size(self) -> int:
        """All tokens."""
        return len(self.tokens) + sum(len(branch.tokens) for branch in self.branches)

    @property
    def trained(self) -> int:
        """Tokens of labels."""
        return sum(stop - start for start, stop in self.labels) + sum(len(branch.tokens) for branch in self.branches)

    @property
    def turns(self) -> int:
        """Turns that are trained."""
        return len(self.labels) + len(self.branches)


def encode_episode(
    policy: Policy, episode: Episode, question: Question, *, max_tokens: int = 0, observations: bool = False
) -> EpisodeRow:
    """Tokenise an episode as the conversation that is read when it is played.

    Args:
        policy: The model.
        episode: With labels (`Turn.label`).
        question: How the model is asked; its history is a conversation.
        max_tokens: The episode is cut before the turn that does not fit; 0 keeps all.
        observations: Whether the tokens after the last label are kept, because observations are trained too.

    Raises:
        UsageError: The model could not learn to stop with its chat template.
    """
    end = end_of_turn(policy)
    messages = question.conversation(_last_view(episode))
    tokens = policy.prompt_ids(messages[:1])
    labels: list[tuple[int, int]] = []
    observed: list[tuple[int, int]] = []
    branches: list[Branch] = []
    needed = 0
    for turn, reply, observation in zip(episode.turns, messages[1::2], messages[2::2], strict=True):
        at = len(tokens)
        played = reply_ids(policy, tokens, reply["content"])
        label = [*reply_ids(policy, tokens, question.reply.write(turn.label, "")), end] if turn.label else []
        if max_tokens and at + max(len(played) + 1, len(label)) > max_tokens:
            break
        following = following_ids(policy, observation["content"])
        if following[0] != end:
            raise UsageError(f"The chat template of {policy.name} writes something between a reply and its end.")
        tokens += [*played, *following]
        after = at + len(played) + 1
        if label and turn.label == turn.action:
            labels.append((at, after))
            needed = after
        elif label:
            branches.append(Branch(at, tuple(label)))
            needed = at
        observed.append((after, len(tokens)))
    labelled = sum(bool(turn.label) for turn in episode.turns)
    return EpisodeRow(
        tokens=tuple(tokens if observations else tokens[:needed]),
        labels=tuple(labels),
        observations=tuple(observed) if observations else (),
        branches=tuple(branches),
        left_out=labelled - len(labels) - len(branches),
    )


def states_of(row: EpisodeRow) -> Iterator[EpisodeRow]:
    """Yield every trained turn as a row of its own, with its whole history: the same training state by state."""
    for start, stop in row.labels:
        yield EpisodeRow(tokens=row.tokens[:stop], labels=((start, stop),))
    yield from _branches_alone(row)


def unbranched(row: EpisodeRow) -> Iterator[EpisodeRow]:
    """Yield the episode without its branches, and each branch as a row of its own."""
    yield replace(row, branches=())
    yield from _branches_alone(row)


def _branches_alone(row: EpisodeRow) -> Iterator[EpisodeRow]:
    for branch in row.branches:
        tokens = row.tokens[: branch.after] + branch.tokens
        yield EpisodeRow(tokens=tokens, labels=((branch.after, len(tokens)),))


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


Sized = TypeVar("Sized", bound=_Sized)


def passes(rows: Sequence[Sized], budget: int) -> list[list[Sized]]:
    """Return which episodes go through the model together, in order: as many as have `budget` tokens; 0 for all."""
    found: list[list[Sized]] = [[]]
    room = budget
    for row in rows:
        if budget and found[-1] and row.size > room:
            found.append([])
            room = budget
        found[-1].append(row)
        room -= row.size
    return found


def _last_view(episode: Episode) -> AgentInput:
    return AgentInput(
        task=episode.task,
        goal=episode.goal,
        observation=episode.final_observation,
        history=episode.turns,
        seed=episode.seed,
    )


@dataclass(frozen=True, kw_only=True)
class EpisodeInputs(DataInputs):
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

    def data_files(self) -> tuple[Path, ...]:
        """Return the files of episodes; without any, the other data of the stage."""
        return self.episodes or super().data_files()


@dataclass(frozen=True, kw_only=True)
class EpisodeStageConfig(StageConfig, SupervisedSettings, BatchSettings, ModelSettings, EpisodeInputs):
    """Settings of a stage that learns whole episodes."""


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


def train_on_episodes(config: EpisodeStageConfig, run: Run, episodes: Sequence[Episode], stage: str) -> dict[str, Any]:
    """Fine-tune a model on the labels of episodes and leave it in the run's `checkpoint` folder.

    Args:
        config: The program's config: episode, supervised, model, optimisation and output settings.
        run: The open run folder.
        episodes: With labels.
        stage: The stage's name; marks the log.

    Returns:
        The stage's summary; its loss is the mean over the last quarter, in nats a trained token.
    """
    quiet()
    load = partial(checkpoints.load, precision=config.precision)
    policy = estimate.tokens_of(config.model) if config.dry_run else load(config.model)
    question = Question(history="conversation", prompts=config.prompts)
    rows = [
        encode_episode(
            policy,
            episode,
            question,
            max_tokens=config.max_episode_tokens,
            observations=config.observation_weight > 0,
        )
        for episode in episodes
    ]
    rows = [row for row in rows if row.turns]
    left_out = sum(row.left_out for row in rows)
    if left_out:
        note(f"{left_out} labels are beyond --max-episode-tokens {config.max_episode_tokens} and are left out.")
    told = {
        "episodes": len(rows),
        "labels": sum(row.turns for row in rows),
        "tokens": sum(row.size for row in rows),
        "trained_tokens": sum(row.trained for row in rows),
    }
    if config.dry_run:
        return estimate.count(stage, config, [row.size for row in rows], told)
    trainer = _trainer_of(config, policy, rows)
    notes = {TRAINED_WITH: question.facts()}
    return finish(trainer, policy.tokenizer, run, config, stage, told, notes)


def _trainer_of(config: EpisodeStageConfig, policy: Policy, rows: Sequence[EpisodeRow]) -> Any:
    from datasets import Dataset
    from trl import SFTConfig

    from trainers.sft.episode_trainer import EpisodeCollator, EpisodeTrainer
    from trainers.varlen import attends_alone, use

    batch = step_size(config.batch, len(rows), config.batch)
    settings = {**common_config(config, sequences=batch), "remove_unused_columns": False}
    # A whole batch comes from the collator, which cuts it into passes.
    settings["per_device_train_batch_size"] *= settings.pop("gradient_accumulation_steps")
    collator = EpisodeCollator(
        rows=rows,
        budget=config.max_tokens_per_pass,
        observation_weight=config.observation_weight,
        packed=not attends_alone(policy.model) and use(policy.model),
        padding=policy.tokenizer.pad_token_id,
    )
    return EpisodeTrainer(
        model=policy.model,
        args=SFTConfig(**settings, max_length=None, packing=False, dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=Dataset.from_dict({"row": range(len(rows))}),
        processing_class=policy.tokenizer,
        peft_config=lora(config),
        data_collator=collator,
    )
