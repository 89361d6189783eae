"""Constrained decoding: finds the likeliest admissible command exactly (`decode=ranked`).

A command is scored as the whole reply `<action>command</action>`, tokenised as one string, so a command that is a
prefix of another has no advantage. The prompt is read once. The commands form a token trie (`agents.local.token_trie`);
each round runs the most promising nodes of every row in one forward pass (`agents.local.scheduler`). Nodes follow the
prompt in the row's cache slot in any order: a 4-D attention mask shows each node the prompt and its own ancestors, and
position ids give its depth, so its logits equal those of an ordinary forward pass over that command alone.

Some models do not support such a mask (sliding windows, state spaces, flash attention, positions by column). They are
recognised by their configuration or by a small numeric test, and their commands are scored one by one after the shared
prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch

from act_gym.errors import UsageError
from agents.local.model_support import attends_everywhere, takes_positions
from agents.local.scheduler import Decoder, Step
from agents.local.token_trie import Node, Search, build, group
from agents.prompts import Message, format_reply

__all__ = ["MAX_NODES", "Ranking", "RankingWork", "Scorer", "begin", "search", "takes_masks"]

MAX_NODES = 2048
"""Largest number of command tokens run for one decision; then the best command so far is taken and marked."""

_NOTHING = "There are no commands to rank. Ranked decoding needs admissible_commands=True."
# Enough that a token's column in the cache is far from its position in the text: a model that derives positions from
# columns then fails the test, in bfloat16 too.
_EXAMPLE = (
    "look",
    *(f"{verb} the {thing}" for verb in ("open", "take", "look at") for thing in ("door", "box", "lamp")),
)
_SUBTREE = 6
"""A node is run together with its subtree if that has at most so many tokens."""


class Scorer(Protocol):
    """Interface of a model for the search; implemented by `agents.local.model.Policy`."""

    model: Any
    tokenizer: Any

    def prompt_ids(self, messages: Sequence[Message], prefix: str = "", *, thinking: bool = False) -> list[int]:
        """Return the prompt tokens of a conversation, up to the start of the reply."""
        ...

    def ids(self, text: str) -> list[int]:
        """Return the tokens of a text, nothing added."""
        ...

    def score(self, prompt: Sequence[int], replies: Sequence[Sequence[int]]) -> list[float]:
        """Return the log-probability of each reply after one prompt, one by one."""
        ...

    def batches(self, rows: Sequence[Sequence[int]], *, extra: int = 0) -> Iterator[list[int]]:
        """Split row numbers into batches that fit one forward pass."""
        ...


@dataclass(frozen=True)
class Ranking:
    """Result: the likeliest commands of one prompt.

    Attributes:
        best: Commands with their log-probabilities, likeliest first.
        exact: Whether the result is proven; false if the search hit `max_nodes`.
        prompt_tokens: The length of the prompt.
        nodes: The number of command tokens run through the model.
        commands: The number of distinct commands.
    """

    best: tuple[tuple[str, float], ...]
    exact: bool
    prompt_tokens: int
    nodes: int
    commands: int


def search(
    policy: Scorer,
    prompts: Sequence[Sequence[Message]],
    commands: Sequence[Sequence[str]],
    *,
    top: int = 1,
    max_nodes: int = MAX_NODES,
    prefixes: Sequence[str] = (),
    thinking: bool = False,
) -> list[Ranking]:
    """Find each prompt's likeliest commands.

    Args:
        policy: The model.
        prompts: One conversation a row.
        commands: The candidates for each row; duplicates count once.
        top: The number of commands to find.
        max_nodes: Bounds the work for one row; see `MAX_NODES`.
        prefixes: Prefill of the reply, one per row; none by default.
        thinking: Passed to chat templates that support it.

    Raises:
        UsageError: A row has no commands, or a prompt does not fit the model.
    """
    if not all(commands):
        raise UsageError(_NOTHING)
    begun = prefixes or [""] * len(prompts)
    rows = [policy.prompt_ids(*row, thinking=thinking) for row in zip(prompts, begun, strict=True)]
    lists = [tuple(dict.fromkeys(listed)) for listed in commands]
    sequences = [_tokenised(policy, listed) for listed in lists]
    if not takes_masks(policy):
        scores = [policy.score(row, listed) for row, listed in zip(rows, sequences, strict=True)]
        return [_sorted(*given, top) for given in zip(rows, lists, sequences, scores, strict=True)]
    searches = [Search(build(listed), top, max_nodes) for listed in sequences]
    depth = max(len(sequence) for listed in sequences for sequence in listed)
    for batch in policy.batches(rows, extra=depth):
        _run(policy, [RankingWork(rows[row], searches[row]) for row in batch])
    return [_ranking(*given) for given in zip(rows, lists, searches, strict=True)]


def begin(
    policy: Scorer, messages: Sequence[Message], commands: Sequence[str], *, max_nodes: int = MAX_NODES
) -> tuple[RankingWork, Callable[[], Ranking]]:
    """Return the decoder work that finds one prompt's likeliest command, and a function that returns the result.

    Raises:
        UsageError: There are no commands, or the prompt does not fit the model.
    """
    if not commands:
        raise UsageError(_NOTHING)
    row = policy.prompt_ids(messages)
    listed = tuple(dict.fromkeys(commands))
    sequences = _tokenised(policy, listed)
    list(policy.batches([row], extra=max(map(len, sequences))))  # checks the length
    one = Search(build(sequences), 1, max_nodes)
    return RankingWork(row, one), partial(_ranking, row, listed, one)


def _run(policy: Scorer, works: Sequence[RankingWork]) -> None:
    decoder = Decoder(policy.model, len(works))
    for slot, work in enumerate(works):
        decoder.put(slot, work)
    left = len(works)
    while left:
        left -= len(decoder.advance())


def _ranking(row: list[int], listed: tuple[str, ...], one: Search) -> Ranking:
    return Ranking(
        best=tuple((listed[number], value) for number, value in one.found),
        exact=one.exact,
        prompt_tokens=len(row),
        nodes=one.nodes,
        commands=len(listed),
    )


class RankingWork:
    """Search of one row, as work for a `Decoder`.

    Args:
        prompt: The tokens before the commands.
        search: A new search.
    """

    rejected = 0

    def __init__(self, prompt: Sequence[int], search: Search) -> None:
        self.search = search
        self._stem = _stem(search.root)
        self.prompt = [*prompt, *(node.token for node in self._stem)]
        self.tail = len(self._stem) + 1
        self._offset = len(prompt) - 1  # the depth of a node counts from 1
        self._used = 0  # columns after the prompt
        self._groups: list[tuple[list[Node], float]] = []

    @property
    def done(self) -> bool:
        """Whether the search is done."""
        return self.search.done

    def begin(self, logits: torch.Tensor) -> None:
        """Take the logits after the common prefix of all commands. Shape (stem + 1, V)."""
        steps = logits.float().log_softmax(-1)
        total = sum(float(steps[place, node.token]) for place, node in enumerate(self._stem))
        for child in (self._stem[-1] if self._stem else self.search.root).children.values():
            self.search.reach(child, total + float(steps[-1, child.token]))

    def step(self, budget: int) -> Step:
        """Return the most promising nodes; each attends to the prompt and its own ancestors."""
        wanted = self.search.wanted(budget, _SUBTREE)
        self._groups = [(group(node, _SUBTREE), value) for node, value in wanted]
        nodes = [node for members, _ in self._groups for node in members]
        for place, node in enumerate(nodes):
            node.slot = self._used + place
        first, self._used = self._used, self._used + len(nodes)
        return Step(
            tokens=[node.token for node in nodes],
            positions=[self._offset + node.depth for node in nodes],
            visible=[[len(self.prompt) + slot for slot in _ancestors(node)] for node in nodes],
            scratch=first,
        )

    def take(self, logits: torch.Tensor) -> None:
        """Pass the successors of the nodes just run to the search. Shape (nodes, V)."""
        nodes = [node for members, _ in self._groups for node in members]
        edges = [(place, child.token) for place, node in enumerate(nodes) for child in node.children.values()]
        places, tokens = torch.tensor(edges, device=logits.device).unbind(-1)
        sums = logits.float().logsumexp(-1)  # (nodes,)
        steps = iter((logits[places, tokens].float() - sums[places]).tolist())
        for members, value in self._groups:
            totals = {id(members[0]): value}
            inside = {id(node) for node in members}
            for node in members:
                for child in node.children.values():
                    total = totals[id(node)] + next(steps)
                    totals[id(child)] = total
                    self.search.reach(child, total, run=id(child) in inside)


def _stem(root: Node) -> list[Node]:
    """Return the nodes of the commands' common prefix, except a final one without successors."""
    stem: list[Node] = []
    node = root
    while len(node.children) == 1 and node.command < 0:
        (node,) = node.children.values()
        if not node.children or node.command >= 0:
            break
        stem.append(node)
    return stem


