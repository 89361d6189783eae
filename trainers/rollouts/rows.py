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
from trainers.sequences import Sequences
from trainers.sft.episodes import passes
from trainers.varlen import Layout

__all__ = ["Choices", "Pass", "Row", "branches_of", "make_passes", "on", "row_of"]

_SHARED = 64  # tokens at the beginning of two episodes that are worth sharing: continuations attend through a mask
_ROUND = 128  # tokens; a CPU prepares and keeps kernels for each length of a row, so there are few lengths


@dataclass(frozen=True)
class Row:
    """One rollout as tokens.

    Attributes:
        tokens: The conversation, up to the last token that is trained.
        replies: The replies that are trained; those that are not in place branch off the conversation.
        observed: First token and end of each observation that is trained.
    """

    tokens: tuple[int, ...]
    replies: tuple[Reply, ...]
    observed: tuple[tuple[int, int], ...] = ()

    @property
    def size(self) -> int:
        """All tokens."""
        return len(self.tokens) + sum(len(one) for reply in self.replies for one in branches_of(reply))

    @property
    def units(self) -> int:
        """The trained units: tokens of replies, or choices of commands."""
        return sum(reply.units for reply in self.replies)


def branches_of(reply: Reply) -> tuple[tuple[int, ...], ...]:
    """Return the branches of the conversation at a reply: all candidates, or the reply if it is not in place."""
    return reply.candidates or (() if reply.in_place else (reply.tokens,))


