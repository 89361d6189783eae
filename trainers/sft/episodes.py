"""Imitation of whole episodes: one sequence an episode, with loss on every label.

The episode is the conversation that the model reads when it plays (`agents.conversation`), so its tokens are computed
once for all turns. A turn whose played action is its label is trained in place. Where another action was played, the
label is a branch: its tokens follow the episode up to that turn and see nothing of what comes later. So a state that
another agent reached is learnt from as any other (DAgger). A turn without a label is only read.

The loss is the one of training every state alone with the same history, and each token is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from act_gym.agent import View
from act_gym.errors import UsageError
from act_gym.types import Episode
from agents.conversation import following_ids, reply_ids
from trainers.sft.templates import end_of_turn

if TYPE_CHECKING:
    from agents.local.model import Policy
    from agents.prompt_config import Question

__all__ = ["Branch", "EpisodeRow", "encode_episode", "passes", "states_of", "unbranched"]


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
        observations: Whether what follows the last label is kept, because observations are trained too.

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


def _last_view(episode: Episode) -> View:
    return View(
        task=episode.task,
        goal=episode.goal,
        observation=episode.final_observation,
        history=episode.turns,
        seed=episode.seed,
    )
