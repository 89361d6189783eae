"""Rollouts as rows of tokens: packs them into passes of bounded size, none of which sees another episode.

A pass is one row of tokens: conversations end to end, each followed by the replies that branch off it
(`trainers.packed`). Values of trained tokens (advantages, log-probabilities) are flat arrays in the order of rows,
replies and their tokens, so neither packing nor the budget changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainers.packed.layout import Layout
from trainers.packed.sequences import Sequences
from trainers.rollouts.records import Reply, Rollout
from trainers.supervised.episodes import passes

__all__ = ["Pass", "Row", "make_passes", "row_of"]

_ROUND = 128  # tokens; a CPU prepares and keeps kernels for each length of a row, so there are few lengths


@dataclass(frozen=True)
class Row:
    """One rollout as tokens.

    Attributes:
        tokens: The conversation, as far as it is trained or read before what is trained.
        replies: What is trained; replies that are not in place branch off the conversation.
        observed: First token and end of each observation that is trained.
    """

    tokens: tuple[int, ...]
    replies: tuple[Reply, ...]
    observed: tuple[tuple[int, int], ...] = ()

    @property
    def size(self) -> int:
        """All tokens."""
        return len(self.tokens) + sum(len(reply.tokens) for reply in self.replies if not reply.in_place)

    @property
    def trained(self) -> int:
        """Tokens of replies."""
        return sum(len(reply.tokens) for reply in self.replies)


@dataclass(frozen=True)
class Pass:
    """What goes through the model at once, L tokens, of which S are asked: those of replies, then of observations.

    Attributes:
        input_ids: Shape (1, L).
        position_ids: Shape (1, L).
        asked: The place before each asked token, shape (S,).
        labels: The asked tokens, shape (S,).
        layout: What the row is made of; None for one sequence that attends as usual.
        first: Where the replies' tokens begin in the flat arrays.
        replies: How many of the asked tokens are of replies.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    asked: torch.Tensor
    labels: torch.Tensor
    layout: Layout | None
    first: int
    replies: int


def row_of(rollout: Rollout, *, observations: bool = False) -> Row:
    """Return a rollout as a row; of a continuation only what was played here is trained.

    Args:
        rollout: With replies.
        observations: Whether observations are trained too.
    """
    own = rollout.observed[rollout.first :] if observations else ()
    ends = [reply.after + (len(reply.tokens) if reply.in_place else 0) for reply in rollout.replies]
    needed = len(rollout.tokens) if observations else max(ends, default=0)
    return Row(rollout.tokens[:needed], rollout.replies, own)


def make_passes(rows: Sequence[Row], budget: int, *, packed: bool, padding: int) -> Iterator[Pass]:
    """Yield rows as passes of at most `budget` tokens, one row may have more; 0 for one pass.

    Args:
        rows: All rows.
        budget: Tokens of a pass.
        packed: Whether the model takes a layout (`trainers.packed.models`); else each sequence is a pass of its own.
        padding: A token to pad with.
    """
    first = 0
    if not packed:
        for row in rows:
            for alone in _alone(row):
                yield _pass([alone], first, None)
                first += alone.trained
        return
    for part in passes(rows, budget):
        if part:
            yield _pass(part, first, padding)
            first += sum(row.trained for row in part)


def _alone(row: Row) -> Iterator[Row]:
    """Yield sequences without branches whose replies are in the order of the row's.

    A reply that branches off is a sequence with all that is before it; replies in place between two of these share one.
    """
    waiting: list[Reply] = []
    observed = row.observed
    for reply in row.replies:
        if reply.in_place:
            waiting.append(reply)
            continue
        if waiting:
            yield Row(row.tokens[: waiting[-1].after + len(waiting[-1].tokens)], tuple(waiting))
            waiting = []
        branch = Reply(reply.after, reply.tokens, reply.log_probabilities, True, reply.is_cut)
        yield Row(row.tokens[: reply.after] + reply.tokens, (branch,))
    if waiting or observed:
        yield Row(row.tokens, tuple(waiting), observed)


def _pass(rows: Sequence[Row], first: int, padding: int | None) -> Pass:
    """Lay rows end to end; with `padding` the row is rounded up and has a layout."""
    tokens: list[int] = []
    positions: list[int] = []
    parts: list[Sequences] = []
    replies: list[tuple[int, int]] = []  # the place that is asked and the token
    observed: list[tuple[int, int]] = []
    for row in rows:
        begin = len(tokens)
        tokens += row.tokens
        positions += range(len(row.tokens))
        branches = [reply for reply in row.replies if not reply.in_place]
        for reply in row.replies:
            places = [begin + reply.after - 1]
            if reply.in_place:
                places += range(begin + reply.after, begin + reply.after + len(reply.tokens) - 1)
            else:
                places += range(len(tokens), len(tokens) + len(reply.tokens) - 1)
                tokens += reply.tokens
                positions += range(reply.after, reply.after + len(reply.tokens))
            replies += zip(places, reply.tokens, strict=True)
        observed += [(begin + at - 1, row.tokens[at]) for start, stop in row.observed for at in range(start, stop)]
        lengths = tuple(len(reply.tokens) for reply in branches)
        parts.append(Sequences(len(row.tokens), lengths, tuple(reply.after for reply in branches)))
    if padding is not None and (spare := -len(tokens) % _ROUND):
        tokens += [padding] * spare
        positions += range(spare)
        parts.append(Sequences(spare))
    wanted = [*replies, *observed]
    asked = torch.tensor([place for place, _ in wanted], dtype=torch.long)
    return Pass(
        input_ids=torch.tensor([tokens]),
        position_ids=torch.tensor([positions]),
        asked=asked,
        labels=torch.tensor([token for _, token in wanted], dtype=torch.long),
        layout=None if padding is None else Layout(tuple(parts), asked),
        first=first,
        replies=len(replies),
    )


def on(part: Pass, device: Any) -> dict[str, Any]:
    """Return what the model takes of a pass, on a device."""
    given = {"input_ids": part.input_ids.to(device), "position_ids": part.position_ids.to(device)}
    return given if part.layout is None else {**given, "layout": part.layout}