@dataclass(frozen=True)
class Choices:
    """Commands that were chosen from candidates: C candidates of N decisions.

    Attributes:
        sizes: Tokens of each candidate, shape (C,).
        counts: Candidates of each decision, shape (N,).
        chosen: The candidate that was played, shape (N,).
    """

    sizes: torch.Tensor
    counts: torch.Tensor
    chosen: torch.Tensor

    def log_probs(self, tokens: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the log-probability of each choice, and the entropy (without gradient) of its distribution.

        A candidate's probability is proportional to exp(log-probability of its tokens / temperature).

        Args:
            tokens: Log-probabilities of all candidates' tokens, end to end.
            temperature: Of sampling.

        Returns:
            Shapes: both (N,).
        """
        sizes, counts, chosen = (values.to(tokens.device) for values in (self.sizes, self.counts, self.chosen))
        of_token = torch.arange(len(sizes), device=tokens.device).repeat_interleave(sizes)
        owner = torch.arange(len(counts), device=tokens.device).repeat_interleave(counts)
        scores = tokens.new_zeros(len(sizes)).index_add(0, of_token, tokens) / temperature
        highest = scores.detach().new_full((len(counts),), -torch.inf).scatter_reduce(0, owner, scores.detach(), "amax")
        sums = tokens.new_zeros(len(counts)).index_add(0, owner, (scores - highest[owner]).exp())
        found = scores - (sums.log() + highest)[owner]
        spread = -(found.detach().exp() * found.detach())
        return found[chosen], spread.new_zeros(len(counts)).index_add(0, owner, spread)


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass: L tokens, of which S are asked: those of replies, then of observations.

    Attributes:
        input_ids: Shape (1, L).
        position_ids: Shape (1, L).
        asked: The place before each asked token, shape (S,).
        labels: The asked tokens, shape (S,).
        layout: The sequences of the row; None for one sequence that attends as usual.
        first: Where the replies begin in the flat arrays.
        units: How many values of the flat arrays they have: one a token, or one a choice.
        replies: How many of the asked tokens are of replies.
        choices: With ranked decoding, how their candidates are made of these tokens.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    asked: torch.Tensor
    labels: torch.Tensor
    layout: Layout | None
    first: int
    units: int
    replies: int
    choices: Choices | None = None


def row_of(rollout: Rollout, *, observations: bool = False) -> Row:
    """Return a rollout as a row; of a continuation only the turns played here are trained.

    Args:
        rollout: With replies.
        observations: Whether observations are trained too.
    """
    own = rollout.observed[rollout.first :] if observations else ()
    ends = [reply.after + (0 if branches_of(reply) else len(reply.tokens)) for reply in rollout.replies]
    needed = len(rollout.tokens) if observations else max(ends, default=0)
    return Row(rollout.tokens[:needed], rollout.replies, own)


def make_passes(rows: Sequence[Row], budget: int, *, packed: bool, padding: int, share: bool = True) -> Iterator[Pass]:
    """Yield rows as passes of at most `budget` tokens, one row may have more; 0 for one pass.

    Args:
        rows: All rows.
        budget: Tokens of a pass.
        packed: Whether the model takes a layout (`trainers.varlen`); else each sequence is its own pass.
        padding: A token to pad with.
        share: Whether neighbours share the tokens that they begin with.
    """
    first = 0
    if not packed:
        for row in rows:
            for alone in _alone(row):
                yield _pass([_Cluster((alone,))], first, None)
                first += alone.units
        return
    clusters = list(_clusters(rows, budget)) if share else [_Cluster((row,)) for row in rows]
    for part in passes(clusters, budget):
        if part:
            yield _pass(part, first, padding)
            first += sum(row.units for cluster in part for row in cluster.rows)


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
    """Return a cluster with one more row; None where they cannot share, or share too little to be worth a mask."""
    rows = (*cluster.rows, row)
    if any(branches_of(reply) for one in rows for reply in one.replies):
        return None
    start = cluster.rows[0].tokens[: cluster.shared]
    shared = next((place for place, pair in enumerate(zip(start, row.tokens, strict=False)) if pair[0] != pair[1]), -1)
    shared = min(len(start), len(row.tokens)) if shared < 0 else shared
    return _Cluster(rows, shared) if shared >= _SHARED else None


def _pass(clusters: Sequence[_Cluster], first: int, padding: int | None) -> Pass:
    """Lay clusters end to end; with `padding` the row is rounded up and has a layout."""
    line = _Line()
    for cluster in clusters:
        line.add(cluster)
    if padding is not None:
        line.round(padding)
    asked = torch.tensor([place for place, _ in [*line.replies, *line.observed]], dtype=torch.long)
    choices = Choices(*(torch.tensor(values) for values in (line.sizes, line.counts, line.chosen)))
    return Pass(
        input_ids=torch.tensor([line.tokens]),
        position_ids=torch.tensor([line.positions]),
        asked=asked,
        labels=torch.tensor([token for _, token in [*line.replies, *line.observed]], dtype=torch.long),
        layout=None if padding is None else Layout(tuple(line.parts), asked),
        first=first,
        units=sum(row.units for cluster in clusters for row in cluster.rows),
        replies=len(line.replies),
        choices=choices if line.counts else None,
    )


class _Line:
    """A row of tokens that is being laid out.

    Attributes:
        tokens: All tokens.
        positions: Their places in the sequence that each belongs to.
        parts: The sequences of the row.
        replies: Of each token of a reply, or of a candidate, the place that is asked and the token.
        observed: The same of observations.
        sizes, counts, chosen: See `Choices`.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.parts: list[Sequences] = []
        self.replies: list[tuple[int, int]] = []
        self.observed: list[tuple[int, int]] = []
        self.sizes: list[int] = []
        self.counts: list[int] = []
        self.chosen: list[int] = []

    def add(self, cluster: _Cluster) -> None:
        """Lay out the shared tokens, then each row's own."""
        begin = len(self.tokens)
        shared = cluster.shared if len(cluster.rows) > 1 else len(cluster.rows[0].tokens)
        self._append(cluster.rows[0].tokens[:shared], 0)
        branches: list[tuple[int, int]] = []  # after how many tokens of the start, and how many
        for row in cluster.rows:
            # Where a token of this row is: among the shared ones, or among its own behind them.
            own = range(len(self.tokens), len(self.tokens) + len(row.tokens) - shared)
            places = [*range(begin, begin + shared), *own]
            branches += [(shared, len(own))] if own else []
            self._append(row.tokens[shared:], shared)
            for reply in row.replies:
                branches += self._reply(reply, places)
            self.observed += [
                (places[at - 1], row.tokens[at]) for start, stop in row.observed for at in range(start, stop)
            ]
        alike = len(cluster.rows) > 1  # all continuations follow the whole start, and one mask is enough
        after = () if alike else tuple(place for place, _ in branches)
        self.parts.append(Sequences(shared, tuple(length for _, length in branches), after))

    def round(self, padding: int) -> None:
        """Make the row a multiple of some tokens long."""
        if spare := -len(self.tokens) % _ROUND:
            self._append([padding] * spare, 0)
            self.parts.append(Sequences(spare))

    def _append(self, tokens: Sequence[int], position: int) -> None:
        self.tokens += tokens
        self.positions += range(position, position + len(tokens))

    def _reply(self, reply: Reply, places: Sequence[int]) -> list[tuple[int, int]]:
        """Ask for a reply's tokens, or for those of its candidates, and return its branches."""
        branches = branches_of(reply)
        if not branches:
            self._ask(places[reply.after - 1 : reply.after + len(reply.tokens) - 1], reply.tokens)
        for tokens in branches:
            self._ask([places[reply.after - 1], *range(len(self.tokens), len(self.tokens) + len(tokens) - 1)], tokens)
            self._append(tokens, reply.after)
        if reply.candidates:
            self.chosen.append(len(self.sizes) + reply.candidates.index(reply.tokens))
            self.sizes += map(len, reply.candidates)
            self.counts.append(len(reply.candidates))
        return [(reply.after, len(tokens)) for tokens in branches]

    def _ask(self, places: Sequence[int], tokens: Sequence[int]) -> None:
        self.replies += zip(places, tokens, strict=True)


def on(part: Pass, device: Any) -> dict[str, Any]:
    """Return the model's arguments for a pass, on a device."""
    given = {"input_ids": part.input_ids.to(device), "position_ids": part.position_ids.to(device)}
    return given if part.layout is None else {**given, "layout": part.layout}
