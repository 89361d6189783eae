"""Ranked decoding: the admissible command that a model finds likeliest, exactly.

A command is scored as the whole reply `<action>command</action>`, tokenised as one string, so that
every command carries its own closing tag and none is favoured for being the beginning of another.
The prompt is read once. The commands form a tree of tokens (`agents.trie`); each round runs the most
promising nodes of every row in one forward pass. They lie behind the prompt in the row's cache in any
order: a 4-D attention mask shows each node the prompt and its own ancestors, and position ids say how
deep it is, so its logits are those of an ordinary forward pass over that command alone.

A model whose attention does not take such a mask (sliding windows, state spaces, flash attention) is
found out on a small example, and its commands are then scored one by one behind the shared prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch

from act_gym.errors import UsageError
from agents.prompts import Message, format_reply
from agents.sampling import left_padded
from agents.trie import Node, Search, build, group

__all__ = ["MAX_NODES", "Ranking", "Scorer", "search"]

MAX_NODES = 2048
"""Tokens run for one decision at most, before the best command found so far is taken and marked."""

_SUBTREE = 6
"""A node is run together with everything below it if that is at most so many tokens."""


class Scorer(Protocol):
    """What the search needs of a model; `agents.policy.Policy` has it."""

    model: Any
    tokenizer: Any

    def prompt_ids(self, messages: Sequence[Message], prefix: str = "", *, thinking: bool = False) -> list[int]:
        """Return the tokens of a conversation up to where the model goes on."""
        ...

    def ids(self, text: str) -> list[int]:
        """Return the tokens of a text as it stands."""
        ...

    def score(self, prompt: Sequence[int], replies: Sequence[Sequence[int]]) -> list[float]:
        """Return the log-probability of each reply after one prompt, one by one."""
        ...

    def batches(self, rows: Sequence[Sequence[int]], *, extra: int = 0) -> Iterator[list[int]]:
        """Split row numbers into batches that fit one forward pass."""
        ...


@dataclass(frozen=True)
class Ranking:
    """The likeliest commands of one prompt.

    Attributes:
        best: Commands with their log-probabilities, likeliest first.
        exact: Whether no other command can be likelier; false if the search was cut short.
        prompt_tokens: Tokens of the prompt.
        nodes: Tokens of commands that went through the model.
        commands: How many different commands there were to choose from.
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
        commands: The commands to choose from for each row; duplicates count once.
        top: How many are looked for.
        max_nodes: Bounds the work for one row; see `MAX_NODES`.
        prefixes: Text put into the model's mouth, one a row; none if left out.
        thinking: Passed to chat templates that take it.

    Raises:
        UsageError: A row has no commands, or a prompt does not fit the model.
    """
    if not all(commands):
        raise UsageError("There are no commands to rank. Ranked decoding needs admissible_commands=True.")
    begun = prefixes or [""] * len(prompts)
    rows = [policy.prompt_ids(*row, thinking=thinking) for row in zip(prompts, begun, strict=True)]
    lists = [tuple(dict.fromkeys(listed)) for listed in commands]
    sequences = [_tokenised(policy, listed) for listed in lists]
    if not _takes_trees(policy):
        scores = [policy.score(row, listed) for row, listed in zip(rows, sequences, strict=True)]
        return [_sorted(*given, top) for given in zip(rows, lists, sequences, scores, strict=True)]
    searches = [Search(build(listed), top, max_nodes) for listed in sequences]
    depth = max(len(sequence) for listed in sequences for sequence in listed)
    for batch in policy.batches(rows, extra=depth):
        _Forest(policy, [rows[row] for row in batch], [searches[row] for row in batch]).run()
    return [
        Ranking(
            best=tuple((listed[number], value) for number, value in one.found),
            exact=one.exact,
            prompt_tokens=len(row),
            nodes=one.nodes,
            commands=len(listed),
        )
        for row, listed, one in zip(rows, lists, searches, strict=True)
    ]


class _Forest:
    """The searches of one batch and their common cache.

    Args:
        policy: The model.
        prompts: Tokens of each row.
        searches: The search of each row, untouched.
    """

    def __init__(self, policy: Scorer, prompts: Sequence[Sequence[int]], searches: Sequence[Search]) -> None:
        self.model: Any = policy.model
        self.pad = policy.tokenizer.pad_token_id
        self.device = policy.model.device
        # A CPU runs a few dozen tokens for little more than one; a GPU runs a thousand.
        self.round_tokens = 48 if self.device.type == "cpu" else 1024
        self.searches = list(searches)
        self.lengths = [len(prompt) for prompt in prompts]
        self.used = 0  # slots behind the prompts
        self._read(prompts)

    @torch.inference_mode()
    def run(self) -> None:
        """Advance all searches until they are done."""
        while active := [line for line, search in enumerate(self.searches) if not search.done]:
            if len(active) <= len(self.searches) // 2:
                self._keep(active)
                active = list(range(len(active)))
            budget = max(8, self.round_tokens // len(active))
            wanted = {line: self.searches[line].wanted(budget, _SUBTREE) for line in active}
            self._round(wanted)

    @torch.inference_mode()
    def _read(self, prompts: Sequence[Sequence[int]]) -> None:
        """Run the prompts together with what all of a row's commands begin with."""
        stems = [_stem(search.root) for search in self.searches]
        rows = [[*prompt, *(node.token for node in stem)] for prompt, stem in zip(prompts, stems, strict=True)]
        tokens, mask = left_padded(rows, self.pad, self.device)
        self.width = tokens.shape[1]
        out = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=max(map(len, stems)) + 1,
        )
        self.cache = out.past_key_values
        self.hidden = mask == 0  # (B, T), true on padding
        for line, (search, stem) in enumerate(zip(self.searches, stems, strict=True)):
            steps = out.logits[line, -len(stem) - 1 :].float().log_softmax(-1)  # (stem + 1, V)
            total = sum(float(steps[place, node.token]) for place, node in enumerate(stem))
            for child in (stem[-1] if stem else search.root).children.values():
                search.reach(child, total + float(steps[-1, child.token]))

    def _round(self, wanted: dict[int, list[tuple[Node, float]]]) -> None:
        """Run every row's wanted groups in one forward pass and report their successors.

        Shapes: B rows of W new tokens behind a cache of T + S; the mask is (B, 1, W, T + S + W).
        """
        groups = {line: [(group(node, _SUBTREE), value) for node, value in chosen] for line, chosen in wanted.items()}
        nodes = {line: [node for members, _ in listed for node in members] for line, listed in groups.items()}
        size, width = len(self.searches), max(map(len, nodes.values()))
        tokens = torch.full((size, width), self.pad)
        positions = torch.zeros(size, width, dtype=torch.long)
        visible = torch.zeros(size, width, self.width + self.used + width, dtype=torch.bool)
        visible[:, :, : self.width] = ~self.hidden[:, None].cpu()
        visible[:, range(width), range(self.width + self.used, self.width + self.used + width)] = True
        for line, listed in nodes.items():
            for place, node in enumerate(listed):
                node.slot = self.used + place
                tokens[line, place] = node.token
                positions[line, place] = self.lengths[line] + node.depth - 1
                visible[line, place, [self.width + slot for slot in _ancestors(node)]] = True
        lowest = torch.finfo(self.model.dtype).min
        mask = torch.zeros(visible.shape, dtype=self.model.dtype).masked_fill_(~visible, lowest)[:, None]
        out = self.model(
            input_ids=tokens.to(self.device),
            attention_mask=mask.to(self.device),
            position_ids=positions.to(self.device),
            past_key_values=self.cache,
            use_cache=True,
        )
        self.cache = out.past_key_values
        self.used += width
        self._report(groups, out.logits)

    def _report(self, groups: dict[int, list[tuple[list[Node], float]]], logits: torch.Tensor) -> None:
        """Hand the successors of the nodes just run to their searches."""
        first = self.used - logits.shape[1]
        edges = [
            (line, node.slot - first, child.token)
            for line, listed in groups.items()
            for members, _ in listed
            for node in members
            for child in node.children.values()
        ]
        lines, places, tokens = torch.tensor(edges, device=self.device).unbind(-1)
        sums = logits.float().logsumexp(-1)  # (B, W)
        steps = iter((logits[lines, places, tokens].float() - sums[lines, places]).tolist())
        for line, listed in groups.items():
            for members, value in listed:
                totals = {id(members[0]): value}
                inside = {id(node) for node in members}
                for node in members:
                    for child in node.children.values():
                        total = totals[id(node)] + next(steps)
                        totals[id(child)] = total
                        self.searches[line].reach(child, total, run=id(child) in inside)

    def _keep(self, lines: list[int]) -> None:
        """Drop the rows that are done."""
        index = torch.tensor(lines, device=self.device)
        self.cache.batch_select_indices(index)
        self.hidden = self.hidden[index]
        self.searches = [self.searches[line] for line in lines]
        self.lengths = [self.lengths[line] for line in lines]