def _ancestors(node: Node) -> list[int]:
    """Return the slots of a node and its ancestors; nodes of the common prefix have none."""
    slots = []
    step: Node | None = node
    while step is not None and step.slot >= 0:
        slots.append(step.slot)
        step = step.parent
    return slots


def _tokenised(policy: Scorer, commands: Sequence[str]) -> list[list[int]]:
    replies = [format_reply(command) for command in commands]
    return [list(ids) for ids in policy.tokenizer(replies, add_special_tokens=False)["input_ids"]]


def _sorted(
    row: list[int], listed: tuple[str, ...], sequences: list[list[int]], scores: list[float], top: int
) -> Ranking:
    order = sorted(range(len(listed)), key=lambda number: -scores[number])[:top]
    best = tuple((listed[number], scores[number]) for number in order)
    return Ranking(best, True, len(row), sum(map(len, sequences)), len(listed))


_checked: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def takes_masks(policy: Scorer) -> bool:
    """Return whether a `Decoder` can drive the model: whether tree scores equal sequential scores.

    Tested once for each model.
    """
    known = _checked.get(policy.model)
    if known is None:
        told = attends_everywhere(policy.model) and takes_positions(policy.model)
        known = _checked[policy.model] = told and _agrees(policy)
    return known


def _agrees(policy: Scorer) -> bool:
    row = policy.ids("Which way? ")
    sequences = _tokenised(policy, _EXAMPLE)
    expected = policy.score(row, sequences)
    one = Search(build(sequences), len(sequences), MAX_NODES)
    try:
        _run(policy, [RankingWork(row, one)])
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
        return False
    # Half precision rounds some commands' log-probabilities by more than half a nat, but not most of them.
    tolerance = 1.0 if policy.model.dtype in (torch.bfloat16, torch.float16) else 1e-2
    return fmean(abs(value - expected[number]) for number, value in one.found) < tolerance
