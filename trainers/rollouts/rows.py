"""Rollouts as rows of tokens: packs them into passes of bounded size, none of which sees another episode.

A pass is one row of tokens: conversations end to end, each followed by the replies that branch off it
(`trainers.varlen`). Episodes of a task begin with the same tokens; neighbours that do share them, as one start with
several continuations. Values of trained tokens (advantages, log-probabilities) are flat arrays in the order of rows,
replies and their tokens, so neither packing nor the budget changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainers.rollouts.records import Reply, Rollout
from trainers.sft.episodes import passes
from trainers.varlen.layout import Layout
from trainers.varlen.sequences import Sequences

__all__ = ["Pass", "Row", "make_passes", "row_of"]

_SHARED = 64  # tokens at the beginning of two episodes that are worth sharing: continuations attend through a mask
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


def make_passes(rows: Sequence[Row], budget: int, *, packed: bool, padding: int, share: bool = True) -> Iterator[Pass]:
    """Yield rows as passes of at most `budget` tokens, one row may have more; 0 for one pass.

    Args:
        rows: All rows.
        budget: Tokens of a pass.
        packed: Whether the model takes a layout (`trainers.varlen.model_support`); else each sequence is its own pass.
        padding: A token to pad with.
        share: Whether neighbours share the tokens that they begin with.
    """
    first = 0
    if not packed:
        for row in rows:
            for alone in _alone(row):
                yield _pass([_Cluster((alone,))], first, None)
                first += alone.trained
        return
    clusters = list(_clusters(rows, budget)) if share else [_Cluster((row,)) for row in rows]
    for part in passes(clusters, budget):
        if part:
            yield _pass(part, first, padding)
            first += sum(row.trained for cluster in part for row in cluster.rows)


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


@dataclass(frozen=True)
class _Cluster:
    """Neighbouring rows that share their first tokens; a row alone may have branches.

    Attributes:
        rows: In order.
        shared: Tokens that all of them begin with; all of them for a row alone.
    """

    rows: tuple[Row, ...]
    shared: int = 0

    @property
    def size(self) -> int:
        """Tokens that are computed."""
        if len(self.rows) == 1:
            return self.rows[0].size
        return self.shared + sum(len(row.tokens) - self.shared for row in self.rows)


def _clusters(rows: Sequence[Row], budget: int) -> Iterator[_Cluster]:
    """Yield the rows, neighbours together where that saves tokens."""
    held: _Cluster | None = None
    for row in rows:
        joined = _joined(held, row) if held else None
        if held and joined and joined.size < held.size + row.size and not 0 < budget < joined.size:
            held = joined
            continue
        if held:
            yield held
        held = _Cluster((row,), len(row.tokens))
    if held:
        yield held


def _joined(cluster: _Cluster, row: Row) -> _Cluster | None:
    """Return a cluster with one more row; None where they cannot share, or what they share is not worth a mask."""
    rows = (*cluster.rows, row)
    if any(not reply.in_place for one in rows for reply in one.replies):
        return None
    start = cluster.rows[0].tokens[: cluster.shared]
    shared = next((place for place, pair in enumerate(zip(start, row.tokens, strict=False)) if pair[0] != pair[1]), -1)
    shared = min(len(start), len(row.tokens)) if shared < 0 else shared
    return _Cluster(rows, shared) if shared >= _SHARED else None


def _pass(clusters: Sequence[_Cluster], first: int, padding: int | None) -> Pass:
    """Lay clusters end to end; with `padding` the row is rounded up and has a layout."""
    tokens: list[int] = []
    positions: list[int] = []
    parts: list[Sequences] = []
    replies: list[tuple[int, int]] = []  # the place that is asked and the token
    observed: list[tuple[int, int]] = []
    for cluster in clusters:
        begin = len(tokens)
        shared = cluster.shared if len(cluster.rows) > 1 else len(cluster.rows[0].tokens)
        tokens += cluster.rows[0].tokens[:shared]
        positions += range(shared)
        lengths: list[int] = []
        after: list[int] = []
        for row in cluster.rows:
            # Where a token of this row is: among the shared ones, or among its own behind them.
            places = [*range(begin, begin + shared), *range(len(tokens), len(tokens) + len(row.tokens) - shared)]
            if len(row.tokens) > shared:
                lengths.append(len(row.tokens) - shared)
                after.append(shared)
            tokens += row.tokens[shared:]
            positions += range(shared, len(row.tokens))
            for reply in row.replies:
                if reply.in_place:
                    own = places[reply.after - 1 : reply.after + len(reply.tokens) - 1]
                else:
                    own = [places[reply.after - 1], *range(len(tokens), len(tokens) + len(reply.tokens) - 1)]
                    tokens += reply.tokens
                    positions += range(reply.after, reply.after + len(reply.tokens))
                    lengths.append(len(reply.tokens))
                    after.append(reply.after)
                replies += zip(own, reply.tokens, strict=True)
            observed += [(places[at - 1], row.tokens[at]) for start, stop in row.observed for at in range(start, stop)]
        alike = len(cluster.rows) > 1  # all continuations follow the whole start, and one mask is enough
        parts.append(Sequences(shared, tuple(lengths), () if alike else tuple(after)))
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