def _stem(root: Node) -> list[Node]:
    """Return the nodes that all commands pass, as far as something has to be read after them."""
    stem: list[Node] = []
    node = root
    while len(node.children) == 1 and node.command < 0:
        (node,) = node.children.values()
        if not node.children or node.command >= 0:
            break
        stem.append(node)
    return stem


def _ancestors(node: Node) -> list[int]:
    """Return the slots of a node and of those before it; what lies in the stem has none."""
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


def _takes_trees(policy: Scorer) -> bool:
    """Return whether the model scores a tree of tokens as it scores them one by one; tried once a model."""
    known = _checked.get(policy.model)
    if known is None:
        known = _checked[policy.model] = _attends_everywhere(policy) and _agrees(policy)
    return known


def _attends_everywhere(policy: Scorer) -> bool:
    config = policy.model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return getattr(config, "sliding_window", None) is None
    return set(kinds) == {"full_attention"}


def _agrees(policy: Scorer) -> bool:
    row = policy.ids("Which way? ")
    sequences = _tokenised(policy, ("go north", "go south", "look", "look around"))
    expected = policy.score(row, sequences)
    one = Search(build(sequences), len(sequences), MAX_NODES)
    try:
        _Forest(policy, [row], [one]).run()
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
        return False
    tolerance = 1e-2 if policy.model.dtype == torch.float32 else 0.5
    return all(abs(value - expected[number]) < tolerance for number, value in one.found)
